import type { StageContext } from "../command.ts";
import { exportOptions } from "../export/from-settings.ts";
import { pricesOf } from "../gemini/tariff.ts";
import { createPacer } from "../import/pace.ts";
import { costLimit, laneChoice, queueWindow } from "../job-bounds.ts";
import type { RunOptions, RunServices } from "./pipeline.ts";
import { run, type RunSummary } from "./run.ts";

/** The pipeline as the settings have it. */
export async function runFromSettings(context: StageContext): Promise<RunSummary> {
  return run(await runServices(context), runOptions(context));
}

async function runServices(context: StageContext): Promise<RunServices> {
  const { services, settings, report, clock, signal } = context;
  const store = await services.store(exportOptions(context).target);
  const gemini = await services.gemini();
  const manifest = await services.manifest();
  return {
    gemini,
    manifest,
    report,
    clock,
    signal,
    keyId: services.keyId(),
    store,
    storeOf: (target) => services.store(target),
    pacer: createPacer(settings.pace, clock),
  };
}

function runOptions(context: StageContext): RunOptions {
  const { settings } = context;
  const { reconcileGraceMs, quotaWaitMs, pollIntervalMs, stuckAfterMs } = settings;
  const { maxAttempts, timeoutMs } = settings;
  return {
    export: exportOptions(context),
    window: queueWindow(settings),
    prices: pricesOf(settings),
    costLimit: costLimit(settings),
    lane: laneChoice(settings),
    reconcileGraceMs,
    quotaWaitMs,
    pollIntervalMs,
    stuckAfterMs,
    maxAttempts,
    timeoutMs,
  };
}
