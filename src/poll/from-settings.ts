import type { StageContext } from "../cli/command.ts";
import { pollAll, type PollSummary } from "./poll.ts";

/** The stage as the settings have it. */
export async function pollFromSettings(context: StageContext): Promise<PollSummary> {
  const { services, settings, report, clock, signal } = context;
  const gemini = await services.gemini();
  const manifest = await services.manifest();
  const keyId = services.keyId();
  const { pollIntervalMs: intervalMs, once, timeoutMs, stuckAfterMs } = settings;
  return pollAll(
    { gemini, manifest, report, clock, signal, keyId },
    { intervalMs, once, timeoutMs, stuckAfterMs },
  );
}
