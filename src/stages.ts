import type { MinuteLimits } from "./gemini/port.ts";
import { pricesOf, QUOTAS } from "./cost/tariff.ts";
import type { CostLimit } from "./cost/cost.ts";
import type { JobBounds } from "./jobs-folder/cut.ts";
import type { LaneChoice } from "./cost/lane.ts";
import type { Settings } from "./settings/options.ts";
import type { StageContext } from "./cli/command.ts";
import { UserError } from "./errors.ts";
import type { Manifest, ManifestView } from "./manifest/manifest.ts";
import { createPacer } from "./import/pace.ts";
import { type PaidRows, tellOf, writeRefused } from "./import/refused-rows.ts";
import type { Job } from "./manifest/job.ts";
import type { FailedLine } from "./row/failed-line.ts";
import { tryTable } from "./plan/trial-write.ts";
import { sameTarget, tableName, type Target } from "./row/target.ts";
import { targetOf } from "./settings/config.ts";
import type { Store } from "./store/port.ts";

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

type Options = Readonly<{
  /** Jobs that were exported before can be sent from where there is no database. */
  mayLackDatabase?: boolean;
}>;

/** Throws the table's refusal, or whatever else stands against writing. */
export async function tryTables(
  context: StageContext,
  manifest: ManifestView,
  targets: readonly Target[],
  { mayLackDatabase = false }: Options = {},
): Promise<void> {
  const { services, settings, report } = context;
  for (const target of distinct(targets)) {
    // the condition is one on the rows of the table that is named
    if (settings.where !== undefined && !sameTarget(target, targetOf(settings))) continue;
    const store = await openStore(() => services.store(target), mayLackDatabase);
    if (store === undefined) {
      report({ type: "warning", ...notTried(target, "no database is named here") });
      continue;
    }
    const { refusal, warnings, untried } = await tryTable(store, target, manifest);
    if (untried !== undefined) report({ type: "warning", ...notTried(target, untried) });
    for (const warning of warnings) report({ type: "warning", ...warning });
    if (refusal !== undefined) throw refusal;
  }
}

/** Throws nothing that is to be mended at the table: it is told beside what the command is about. */
export async function warnOfTables(
  context: StageContext,
  manifest: ManifestView,
  targets: readonly Target[],
): Promise<void> {
  try {
    await tryTables(context, manifest, targets);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    context.report({ type: "warning", message: error.message, hint: error.hint });
  }
}

/** Writes rows that are paid for and were refused by their table, job by job. */
export function paidRows({ services, settings, signal, clock }: StageContext, manifest: Manifest) {
  const storeOf = (target: Target) => services.store(target);
  const its = { storeOf, manifest, signal, pacer: createPacer(settings.pace, clock) };
  const all: PaidRows[] = [];
  return {
    write: async (job: Job, lines: AsyncIterable<FailedLine>): Promise<PaidRows> => {
      const ends = await writeRefused(its, job, lines);
      all.push(ends);
      return ends;
    },
    told: () => tellOf(all),
  };
}

function distinct(targets: readonly Target[]): Target[] {
  return targets.filter(
    (target, place) => targets.findIndex((each) => sameTarget(each, target)) === place,
  );
}

async function openStore(
  open: () => Promise<Store>,
  mayLackDatabase: boolean,
): Promise<Store | undefined> {
  try {
    return await open();
  } catch (error) {
    if (mayLackDatabase && error instanceof UserError && error.exit === "usage") return undefined;
    throw error;
  }
}

function notTried(target: Target, why: string) {
  return {
    message: `Whether ${tableName(target)} takes a vector was not tried: ${why}.`,
    hint: "`vecfill doctor` tells what can be known of the table and the way to it.",
  };
}
