/**
 * Run: every stage over one manifest, which alone says what there is to do. One lane exports, one submits, one finds
 * out what became of creates without an answer, one embeds at once, one polls, one downloads and imports, and
 * one sends again what failed and may succeed.
 */
import { type Cost, type CostStop, costStop, spentForTarget, spentOn } from "../cost/cost.ts";
import { finalSums } from "../cost/final-sums.ts";
import type { Prices } from "../cost/tariff.ts";
import { embedLane } from "../embed/embed-lane.ts";
import type { ExportOptions, ExportSummary } from "../export/export.ts";
import { ExportLane } from "../export/export-lane.ts";
import { blockedJobs } from "../gates/blocked-jobs.ts";
import { doubtedJobs } from "../gates/doubted-jobs.ts";
import { IDLE, type Lane, type Step } from "../gates/step.ts";
import { type World, worldOf } from "../gates/world.ts";
import { importLane } from "../import/import-lane.ts";
import type { ImportServices } from "../import/import.ts";
import { type IndexSummary, NO_INDEXES } from "../import/index-keeper.ts";
import { copiesOf, type Job } from "../manifest/job.ts";
import { isOpen, needs } from "../manifest/states.ts";
import { pollLane, type PollOptions } from "../poll/poll-lane.ts";
import { Canary, CANARY_ROWS, isCanaryWorth } from "../quota/canary.ts";
import { isTooLarge } from "../quota/learned-bounds.ts";
import type { Window } from "../quota/next-try.ts";
import { againLane, cutAgain } from "../resubmit/again-lane.ts";
import type { Sums } from "../row/sums.ts";
import type { Target } from "../row/target.ts";
import type { Store } from "../store/port.ts";
import { Creates } from "../submit/creates.ts";
import { SettleLane } from "../submit/settle-lane.ts";
import { type SendOptions, SubmitLane } from "../submit/submit-lane.ts";
import { drive } from "./drive.ts";

export type RunServices = ImportServices & Readonly<{ store: Store }>;

export type RunOptions = PollOptions &
  SendOptions &
  Readonly<{
    export: ExportOptions;
    window: Window;
    /** A small job first, alone, unless one of the target has gone through before. */
    canary?: boolean;
    prices: Prices;
    /** What all that there is to do was expected to cost; undefined: nobody asked. */
    expectedUsd?: number | undefined;
    /** Of other tables, those that take no vector. */
    unfit?: readonly Target[];
    reconcileGraceMs: number;
    quotaWaitMs: number;
    maxAttempts: number;
    /** Give up waiting after so long; the batches go on. */
    timeoutMs: number | undefined;
    /** Another folder's batches are no reason to wait, nor to leave what failed in them. */
    beside?: boolean;
  }>;

export type RunSummary = Sums &
  Readonly<{
    jobs: readonly string[];
    /** Rows of these jobs that were embedded with another row of the same text. */
    copies: number;
    /** Of these, those that were embedded at once. */
    atOnce: readonly string[];
    /** Rows still NULL in the table. */
    remaining: number;
    cost: Cost;
    /** Rows that no job took, by the last pass. */
    skipped: ExportSummary["skipped"] | undefined;
    tooLongFile: string | undefined;
    /** Jobs that have not ended yet. */
    pending: readonly string[];
    failedFiles: readonly string[];
    timedOut: boolean;
    /** It stopped although rows were left that it would have taken. */
    isCutShort: boolean;
    /** Undefined unless the limit on cost held jobs back. */
    costStop: CostStop | undefined;
    indexes: IndexSummary;
  }>;

/** The whole work. The sums count a row that was sent again once, as it ended. */
export async function run(services: RunServices, options: RunOptions): Promise<RunSummary> {
  const { manifest } = services;
  await reportGoal(services, options);
  const spentBefore = spentForTarget(manifest.jobs(), options.export.target, options.prices);
  const driveToEnd = () => driveAll(services, options);
  const stopOf = () => costStop(manifest, options.costLimit);
  const isAllIn = (end: RunEnd) => hasNothingUnderWay(end, stopOf());
  const { jobs, exports, timedOut } = await (services.indexes?.around(driveToEnd, isAllIn) ??
    driveToEnd());
  const { pending: remaining } = await services.store.count();
  const last = exports.at(-1);
  return {
    ...finalSums(jobs),
    jobs: jobs.map((job) => job.id),
    copies: copiesOf(jobs),
    atOnce: jobs.filter((job) => job.lane === "sync").map((job) => job.id),
    remaining,
    cost: spentOn(jobs, options.prices),
    skipped: last?.skipped,
    tooLongFile: exports.find((each) => each.tooLongFile !== undefined)?.tooLongFile,
    pending: jobs.filter(isOpen).map((job) => job.id),
    failedFiles: jobs
      .filter((job) => job.outstanding.lines > 0)
      .map((job) => services.manifest.files(job.id).failed),
    timedOut,
    indexes: services.indexes?.summary ?? NO_INDEXES,
    isCutShort: timedOut || hasStaleRowsLeft(jobs, last),
    costStop: withExpected(stopOf(), spentBefore.usd + (options.expectedUsd ?? 0)),
  };
}

type RunEnd = Readonly<{
  /** Every job that was unfinished at the start or made since. */
  jobs: readonly Job[];
  exports: readonly ExportSummary[];
  timedOut: boolean;
}>;

/** Creates in a row without an answer and without a batch before a run gives up: some five hours. */
const MAX_LOST_CREATES = 24;

async function driveAll(services: RunServices, options: RunOptions): Promise<RunEnd> {
  const { manifest } = services;
  const endedBefore = manifest.jobs().filter((job) => !isOpen(job));
  const before = new Set(endedBefore.map(({ id }) => id));
  const ownJobs = () => manifest.jobs().filter(({ id }) => !before.has(id));
  const canary = await chooseCanary(services, options, before);
  // where the first job cannot be imported, no other is sent
  const isVital = (job: Job) => canary?.mayBe(job) === true;
  const blocked = blockedJobs(manifest, options.unfit, isVital);
  const hasStaleRows = () => ownJobs().some((job) => (job.sums?.stale ?? 0) > 0);
  const world = { ...options, ...worldOf(services, options.quotaWaitMs, blocked), hasStaleRows };
  const { lanes, again, exporting } = lanesOf(world, canary);
  // what an earlier run or the single stages left
  for (const job of endedBefore) again.add(job);
  await again.sendDue();
  let timedOut = false;
  try {
    timedOut = await drive(lanes, world, options.timeoutMs);
  } finally {
    await exporting.end();
  }
  world.outages.halted.throwIfAborted();
  blocked.throwFirst();
  return { jobs: ownJobs(), exports: exporting.summaries, timedOut };
}

type RunWorld = World &
  RunServices &
  Omit<RunOptions, "canary"> &
  Readonly<{ hasStaleRows: () => boolean }>;

/** In the order in which they are asked: export last, which has to know whether all else rests. */
function lanesOf(its: RunWorld, canary: Canary | undefined) {
  const { manifest, blocked, clock } = its;
  const { bounds } = its.export;
  const creates = new Creates(its, MAX_LOST_CREATES);
  const gate = () => {
    const mayStart = canary?.gate();
    return (job: Job) => mayStart?.(job) !== false && !blocked.refuses(job.target);
  };
  const instead = (job: Job) =>
    isTooLarge(job, bounds, manifest.quota(job.target.model))
      ? () => cutAgain(its, job, bounds)
      : undefined;
  const { readList } = creates;
  const doubted = doubtedJobs(clock);
  const world = { ...its, bounds, creates, readList, doubted, gate, instead };
  const again = againLane(world);
  const ending = { ...world, onEnded: again.add };
  const boundsOfNext = () => canary?.boundsOfNext(bounds) ?? bounds;
  const exporting = new ExportLane({ ...world, export: { ...its.export, boundsOfNext } });
  const lanes: readonly Lane[] = [
    again,
    { next: (isQuiet) => (isQuiet && again.isEmpty() ? stepOf(canary) : IDLE) },
    new SubmitLane(world),
    new SettleLane(world),
    embedLane(world),
    pollLane(ending),
    importLane(ending),
    exporting,
  ];
  return { lanes, again, exporting };
}

function stepOf(canary: Canary | undefined): Step {
  return canary?.hasFallen() === true ? () => canary.fall() : IDLE;
}

async function chooseCanary(
  { store, manifest, report }: RunServices,
  { canary, export: { target, limit = Infinity } }: RunOptions,
  endedBefore: ReadonlySet<string>,
): Promise<Canary | undefined> {
  if (canary !== true) return undefined;
  const { pending } = await store.count();
  if (!isCanaryWorth(manifest.jobs(), target, Math.min(pending, limit))) return undefined;
  report({ type: "canary", rows: CANARY_ROWS });
  return new Canary(manifest, target, endedBefore);
}

/** What is on its way is NULL still; here the limit no longer counts it (`limitOfRun`). */
async function reportGoal(
  { store, manifest, report }: RunServices,
  { export: { limit } }: RunOptions,
): Promise<void> {
  const { pending } = await store.count();
  const onTheWay = manifest.jobs().filter(isOpen);
  const open = onTheWay.reduce((rows, { requests }) => rows + requests, 0);
  const rows = Math.min(pending, open + (limit ?? Infinity));
  report({ type: "goal", rows, withoutVector: pending });
}

/** Rows that were not exported any more need their part as well. */
function withExpected(stop: CostStop | undefined, expectedUsd: number): CostStop | undefined {
  return stop && { ...stop, neededUsd: Math.max(stop.neededUsd, expectedUsd) };
}

/** Jobs that the limit on cost holds back wait for a person; nothing comes of them by itself. */
function hasNothingUnderWay({ timedOut, jobs }: RunEnd, stop: CostStop | undefined): boolean {
  const isHeld = (job: Job) => stop !== undefined && needs(job) === "send";
  return !timedOut && !jobs.some((job) => isOpen(job) && !isHeld(job));
}

/** The last pass was not the one that finds nothing more, and rows changed while they were away. */
function hasStaleRowsLeft(jobs: readonly Job[], last: ExportSummary | undefined): boolean {
  const wasLastPassEmpty = last === undefined || last.exported === 0;
  return (
    !wasLastPassEmpty &&
    jobs.some((job) => last.jobs.includes(job.id) && (job.sums?.stale ?? 0) > 0)
  );
}
