/**
 * What `run` would do, and what it would cost. One pass over the pending rows, a few calls that count
 * tokens for nothing, and a look at the manifest: nothing is spent and nothing is written.
 */
import { type VectorType, vectorType } from "../row/width.ts";
import type { Gemini } from "../gemini/port.ts";
import { priceOf, type Prices, type Tier } from "../cost/tariff.ts";
import { type Correction, correctionOf } from "../cost/correction.ts";
import { spentForTarget } from "../cost/cost.ts";
import { copiesOf, type Job } from "../manifest/job.ts";
import { learnedBounds } from "../quota/learned-bounds.ts";
import type { QuotaLog } from "../manifest/quota/quota-log.ts";
import { resultBytes } from "../row/result-line/result-size.ts";
import { addSums } from "../row/sums.ts";
import { DEFAULT_PROJECT } from "../row/project.ts";
import { isOneOf, type Target } from "../row/target.ts";
import { canaryBounds, isCanaryToCome } from "../quota/canary.ts";
import { countSample, type SampleCount } from "../cost/token-sample.ts";
import { batchSeconds, learnedSeconds, syncSeconds, tierTokens } from "../quota/duration.ts";
import { Pools } from "../resubmit/pool.ts";
import { type Survey, survey, type SurveyOptions, type SurveyServices } from "./survey.ts";
import { type Writing, writingOf } from "./writing.ts";
import { isOpen, needs } from "../manifest/states.ts";

/** Without Gemini, the tokens are not counted on a sample. */
export type PlanServices = SurveyServices & Readonly<{ gemini: Gemini | undefined }>;

export type PlanOptions = Omit<SurveyOptions, "ratio" | "firstBounds"> &
  Readonly<{
    prices: Prices;
    tier: Tier;
    /** Of each project. */
    maxEnqueuedTokens: number;
    projects?: readonly string[] | undefined;
    maxAttempts: number;
    /** Whose jobs another plan has. */
    isElsewhere?: (target: Target) => boolean;
    /** The first job is to be a small one, where that is worth it. */
    canary?: boolean;
  }>;

/** Some of the rows; those that are `copies` are not sent. `usd` as a batch. */
export type Portion = Readonly<{
  rows: number;
  copies: number;
  tokens: number;
  jobs: number;
  usd: number;
}>;

export type Plan = Readonly<{
  target: Target;
  /** All that would be sent: the next three together. */
  total: Portion;
  pending: Portion;
  /** Exported, and not sent yet. */
  waiting: Portion;
  /** Failed lines that `run` would send again. */
  retried: Portion;
  usdSync: number;
  /** Dollars for a million tokens. */
  price: Readonly<{ batch: number; sync: number }>;
  /** On this target so far, as the manifest knows. */
  spentUsd: number;
  /** Of the pending rows: tokens of the copies, which are not among the portions' tokens. */
  savedTokens: number;
  /** Of the pending rows; undefined where they were not counted. */
  distinctTexts: number | undefined;
  skipped: Survey["skipped"];
  correction: Correction;
  /** To be kept in the manifest by whoever may write there. */
  sample: SampleCount | undefined;
  /** Of all projects together. */
  enqueuedTokenLimit: number;
  projects: readonly string[];
  seconds: Readonly<{
    batch: number;
    sync: number;
    byTier: Readonly<Record<Tier, number>>;
    /** By what was learned from refusals; undefined where nothing was. */
    learned: number | undefined;
  }>;
  bytes: Readonly<{ requests: number; results: number }>;
  writing: Writing;
  /** What the column is of, where it is a vector at all. */
  columnType: VectorType | undefined;
}>;

/** Something is to be sent, waited for, or written again. */
export function hasWork({ total, skipped }: Pick<Plan, "total" | "skipped">): boolean {
  return total.rows + skipped.inFlight + skipped.paidBefore > 0;
}

export async function plan(services: PlanServices, options: PlanOptions): Promise<Plan> {
  const { manifest, gemini, report } = services;
  const { target, projects = [DEFAULT_PROJECT] } = options;
  const quotas = projects.map((project) => manifest.quota(target.model, project));
  const bounds = learnedBounds(options.bounds, manifest.quotas(target.model));
  const known = correctionOf(manifest.jobs(), manifest.counted(target), target);
  const withCanary = await isCanaryPlanned(services, options);
  const firstBounds = withCanary ? canaryBounds(bounds) : bounds;
  const found = await survey(services, { ...options, bounds, firstBounds, ratio: known.ratio });
  const sample = gemini && (await countSample(gemini, target.model, found.sample, report));
  // a sample of these very rows tells more about them than the bills of other ones
  const correction = sample === undefined ? known : correctionOf([], sample, target);
  const portions = portionsOf(
    manifest.jobs().filter((job) => options.isElsewhere?.(job.target) !== true),
    { ...options, bounds },
    { ...found, withCanary },
    correction.ratio,
  );
  return {
    ...portions,
    ...outlook(portions.total, options, found, quotas),
    projects,
    writing: await writingThere(services, portions.total, found),
    spentUsd: spentForTarget(manifest.jobs(), target, options.prices).usd,
    skipped: found.skipped,
    savedTokens: Math.round(found.savedTokens * correction.ratio),
    distinctTexts: found.distinctTexts,
    correction,
    sample,
  };
}

/** Rows with a vector are counted only where they tell something. */
async function writingThere(
  { store }: PlanServices,
  { rows }: Portion,
  { description }: Survey,
): Promise<Writing> {
  const writing = writingOf(rows, description);
  if (writing.annIndexes.length === 0 || rows === 0) return writing;
  const { total, pending } = await store.count();
  return writingOf(rows, description, total - pending);
}

/** As `run` decides it, before it has looked at a row. */
async function isCanaryPlanned(
  { manifest, store }: PlanServices,
  options: PlanOptions,
): Promise<boolean> {
  const { target, siblings, canary, limit = Infinity } = options;
  const jobs = manifest.jobs();
  const retried = retriedJobs(jobs, options);
  const isToCome = (rows: number) =>
    isCanaryToCome(jobs, siblings?.has ?? isOneOf([target]), { rows, retried });
  if (canary !== true || !isToCome(limit)) return false;
  return isToCome(Math.min((await store.count()).pending, limit));
}

/** Those of which `run` would send failed lines again. */
function retriedJobs(
  jobs: readonly Job[],
  { maxAttempts }: Pick<PlanOptions, "maxAttempts">,
): readonly Job[] {
  return jobs
    .filter((job) => !isOpen(job) && job.attempt < maxAttempts)
    .filter((job) => job.outstanding.retryable > 0);
}

type Portions = Pick<Plan, "total" | "pending" | "waiting" | "retried">;

function portionsOf(
  jobs: readonly Job[],
  options: PlanOptions,
  found: Survey & Readonly<{ withCanary: boolean }>,
  ratio: number,
): Portions {
  const { target, prices, bounds } = options;
  const tokens = Math.round(found.uncorrectedTokens * ratio);
  const usd = priceOf(tokens, prices(target.model, "batch"));
  const { rows, copies, jobCount, withCanary } = found;
  const pending = { rows, copies, tokens, jobs: jobCount.jobs(ratio, withCanary), usd };
  const waiting = sumOf(
    jobs.filter((job) => needs(job) === "send").map((job) => partOf(job, job.requests, prices)),
  );
  const again = retriedJobs(jobs, options);
  const retried = {
    ...sumOf(again.map((job) => partOf(job, job.outstanding.retryable, prices))),
    jobs: new Pools(again).jobCount(bounds),
  };
  return { pending, waiting, retried, total: sumOf([pending, waiting, retried]) };
}

/** So many rows of a job, sent for the first time or again. */
function partOf(job: Job, rows: number, prices: Prices): Portion {
  const share = rows / job.requests;
  const copies = Math.round(copiesOf([job]) * share);
  const tokens = Math.round(job.tokens * share);
  return { rows, copies, tokens, jobs: 1, usd: priceOf(tokens, prices(job.target.model, "batch")) };
}

function sumOf(portions: readonly Portion[]): Portion {
  return portions.reduce(addSums, { rows: 0, copies: 0, tokens: 0, jobs: 0, usd: 0 });
}

type Outlook = Pick<
  Plan,
  "target" | "usdSync" | "price" | "enqueuedTokenLimit" | "seconds" | "bytes" | "columnType"
>;

/** `quotas`: of each project. */
function outlook(
  total: Portion,
  options: PlanOptions,
  found: Survey,
  quotas: readonly QuotaLog[],
): Outlook {
  const { target, prices, tier, maxEnqueuedTokens } = options;
  const price = { batch: prices(target.model, "batch"), sync: prices(target.model, "sync") };
  const byTier = (each: Tier) =>
    batchSeconds(total.tokens, tierTokens(each, target.model) * quotas.length);
  return {
    target,
    price,
    usdSync: priceOf(total.tokens, price.sync),
    enqueuedTokenLimit: maxEnqueuedTokens * quotas.length,
    seconds: {
      batch: batchSeconds(total.tokens, maxEnqueuedTokens * quotas.length),
      sync: syncSeconds(total.rows - total.copies, total.tokens, tier),
      byTier: { 1: byTier("1"), 2: byTier("2"), 3: byTier("3") },
      learned: learnedSeconds(total.tokens, quotas, maxEnqueuedTokens),
    },
    bytes: {
      requests: found.requestBytes,
      results: resultBytes(total.rows - total.copies, target.dimensions),
    },
    columnType: vectorType(found.description.embedding.typeName),
  };
}
