import type { StageContext } from "../command.ts";
import { costLimit, queueWindow } from "../job-bounds.ts";
import { submitAll, type SubmitSummary } from "./submit.ts";

/** The stage as the settings have it. */
export async function submitFromSettings(context: StageContext): Promise<SubmitSummary> {
  const { services, settings, report, clock, signal } = context;
  const gemini = await services.gemini();
  const manifest = await services.manifest();
  const keyId = services.keyId();
  return submitAll(
    { gemini, manifest, report, clock, signal, keyId },
    {
      window: queueWindow(settings),
      reconcileGraceMs: settings.reconcileGraceMs,
      costLimit: costLimit(settings),
    },
  );
}
