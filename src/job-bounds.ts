import { pricesOf, QUOTAS } from "./gemini/tariff.ts";
import type { CostLimit } from "./job/cost.ts";
import type { JobBounds } from "./job/cut.ts";
import type { Settings } from "./options.ts";

type QuotaSettings = Pick<Settings, "maxActiveJobs" | "maxEnqueuedTokens" | "tier" | "model">;

/** No job is made that could never be queued: the enqueued tokens bound it too. */
export function jobBounds(
  settings: Pick<Settings, "maxJobRows" | "maxJobTokens" | "maxJobBytes"> & QuotaSettings,
): JobBounds {
  return {
    maxRows: settings.maxJobRows,
    maxTokens: Math.min(settings.maxJobTokens, queueWindow(settings).maxEnqueuedTokens),
    maxBytes: settings.maxJobBytes,
  };
}

/** What may be queued at Gemini at once: as told, else what the tier allows. */
export function queueWindow({ maxActiveJobs, maxEnqueuedTokens, tier, model }: QuotaSettings) {
  return {
    maxActiveJobs,
    maxEnqueuedTokens: maxEnqueuedTokens ?? QUOTAS[tier].enqueuedTokens[model],
  };
}

/** Undefined: none is set. */
export function costLimit(
  settings: Pick<Settings, "maxCost" | "price" | "priceSync">,
): CostLimit | undefined {
  const { maxCost } = settings;
  return typeof maxCost === "number" ? { maxUsd: maxCost, prices: pricesOf(settings) } : undefined;
}
