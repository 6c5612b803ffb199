import type { StageContext } from "../cli/command.ts";
import { targetOf } from "../settings/config.ts";
import type { Gemini } from "../gemini/port.ts";
import { pricesOf } from "../cost/tariff.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { jobBounds, queueWindow } from "../stages.ts";
import { plan, type Plan } from "./plan.ts";

type With = Readonly<{
  manifest: ManifestView;
  /** Undefined: no key is set. */
  gemini: Gemini | undefined;
  limit?: number | undefined;
  countsDistinct?: boolean;
}>;

/** The plan as the settings have it. */
export async function planFromSettings(
  { services, settings, report, signal }: StageContext,
  { manifest, gemini, limit = settings.limit, countsDistinct = false }: With,
): Promise<Plan> {
  const { onTooLong, tier, maxAttempts } = settings;
  const target = targetOf(settings);
  const store = await services.store(target);
  return plan(
    { store, manifest, gemini, report, signal },
    {
      target,
      bounds: jobBounds(settings),
      limit,
      onTooLong,
      countsDistinct,
      prices: pricesOf(settings),
      tier,
      maxEnqueuedTokens: queueWindow(settings).maxEnqueuedTokens,
      maxAttempts,
      canary: settings.canary,
    },
  );
}
