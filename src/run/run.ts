/**
 * Run: every stage over one manifest, which alone says what there is to do. One lane exports, one submits, one finds
 * out what became of creates without an answer, one embeds at once, one polls, one downloads and imports, and
 * one sends again what failed and may succeed. Several targets share it all but the lane that exports: each has its own.
 */
import { type Cost, type CostStop, costStop, spentForTarget, spentOn } from "../cost/cost.ts";
import { finalSums } from "../cost/final-sums.ts";
import type { Prices } from "../cost/tariff.ts";
import { embedLane } from "../embed/embed-lane.ts";
import { UserError } from "../errors.ts";
import type { ExportOptions, ExportSummary } from "../export/export.ts";
import { ExportLane } from "../export/export-lane.ts";
import type { Crew } from "../gates/duties.ts";
import { blockKeyless, hasKeyOf } from "../gates/keys.ts";
import { blockedJobs } from "../gates/blocked-jobs.ts";
import { doubtedJobs } from "../gates/doubted-jobs.ts";
import { IDLE, type Lane, type Step } from "../gates/step.ts";
import { type World, worldOf } from "../gates/world.ts";
import { PaidRows, writePaid } from "../import/again/paid-for.ts";
import { refetchResults } from "../import/download.ts";
import { importLane } from "../import/import-lane.ts";
import type { ImportServices } from "../import/import.ts";
import { jobInHand } from "../import/in-hand.ts";
import { type IndexSummary, NO_INDEXES } from "../import/index-keeper.ts";
import { readFailures } from "../words/failures.ts";
import { copiesOf, type Job } from "../manifest/job.ts";
import { isOpen, isToSend, needs } from "../manifest/states.ts";
import { pollLane, type PollOptions } from "../poll/poll-lane.ts";
import { Canary, CANARY_ROWS, isCanaryWorth } from "../quota/canary.ts";
import { isTooLarge } from "../quota/learned-bounds.ts";
import type { Window } from "../quota/next-try.ts";
import { againLane, cutAgain } from "../resubmit/again-lane.ts";
import { NONE_SKIPPED, type Skipped } from "../row/skipped.ts";
import { addSums, NO_ROWS, type Sums } from "../row/sums.ts";
import { type IsOwn, isOneOf, sameTarget, type Siblings, type Target } from "../row/target.ts";
import type { Store } from "../store/port.ts";
import { createsOf } from "../submit/creates.ts";
import { SettleLane } from "../submit/settle-lane.ts";
import { type SendOptions, SubmitLane } from "../submit/submit-lane.ts";
import type { InHand } from "../words/sums-text.ts";
import { drive } from "./drive.ts";
import { othersLane } from "./others-lane.ts";

export type RunServices = ImportServices & Readonly<{ store: Store }>;

/** One of several targets. */
export type Part = Readonly<{ name: string | undefined; export: ExportOptions; store: Store }>;

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
    name?: string | undefined;
    /** Further targets, which share queue and budget with that of `export`. */
    alongside?: readonly Part[];
    /** What stands against one target stops no other; also where the others were refused before. */
    shared?: boolean;
    /** Of other tables, those that take no vector. */
    unfit?: readonly Target[];
    reconcileGraceMs: number;
    quotaWaitMs: number;
    maxAttempts: number;
    /** Give up waiting after so long; the batches go on. */
    timeoutMs: number | undefined;
    /** Another folder's batches are no reason to wait, nor to leave what failed in them. */
    beside?: boolean;
    /** Several processes share the work; undefined: this one does all that it sees. */
    crew?: Crew | undefined;
  }>;

export type RunSummary = Sums &
  Readonly<{
    jobs: readonly string[];
    /** Rows of these jobs that were embedded with another row of the same text. */
    copies: number;
    /** Of these, those that were embedded at once. */
    atOnce: readonly string[];
    /** Rows still NULL in the tables; undefined where one of them was not counted. */
    remaining: number | undefined;
    cost: Cost;
    /** Rows that no job took, by the last pass. */
    skipped: Skipped | undefined;
    /** Rows that had lost their vectors and have them again, from results in the jobs folder. */
    restored: number;
    tooLongFile: string | undefined;
    /** Jobs that have not ended yet. */
    pending: readonly string[];
    /** Of the first target, where it was interrupted. */
    inHand: InHand | undefined;
    failedFiles: readonly string[];
    timedOut: boolean;
    /** It stopped although rows were left that it would have taken. */
    isCutShort: boolean;
    /** Undefined unless the limit on cost held jobs back. */
    costStop: CostStop | undefined;
    indexes: IndexSummary;
    /** Of each target, and of others against which something stands. */
    parts: readonly PartSummary[];
  }>;

export type PartSummary = Sums &
  Readonly<{
    name: string | undefined;
    target: Target;
    /** Undefined where they were not counted. */
    remaining: number | undefined;
    /** Jobs that have not ended yet. */
    pending: readonly string[];
    /** Why nothing more is sent for it. */
    error: UserError | undefined;
  }>;

/** The whole work. The sums count a row that was sent again once, as it ended. */
export async function run(services: RunServices, options: RunOptions): Promise<RunSummary> {
  const { manifest } = services;
  const parts = partsOf(services, options);
  const waiting = (await pendingOf(parts)).map((rows) => rows ?? 0);
  reportGoal(services, parts, waiting);
  const spentOnPart = ({ export: { target } }: Part) =>
    spentForTarget(manifest.jobs(), target, options.prices).usd;
  const spentBefore = sumOf(parts.map(spentOnPart));
  const driveToEnd = () => driveAll(services, options, waiting);
  const stopOf = () => costStop(manifest, options.costLimit);
  const isAllIn = (end: RunEnd) => hasNothingUnderWay(end, stopOf());
  const end = await (services.indexes?.around(driveToEnd, isAllIn) ?? driveToEnd());
  const { jobs, timedOut } = end;
  const exports = end.exports.flat();
  const lasts = end.exports.map((each) => each.at(-1));
  const isLeft = (part: Part, at: number) =>
    hasStaleRowsLeft(jobs, lasts[at]) || hasPassedOver(part, lasts[at]);
  const remaining = await pendingOf(parts);
  const counted = remaining.filter((rows) => rows !== undefined);
  const ofTarget = (target: Target, name?: string, left?: number): PartSummary => {
    const own = jobs.filter((job) => sameTarget(job.target, target));
    const pending = own.filter(isOpen).map((job) => job.id);
    const error = end.errorOf(target);
    return { ...finalSums(own), name, target, remaining: left, pending, error };
  };
  const first = jobs.filter((job) => sameTarget(job.target, options.export.target));
  const others = end.others.filter((target) => end.errorOf(target) !== undefined);
  return {
    ...finalSums(jobs),
    jobs: jobs.map((job) => job.id),
    copies: copiesOf(jobs),
    atOnce: jobs.filter((job) => job.lane === "sync").map((job) => job.id),
    remaining: counted.length < parts.length ? undefined : sumOf(counted),
    cost: spentOn(jobs, options.prices),
    skipped: await skippedAtTheEnd(services, parts, end),
    restored: end.restored,
    tooLongFile: exports.find((each) => each.tooLongFile !== undefined)?.tooLongFile,
    pending: jobs.filter(isOpen).map((job) => job.id),
    inHand: services.signal.aborted ? await jobInHand(services.store, manifest, first) : undefined,
    failedFiles: jobs
      .filter((job) => job.outstanding.lines > 0)
      .map((job) => services.manifest.files(job.id).failed),
    timedOut,
    indexes: services.indexes?.summary ?? NO_INDEXES,
    isCutShort: timedOut || parts.some(isLeft),
    costStop: withExpected(stopOf(), spentBefore + (options.expectedUsd ?? 0)),
    parts: [
      ...parts.map((part, at) => ofTarget(part.export.target, part.name, remaining[at])),
      ...others.map((target) => ofTarget(target)),
    ],
  };
}

function partsOf({ store }: RunServices, options: RunOptions): readonly Part[] {
  return [{ name: options.name, export: options.export, store }, ...(options.alongside ?? [])];
}

/** Rows still NULL, of each; undefined where one of several cannot be asked: it may be gone. */
function pendingOf(parts: readonly Part[]): Promise<readonly (number | undefined)[]> {
  const pendingIn = async ({ store }: Part) => (await store.count()).pending;
  const unlessGone = (error: unknown) => {
    if (parts.length > 1 && error instanceof UserError) return undefined;
    throw error;
  };
  return Promise.all(parts.map((part) => pendingIn(part).catch(unlessGone)));
}

/** By the last passes; but of what they saw in failed files some was sent since, and what failed in this run is told as that. */
async function skippedAtTheEnd(
  { manifest }: RunServices,
  parts: readonly Part[],
  { jobs: own, exports }: Pick<RunEnd, "jobs" | "exports">,
): Promise<Skipped | undefined> {
  const lasts = exports.map((each) => each.at(-1)?.skipped);
  if (lasts.every((last) => last === undefined)) return undefined;
  const seen = lasts.map((last = NONE_SKIPPED) => last).reduce(addSums, NONE_SKIPPED);
  const ids = new Set(own.map(({ id }) => id));
  const before = manifest.jobs().filter(({ id }) => !ids.has(id));
  let failedBefore = 0;
  for (const [at, { store, export: options }] of parts.entries()) {
    if ((lasts[at]?.failedBefore ?? 0) === 0) continue;
    const isOwn = options.kin?.has ?? isOneOf([options.target]);
    const jobs = before.filter((job) => isOwn(job.target));
    failedBefore += (await readFailures(jobs, (job) => manifest.bring(job), store)).waiting;
  }
  return { ...seen, failedBefore };
}

type RunEnd = Readonly<{
  /** Every job that was unfinished at the start or made since. */
  jobs: readonly Job[];
  /** Of each target. */
  exports: readonly (readonly ExportSummary[])[];
  restored: number;
  timedOut: boolean;
  errorOf: (target: Target) => UserError | undefined;
  /** Targets of these jobs that nothing is exported for. */
  others: readonly Target[];
}>;

/** Creates in a row without an answer and without a batch before a run gives up: some five hours. */
const MAX_LOST_IN_RUN = 24;

/** `waiting`: of each target, the rows that were NULL at the start. */
async function driveAll(
  services: RunServices,
  options: RunOptions,
  waiting: readonly number[],
): Promise<RunEnd> {
  const { manifest } = services;
  const endedBefore = manifest.jobs().filter((job) => !isOpen(job));
  const before = new Set(endedBefore.map(({ id }) => id));
  const ownJobs = () => manifest.jobs().filter(({ id }) => !before.has(id));
  const parts = partsOf(services, options);
  const refuses = (target: Target) => blocked.refuses(target);
  const start = { parts, waiting, before, refuses };
  const canaries = options.canary === true ? await chooseCanaries(services, start) : [];
  const { shared = false } = options;
  // where the first job cannot be imported, no other is sent
  const isVital = (job: Job) => !shared && canaries.some((canary) => canary.mayBe(job));
  const blocked = blockedJobs(manifest, options.unfit, isVital);
  const mayMove = (target: Target) => parts.some((part) => part.export.kin?.has(target));
  const awaitsOthers = ({ sums: { stale, gone } = NO_ROWS, target }: Job) =>
    stale > 0 || (gone > 0 && mayMove(target));
  const hasStaleRows = () => ownJobs().some(awaitsOthers);
  const around = worldOf(services, options.quotaWaitMs, blocked);
  const { duties = around.duties } = options.crew ?? {};
  const world = { ...options, ...around, duties, hasStaleRows, shared };
  blockKeyless(world);
  const { lanes, again, exporting } = lanesOf(world, parts, canaries);
  // what an earlier run or the single stages left
  for (const job of endedBefore) again.add(job);
  if (duties.has("resubmit")) await again.sendDue();
  let timedOut = false;
  try {
    timedOut = await drive(lanes, world, options.timeoutMs);
  } finally {
    for (const each of exporting) await each.end();
  }
  world.outages.halted.throwIfAborted();
  if (!shared) blocked.throwFirst();
  const jobs = ownJobs();
  const { errorOf } = blocked;
  const asked = parts.map((part) => part.export.target);
  const isAsked = (target: Target) => asked.some((each) => sameTarget(each, target));
  const others = [...new Set(jobs.map(({ target }) => target))].filter((each) => !isAsked(each));
  const errors = new Set([...asked, ...others].flatMap((each) => errorOf(each) ?? []));
  for (const { message, hint } of errors) services.report({ type: "warning", message, hint });
  const exports = exporting.map(({ summaries }) => summaries);
  const restored = sumOf(exporting.map((each) => each.restored));
  return { jobs, exports, restored, timedOut, errorOf, others };
}

type RunWorld = World &
  RunServices &
  RunOptions &
  Readonly<{ hasStaleRows: () => boolean; shared: boolean }>;

/** In the order in which they are asked: export last, which has to know whether all else rests. */
function lanesOf(its: RunWorld, parts: readonly Part[], known: Canary[]) {
  const { manifest, blocked, clock } = its;
  const canaries = () => canariesNow(its, known);
  const { bounds } = its.export;
  const gate = () => {
    const gates = canaries().map((canary) => canary.gate());
    return (job: Job) => gates.every((mayStart) => mayStart(job)) && !blocked.refuses(job.target);
  };
  const instead = (job: Job, project: string) => {
    const log = manifest.quota(job.target.model, project);
    if (!isTooLarge(job, bounds, log)) return undefined;
    const asOne = { ...its, manifest: { ...manifest, quotas: () => [log] } };
    return () => cutAgain(asOne, job, bounds);
  };
  const doubted = doubtedJobs(clock);
  const { projects, readLists } = createsOf({ ...its, gate, instead }, MAX_LOST_IN_RUN);
  const world = { ...its, bounds, readLists, doubted, gate };
  const again = againLane(world);
  const ending = { ...world, onEnded: again.add };
  const exporting: ExportLane[] = [];
  for (const part of parts) {
    const { store, export: options } = part;
    const canary = () => canaries().find((each) => each.covers(options.target));
    const boundsOfNext = () => canary()?.boundsOfNext(options.bounds) ?? options.bounds;
    const exported = { ...options, boundsOfNext };
    const paidRows = () => writablePaid({ ...its, store }, options);
    const before = exporting.filter((_, at) => isAsOne(parts[at], part));
    exporting.push(new ExportLane({ ...world, store, export: exported, paidRows, before }));
  }
  const fallen = () => canaries().find((canary) => canary.hasFallen());
  const lanes: readonly Lane[] = [
    again,
    { next: (isQuiet) => (isQuiet && again.isEmpty() ? stepOf(its, parts, fallen()) : IDLE) },
    ...projects.flatMap((own) => [new SubmitLane(own), new SettleLane(own)]),
    embedLane(world),
    pollLane(ending),
    importLane(ending),
    ...exporting,
    ...(its.crew === undefined ? [] : [its.crew.laneIn({ ...its, held: heldBy(its) })]),
    othersLane(ending),
  ];
  return { lanes, again, exporting };
}

function writablePaid(services: RunServices, { target, kin }: ExportOptions) {
  const fetch = (job: Job) => refetchResults(services, job);
  const rows = new PaidRows({ ...services, fetch }, target, kin);
  return {
    ask: rows.ask,
    write: () => writePaid(services, rows.found()),
  };
}

/** Beside others it costs its own target alone the rest. */
function stepOf(
  { shared, blocked }: RunWorld,
  parts: readonly Part[],
  canary: Canary | undefined,
): Step {
  if (canary === undefined) return IDLE;
  const isOwn = parts.some((part) => canary.covers(part.export.target));
  return async () => {
    const error = await canary.fall();
    if (!shared && isOwn) throw error;
    for (const target of canary.targets) blocked.giveUp(target, error);
  };
}

type Start = Readonly<{
  parts: readonly Part[];
  waiting: readonly number[];
  /** Jobs that had ended. */
  before: ReadonlySet<string>;
  refuses: IsOwn;
}>;

async function chooseCanaries(
  { manifest, report }: RunServices,
  { parts, waiting, before, refuses }: Start,
): Promise<Canary[]> {
  const firsts = firstsOf(parts).filter((first) => {
    const own = waiting.filter((_, at) => isAsOne(parts[at], first));
    const rows = Math.min(sumOf(own), first.export.limit ?? Infinity);
    return isCanaryWorth(manifest.jobs(), allOf(first).has, rows);
  });
  if (firsts.length > 0) report({ type: "canary", rows: CANARY_ROWS });
  const its = { manifest, refuses };
  if (!manifest.isShared) return firsts.map((one) => new Canary(its, allOf(one), before));
  for (const first of firsts) await manifest.recordTrial(first.export.target);
  return [];
}

/** Of tables that were asked for as one the first, and each other target. */
function firstsOf(parts: readonly Part[]): readonly Part[] {
  return parts.filter((part) => parts.find((each) => isAsOne(each, part)) === part);
}

function isAsOne(one: Part | undefined, other: Part): boolean {
  const { siblings } = other.export;
  return one === other || (siblings !== undefined && one?.export.siblings === siblings);
}

/** With the part all that were asked for as one with it. */
function allOf({ export: { target, siblings } }: Part): Pick<Siblings, "targets" | "has"> {
  return siblings ?? allIn([target]);
}

function allIn(targets: readonly Target[]): Pick<Siblings, "targets" | "has"> {
  return { targets, has: isOneOf(targets) };
}

/** Those of this run; of those who share the manifest, what they have begun, whatever target it is of. */
function canariesNow(its: RunWorld, known: Canary[]): readonly Canary[] {
  const { manifest, canary, blocked } = its;
  if (!manifest.isShared || canary !== true) return known;
  for (const target of manifest.trials()) {
    if (known.some((each) => each.has(target))) continue;
    const all = partsOf(its, its)
      .map(allOf)
      .find((each) => each.has(target));
    const own = { manifest, refuses: blocked.refuses };
    known.push(new Canary(own, all ?? allIn([target]), NONE_BEFORE));
  }
  return known;
}

const NONE_BEFORE: ReadonlySet<string> = new Set();

/** What is on its way is NULL still; here the limit no longer counts it (`limitOfRun`). */
function reportGoal(
  { manifest, report }: RunServices,
  parts: readonly Part[],
  waiting: readonly number[],
): void {
  const onTheWay = manifest.jobs().filter(isOpen);
  const open = onTheWay.reduce((rows, { requests }) => rows + requests, 0);
  const pending = sumOf(waiting);
  const limit = sumOf(firstsOf(parts).map((first) => first.export.limit ?? Infinity));
  const rows = Math.min(pending, open + limit);
  report({ type: "goal", rows, withoutVector: pending });
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** Rows that were not exported any more need their part as well. */
function withExpected(stop: CostStop | undefined, expectedUsd: number): CostStop | undefined {
  return stop && { ...stop, neededUsd: Math.max(stop.neededUsd, expectedUsd) };
}

function hasNothingUnderWay({ timedOut, jobs }: RunEnd, stop: CostStop | undefined): boolean {
  return !timedOut && !jobs.some((job) => isOpen(job) && !isHeldBy(job, stop));
}

/** By the limit on cost; or those that are others' to go on with: of other projects or, where nothing more is sent here, to send. */
function heldBy(its: RunWorld) {
  const { manifest, costLimit, outages } = its;
  return () => {
    const stop = costStop(manifest, costLimit);
    const isHeld = outages.halted.aborted ? isToSend : (job: Job) => isHeldBy(job, stop);
    return (job: Job) => isHeld(job) || !hasKeyOf(its, job);
  };
}

/** Jobs that the limit on cost holds back wait for a person; nothing comes of them by itself. */
function isHeldBy(job: Job, stop: CostStop | undefined): boolean {
  return stop !== undefined && needs(job) === "send";
}

/** Rows of a partition that may have come from another one, or be like that one's. */
function hasPassedOver({ export: { kin, limit } }: Part, last: ExportSummary | undefined): boolean {
  return kin !== undefined && limit === undefined && (last?.skipped.inFlight ?? 0) > 0;
}

/** The last pass was not the one that finds nothing more, and rows changed while they were away. */
function hasStaleRowsLeft(jobs: readonly Job[], last: ExportSummary | undefined): boolean {
  const wasLastPassEmpty = last === undefined || last.exported === 0;
  return (
    !wasLastPassEmpty &&
    jobs.some((job) => last.jobs.includes(job.id) && (job.sums?.stale ?? 0) > 0)
  );
}
