import type { StageContext } from "../cli/command.ts";
import { exportOptions } from "../export/from-settings.ts";
import { pricesOf } from "../cost/tariff.ts";
import { indexKeeper } from "../import/from-settings.ts";
import { fetchingFirst } from "../import/import.ts";
import { createPacer } from "../import/pace.ts";
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import type { Target } from "../row/target.ts";
import { needs } from "../manifest/states.ts";
import { costLimit, laneChoice, queueWindow, tryTables } from "../stages.ts";
import { planFromSettings } from "../plan/from-settings.ts";
import type { Plan } from "../plan/plan.ts";
import { usdOfRun } from "../plan/lane-cost.ts";
import type { RunOptions, RunServices } from "./pipeline.ts";
import { run, type RunSummary } from "./run.ts";

/** The pipeline as the settings have it; `planned` is the plan of these very rows, where one was made. */
export async function runFromSettings(context: StageContext, planned?: Plan): Promise<RunSummary> {
  const services = await runServices(context);
  return fetchingFirst(services, async () => {
    await tryTables(context, services.manifest, targetsOf(context, services.manifest));
    const { sample } = planned ?? (await firstRows(context, services));
    const { target } = exportOptions(context);
    if (sample !== undefined) await services.manifest.recordCounted(target, sample);
    const expectedUsd = planned && usdOfRun(planned, laneChoice(context.settings));
    return run(services, { ...runOptions(context), expectedUsd });
  });
}

/** For whose rows something may be sent. */
function targetsOf(context: StageContext, manifest: Manifest): readonly Target[] {
  const sent = manifest.jobs().filter((job) => needs(job) === "send" || hasRetryable(job));
  return [exportOptions(context).target, ...sent.map(({ target }) => target)];
}

function hasRetryable({ outstanding }: Job): boolean {
  return outstanding.retryable > 0;
}

/** Without a plan the tokens are corrected by the first rows, and then by the bills. */
const ROWS_COUNTED = 2_000;

function firstRows(context: StageContext, { manifest, gemini }: RunServices): Promise<Plan> {
  const limit = Math.min(context.settings.limit ?? Infinity, ROWS_COUNTED);
  return planFromSettings(context, { manifest, gemini, limit });
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
    indexes: indexKeeper(context, manifest),
  };
}

function runOptions(context: StageContext): RunOptions {
  const { settings } = context;
  const { reconcileGraceMs, quotaWaitMs, pollIntervalMs, stuckAfterMs } = settings;
  const { maxAttempts, timeoutMs } = settings;
  return {
    export: exportOptions(context),
    window: queueWindow(settings),
    canary: settings.canary,
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
