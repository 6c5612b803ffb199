import type { MinuteLimits } from "./gemini/port.ts";
import { pricesOf, QUOTAS } from "./cost/tariff.ts";
import type { CostLimit } from "./cost/cost.ts";
import type { JobBounds } from "./jobs-folder/cut.ts";
import type { LaneChoice } from "./cost/lane.ts";
import type { Settings } from "./settings/options.ts";

type QuotaSettings = Pick<Settings, "maxActiveJobs" | "maxEnqueuedTokens" | "tier" | "model">;

/**
 * So many jobs fill the queue: what a tier takes in truth, half of what is advertised or less, takes
 * several, a try for more costs little, and one refusal is one of many creates. No more than that, as
 * a create takes seconds: they must fill tier 3's queue long before its first batch ends, and at most
 * 90 are at Gemini. On tier 1 that would be small jobs by the thousand: there ten fill it.
 */
const JOBS_A_QUEUE = 33;
const JOB_TOKENS_MIN = 50_000;
const JOBS_A_QUEUE_MIN = 10;

/** No job is made that could never be queued: the enqueued tokens bound it too. */
export function jobBounds(
  settings: Pick<Settings, "maxJobRows" | "maxJobTokens" | "maxJobBytes"> & QuotaSettings,
): JobBounds {
  const { maxEnqueuedTokens: queue } = queueWindow(settings);
  const few = Math.ceil(queue / JOBS_A_QUEUE_MIN);
  const byTier = Math.min(few, Math.max(JOB_TOKENS_MIN, Math.ceil(queue / JOBS_A_QUEUE)));
  return {
    maxRows: settings.maxJobRows,
    maxTokens: Math.min(settings.maxJobTokens ?? byTier, queue),
    maxBytes: settings.maxJobBytes,
  };
}

/** What may be queued at Gemini at once: as told, else what the tier allows. */
export function queueWindow({ maxActiveJobs, maxEnqueuedTokens, tier, model }: QuotaSettings) {
  return {
    maxActiveJobs,
    maxEnqueuedTokens: maxEnqueuedTokens ?? QUOTAS[tier].enqueuedTokens[model],
    isAdvertised: maxEnqueuedTokens === undefined,
  };
}

/** Undefined: none is set. */
export function costLimit(
  settings: Pick<Settings, "maxCost" | "price" | "priceSync" | "lane" | "syncUpTo">,
): CostLimit | undefined {
  const { maxCost } = settings;
  if (typeof maxCost !== "number") return undefined;
  return { maxUsd: maxCost, prices: pricesOf(settings), lane: laneChoice(settings) };
}

/** Which jobs are embedded at once. */
export function laneChoice(settings: Pick<Settings, "lane" | "syncUpTo">): LaneChoice {
  return { lane: settings.lane, syncUpToTokens: settings.syncUpTo };
}

/** What may be embedded at once in a minute: as told, else what the tier allows. */
export function minuteLimits(
  settings: Pick<Settings, "maxRequestsPerMinute" | "maxTokensPerMinute" | "tier">,
): MinuteLimits {
  const { interactiveRequestsPerMinute, interactiveTokensPerMinute } = QUOTAS[settings.tier];
  return {
    requestsPerMinute: settings.maxRequestsPerMinute ?? interactiveRequestsPerMinute,
    tokensPerMinute: settings.maxTokensPerMinute ?? interactiveTokensPerMinute,
  };
}
