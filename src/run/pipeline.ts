/**
 * Run: the stages as one pipeline. Six tasks work at once over the manifest, which alone says what
 * each has to do: one exports, one submits, one finds out what became of creates without an answer, one
 * polls, one downloads and imports, and one embeds at once the jobs whose lane that is. A task that
 * finds nothing to do sleeps until another has changed something. Export waits while enough jobs
 * wait to be submitted, so that files and tokens do not pile up. The first task that fails stops
 * the others where their files and the manifest agree.
 */
import type { StageServices } from "../manifest/stage-services.ts";
import { MS_PER_SECOND } from "../clock.ts";
import { JobBlocked, ResultsDoubted, UserError } from "../errors.ts";
import { exportJobs, type ExportOptions, type ExportSummary } from "../export/export.ts";
import { nextToEmbed } from "../embed/embed.ts";
import { embedJob } from "../embed/embed-job.ts";
import { importResults, type ImportServices } from "../import/import.ts";
import { type CostLimit, withinLimit } from "../cost/cost.ts";
import { fillings, type JobBounds } from "../jobs-folder/cut.ts";
import { jobsWithoutRows } from "../jobs-folder/found-rows.ts";
import type { Job } from "../manifest/job.ts";
import { GeminiError, isOutage, isUnanswered } from "../gemini/port.ts";
import type { Prices } from "../cost/tariff.ts";
import { isForSync, type LaneChoice } from "../cost/lane.ts";
import { jobOfOtherSpace } from "../manifest/vector-space.ts";
import { pollDue, reportNextLook, submittedJobs } from "../poll/poll.ts";
import { PollSchedule } from "../poll/schedule.ts";
import { StuckNotices } from "../poll/stuck.ts";
import { cutAgain } from "../resubmit/cut-again.ts";
import { type Pool, Pools } from "../resubmit/pool.ts";
import { resubmitJobs, retryableBelow } from "../resubmit/resubmit.ts";
import { type Store, TableRefusal } from "../store/port.ts";
import { sameTarget, type Target } from "../row/target.ts";
import { isStuck } from "../jobs-folder/batch-age.ts";
import { adoptBatches } from "../submit/adopt.ts";
import { Settling } from "../submit/reconcile.ts";
import { submitJob, type SubmitOutcome } from "../submit/submit-job.ts";
import { nameUsualCauses } from "../quota/refused-alone.ts";
import { fullText } from "../quota/full-text.ts";
import { isTooLarge, learnedBounds } from "../quota/learned-bounds.ts";
import { nextTry, type NextTry, type Window } from "../quota/next-try.ts";
import { Canary, CANARY_ROWS, canaryBounds, isCanaryWorth } from "../quota/canary.ts";
import { someJobs } from "../words/figures.ts";
import { Changes } from "./changes.ts";
import { DoubtedJobs } from "./doubted-jobs.ts";
import { OutagePause } from "./outage-pause.ts";
import { isOpen, type Need, needs } from "../manifest/states.ts";

export type RunServices = StageServices & ImportServices & Readonly<{ store: Store }>;

export type RunOptions = Readonly<{
  export: ExportOptions;
  window: Window;
  /** A small job first, alone, unless one of the target has gone through before. */
  canary?: boolean;
  prices: Prices;
  /** Undefined: none. What was sent is waited for and imported when it is reached. */
  costLimit?: CostLimit | undefined;
  /** Undefined: batches only, and what was begun otherwise. */
  lane?: LaneChoice | undefined;
  /** What all that there is to do was expected to cost; undefined: nobody asked. */
  expectedUsd?: number | undefined;
  /** Of other tables, those that take no vector. */
  unfit?: readonly Target[];
  reconcileGraceMs: number;
  quotaWaitMs: number;
  /** Undefined: adaptive. */
  pollIntervalMs: number | undefined;
  /** The age at which a batch is reported as stuck. */
  stuckAfterMs: number;
  maxAttempts: number;
  /** Give up waiting after so long; the batches go on. */
  timeoutMs: number | undefined;
  /** Another folder's batches are no reason to wait, nor to leave what failed in them. */
  beside?: boolean;
}>;

/** The job that is sent next, and when. */
type Next = Readonly<{ job: Job; try: NextTry }>;

export type PipelineEnd = Readonly<{
  /** Every job that was unfinished at the start or made since. */
  jobs: readonly Job[];
  exports: readonly ExportSummary[];
  timedOut: boolean;
}>;

/** How many exported jobs may wait for submission before export pauses. */
const MAX_JOBS_AHEAD = 4;
/** What a job needs that has left and may still leave rows to be sent again. */
const SENT = ["look", "write", "fetch"] as const;
const UNDER_WAY = [...SENT, "embed", "settle"] as const;
/** Rows whose text changed under way are exported anew; a table that never rests is left at last. */
const MAX_EXPORT_PASSES = 3;
/** Creates without an answer and without a batch, in a row, before a run gives up: some five hours. */
const MAX_LOST_CREATES = 24;
/** The same for calls that embed at once, each of which may have been charged. */
const MAX_LOST_EMBEDDINGS = 4;

export async function runPipeline(
  services: RunServices,
  options: RunOptions,
): Promise<PipelineEnd> {
  return new Pipeline(services, options).run();
}

class Pipeline {
  readonly #services: RunServices;
  readonly #options: RunOptions;
  readonly #changes = new Changes();
  readonly #stop = new AbortController();
  /** Ends the export where the limit on cost lets nothing more through. */
  readonly #stopExport = new AbortController();
  /** Jobs that had ended before this run; everything else is its work. */
  readonly #endedBefore: ReadonlySet<string>;
  readonly #exports: ExportSummary[] = [];
  #exporting = true;
  #worksInHand = 0;
  #hasGeminiAnswered = false;
  /** Jobs that cannot be imported as things are; the others go on without them. */
  readonly #blocked = new Map<string, JobBlocked>();
  /** Jobs whose results are fetched again later. */
  readonly #doubted: DoubtedJobs;
  readonly #downloadPause: OutagePause;
  #listRead: Promise<void> | undefined;
  /** Jobs whose create is under way. */
  readonly #sending = new Set<string>();
  /** Create requests in a row whose answer was lost and which had made no batch. */
  #lostCreates = 0;
  /** Attempts to embed at once, in a row, of which nothing came back. */
  #lostEmbeddings = 0;
  /** Why nothing more is sent. What is at Gemini is fetched first, and then it is thrown. */
  #halted: UserError | undefined;
  #timedOut = false;
  /** Of jobs that have ended: their retryable rows wait to be sent again. */
  #retries = new Pools();
  #canary: Canary | undefined;
  #hasCutCanary = false;

  constructor(services: RunServices, options: RunOptions) {
    const signal = AbortSignal.any([services.signal, this.#stop.signal]);
    this.#services = { ...services, signal };
    this.#options = options;
    this.#doubted = new DoubtedJobs(services.clock);
    this.#downloadPause = new OutagePause(services.clock, options.quotaWaitMs);
    const ended = services.manifest.jobs().filter((job) => !isOpen(job));
    this.#endedBefore = new Set(ended.map((job) => job.id));
  }

  async run(): Promise<PipelineEnd> {
    // what an earlier run or the single stages left
    for (const job of this.#services.manifest.jobs()) if (!isOpen(job)) this.#willRetry(job);
    await this.#sendAgain();
    this.#canary = await this.#chooseCanary();
    const timer = this.#timer();
    const sends = [this.#export(), this.#submit(), this.#settle(), this.#embed()];
    const tasks = [...sends, this.#poll(), this.#import()];
    try {
      const ends = await Promise.allSettled(tasks.map((task) => this.#guarded(task)));
      throwFirst(ends);
      if (this.#halted !== undefined) throw this.#halted;
      for (const blocked of this.#blocked.values()) throw blocked;
    } finally {
      this.#stop.abort();
      await timer;
    }
    return { jobs: this.#ownJobs(), exports: this.#exports, timedOut: this.#timedOut };
  }

  async #chooseCanary(): Promise<Canary | undefined> {
    const { store, manifest } = this.#services;
    const { target, limit = Infinity } = this.#options.export;
    if (this.#options.canary !== true) return undefined;
    const { pending } = await store.count();
    if (!isCanaryWorth(manifest.jobs(), target, Math.min(pending, limit))) return undefined;
    this.#services.report({ type: "canary", rows: CANARY_ROWS });
    return new Canary(manifest, target, this.#endedBefore);
  }

  /** Of the next request file. */
  #bounds(): JobBounds {
    const { bounds } = this.#options.export;
    if (this.#canary?.isToCome !== true || this.#hasCutCanary) return bounds;
    this.#hasCutCanary = true;
    return canaryBounds(bounds);
  }

  /** `#exporting` ends only when there will be no further pass: the other tasks leave by it. */
  async #export(): Promise<void> {
    const passes = (await this.#rowsAreKnown()) ? MAX_EXPORT_PASSES : 0;
    for (let pass = 0; pass < passes && !this.#isStopped(); pass++) {
      const summary = await this.#exportPass();
      this.#exports.push(summary);
      if (summary.exported === 0 || this.#options.export.limit !== undefined) break;
      await this.#until(() => this.#isDrained());
      if (!this.#hasStaleRows() || this.#sendsNoMore()) break;
    }
    this.#exporting = false;
    this.#changes.notify();
  }

  /** Waits until it is known of every job under way which rows it has; false where it cannot be. */
  async #rowsAreKnown(): Promise<boolean> {
    const { manifest, report } = this.#services;
    if (this.#options.beside === true) return true;
    const jobs = await jobsWithoutRows(manifest, this.#options.export.target);
    if (jobs.length === 0) return true;
    const now = ({ id }: Job) => manifest.job(id);
    const isKnown = (job: Job) => !isOpen(now(job)) || now(job).rowsFile !== undefined;
    const isOver = (job: Job) => isKnown(job) || this.#blocked.has(job.id);
    const message = `Rows are selected once job ${someJobs(jobs.map(({ id }) => id))} has ended: only its results tell which rows it has. With --beside nothing is waited for.`;
    report({ type: "warning", message, hint: undefined });
    await this.#until(() => jobs.every(isOver) || this.#sendsNoMore());
    return jobs.every(isKnown);
  }

  async #exportPass(): Promise<ExportSummary> {
    const signal = AbortSignal.any([this.#services.signal, this.#stopExport.signal]);
    const options = { ...this.#options.export, boundsOfNext: () => this.#bounds() };
    const jobs = exportJobs({ ...this.#services, signal }, options);
    for (;;) {
      const step = await jobs.next();
      if (step.done) return step.value;
      this.#changes.notify();
      await this.#until(() => this.#waitingJobs().length < MAX_JOBS_AHEAD || this.#sendsNoMore());
      if (this.#sendsNoMore()) this.#stopExport.abort();
    }
  }

  async #submit(): Promise<void> {
    const pause = new OutagePause(this.#services.clock, this.#options.quotaWaitMs);
    const full = new FullNotice(this.#services);
    while (!this.#isStopped()) {
      await this.#sendAgain();
      if (this.#worksInHand === 0 && this.#retries.isEmpty) await this.#canary?.check();
      const first = this.#nextToSubmit();
      if (first === undefined || !this.#isDue(first)) {
        if (this.#isFinished()) return;
        await this.#untilDue(first, full);
        continue;
      }
      if (!(await this.#isAsked(() => this.#lookBefore(first.job), pause))) continue;
      // what was found just now may fill the window, or be this very job's batch
      const next = this.#nextToSubmit();
      if (next !== undefined && this.#isDue(next)) await this.#submitOrWait(next, pause);
    }
  }

  #isDue(next: Next | undefined): boolean {
    return next !== undefined && next.try.atMs <= this.#services.clock.now().getTime();
  }

  /** Reckoned anew when something changes. */
  async #untilDue(next: Next | undefined, full: FullNotice): Promise<void> {
    const { clock, signal } = this.#services;
    if (next === undefined) return this.#changes.next(signal);
    full.tell(next);
    await this.#changes.nextWithin(next.try.atMs - clock.now().getTime(), clock, signal);
  }

  async #submitOrWait({ job, try: { probe } }: Next, pause: OutagePause): Promise<void> {
    const { bounds } = this.#options.export;
    try {
      if (isTooLarge(job, bounds, this.#services.manifest.quota(job.target.model))) {
        await this.#inHand(async () => void (await cutAgain(this.#services, job, bounds)));
      } else await this.#submitOne(job, probe, pause);
    } catch (error) {
      if (isAboutSending(error)) this.#halt(error);
      else await this.#waitOut(error, pause);
    }
  }

  /** Nothing more is sent or exported; what was sent is waited for and imported. */
  #halt(error: UserError): void {
    this.#halted = error;
    const { manifest, report } = this.#services;
    const atGemini = submittedJobs(manifest).length;
    if (atGemini > 0) {
      const message = `${error.message} Nothing more is sent; what is at Gemini is fetched first.`;
      report({ type: "warning", message, hint: error.hint });
    }
    this.#stopExport.abort();
    this.#changes.notify();
  }

  async #submitOne(job: Job, probe: NextTry["probe"], pause: OutagePause): Promise<void> {
    const outcome = await this.#sendOne(job, probe);
    this.#hasGeminiAnswered ||= outcome.kind !== "uncertain";
    this.#changes.notify();
    this.#lostCreates = outcome.kind === "uncertain" ? this.#lostCreates + 1 : 0;
    if (outcome.kind === "submitted") return pause.reset();
    // the books know when it is tried again
    if (outcome.kind === "quota") return nameUsualCauses(this.#services, job);
    // the first lost answer is looked into at once; after several, the service needs a rest
    if (this.#lostCreates === 1) return;
    if (this.#lostCreates > MAX_LOST_CREATES) throw noAnswers(job, outcome.message);
    await this.#rest(pause, `for answers at Gemini (job ${job.id}: ${outcome.message})`);
  }

  async #sendOne(job: Job, probe: NextTry["probe"]): Promise<SubmitOutcome> {
    this.#sending.add(job.id);
    try {
      return await submitJob(this.#services, job, probe);
    } finally {
      this.#sending.delete(job.id);
    }
  }

  /** Creates without an answer, beside all else: each stops no job but its own. */
  async #settle(): Promise<void> {
    const { clock, signal } = this.#services;
    const { reconcileGraceMs, quotaWaitMs } = this.#options;
    const pause = new OutagePause(clock, quotaWaitMs);
    const settling = new Settling(this.#services, reconcileGraceMs, this.#isBeingSent);
    while (!this.#isStopped()) {
      if (this.#halted === undefined && settling.open().length > 0) {
        const lookedAtMs = clock.elapsedMs();
        let waitMs = 0;
        const look = async () => void (waitMs = await this.#lookForLost(settling));
        await this.#isAsked(look, pause);
        await this.#untilLook(settling, lookedAtMs + waitMs);
      } else if (this.#isFinished()) return;
      else await this.#changes.next(signal);
    }
  }

  async #lookForLost(settling: Settling): Promise<number> {
    const { adopted, absent, waitMs } = await settling.look();
    if (adopted.length > 0) this.#lostCreates = 0;
    if (adopted.length + absent.length > 0) this.#changes.notify();
    return waitMs;
  }

  /** Others change much meanwhile; only a new lost answer is looked into at once. */
  async #untilLook(settling: Settling, dueMs: number): Promise<void> {
    const { clock, signal } = this.#services;
    const isWaiting = () => this.#halted === undefined && settling.open().length > 0;
    while (!this.#isStopped() && isWaiting() && !settling.hasNew()) {
      const leftMs = dueMs - clock.elapsedMs();
      if (leftMs < 1) return;
      await this.#changes.nextWithin(leftMs, clock, signal);
    }
  }

  readonly #isBeingSent = (job: Job) => this.#sending.has(job.id);

  /** False where Gemini does not tell what is there: then nothing is sent. */
  async #isAsked(ask: () => Promise<void>, pause: OutagePause): Promise<boolean> {
    try {
      await ask();
      return true;
    } catch (error) {
      if (isOutage(error) && !isUnanswered(error)) await this.#waitOut(error, pause);
      else if (error instanceof UserError) this.#halt(error);
      else throw error;
      return false;
    }
  }

  /** Once more for a job that was sent before: a batch of it may have shown meanwhile. */
  async #lookBefore({ submissions }: Job): Promise<void> {
    await this.#readList();
    if (submissions === 0) return;
    const { adopted } = await adoptBatches(this.#services, this.#isBeingSent);
    if (adopted.length > 0) this.#changes.notify();
  }

  /**
   * Once in any case: a manifest restored from a backup does not know of its last batches. Again where
   * there are some that no job has: a job that is exported now may be theirs.
   */
  #readList(): Promise<void> {
    this.#listRead ??= this.#adoptBatches().catch((error: unknown) => {
      this.#listRead = undefined;
      throw error;
    });
    return this.#listRead;
  }

  async #adoptBatches(): Promise<void> {
    const { manifest } = this.#services;
    for (;;) {
      const jobs = manifest.jobs().length;
      const { adopted, unknown } = await adoptBatches(this.#services, this.#isBeingSent);
      if (adopted.length > 0) this.#changes.notify();
      if (unknown === 0) return;
      // one that was exported meanwhile may be theirs, and must not be sent before that is known
      if (manifest.jobs().length === jobs) break;
    }
    this.#listRead = undefined;
  }

  async #embed(): Promise<void> {
    const { signal, clock } = this.#services;
    const pause = new OutagePause(clock, this.#options.quotaWaitMs);
    while (!this.#isStopped()) {
      if (this.#isNextToBegin() && !(await this.#hasReadList(pause))) continue;
      // what was found just now may be this very job's batch
      const job = this.#nextToEmbed();
      if (job === undefined && this.#isFinished()) return;
      if (job === undefined) await this.#changes.next(signal);
      else await this.#inHand(() => this.#embedOne(job, pause));
    }
  }

  /** False where Gemini was not reached and may be by now. */
  async #hasReadList(pause: OutagePause): Promise<boolean> {
    try {
      await this.#readList();
      return true;
    } catch (error) {
      await this.#waitOut(error, pause);
      return false;
    }
  }

  #isNextToBegin(): boolean {
    const job = this.#nextToEmbed();
    return job !== undefined && needs(job) === "send";
  }

  #nextToEmbed(): Job | undefined {
    if (this.#halted !== undefined) return undefined;
    return nextToEmbed(this.#services.manifest, this.#options, this.#gate());
  }

  async #embedOne(job: Job, pause: OutagePause): Promise<void> {
    const onAnswer = () => {
      this.#hasGeminiAnswered = true;
      this.#lostEmbeddings = 0;
      pause.reset();
    };
    try {
      await embedJob({ ...this.#services, onAnswer }, job);
    } catch (error) {
      if (isAboutSending(error)) return this.#halt(error);
      if (isUnanswered(error)) this.#lostEmbeddings += 1;
      if (this.#lostEmbeddings > MAX_LOST_EMBEDDINGS) throw error;
      await this.#waitOut(error, pause);
    }
  }

  async #poll(): Promise<void> {
    const { manifest, clock, signal } = this.#services;
    const schedule = new PollSchedule(clock, this.#options.pollIntervalMs);
    const stuck = new StuckNotices(this.#options.stuckAfterMs);
    while (!this.#isStopped()) {
      await this.#inHand(async () => {
        const ended = await pollDue(this.#services, schedule, stuck);
        this.#hasGeminiAnswered ||= ended.length > 0;
        for (const error of schedule.blocked) this.#block(error);
        for (const id of ended) this.#willRetry(manifest.job(id));
      });
      if (this.#isFinished()) return;
      const waitMs = schedule.untilDueMs(submittedJobs(manifest));
      reportNextLook(this.#services, schedule);
      await this.#changes.nextWithin(waitMs, clock, signal);
    }
  }

  async #import(): Promise<void> {
    const { clock, signal } = this.#services;
    while (!this.#isStopped()) {
      const isDue = ({ id }: Job) => !this.#blocked.has(id) && this.#doubted.untilDueMs(id) === 0;
      const job = this.#first(["write", "fetch"], isDue);
      if (job !== undefined) await this.#inHand(() => this.#importOne(job));
      else if (this.#isFinished()) return;
      else if (!this.#giveUpDoubted()) {
        await this.#changes.nextWithin(this.#doubted.untilNextMs(), clock, signal);
      }
    }
  }

  /** True where nothing else has been under way for as long as they are waited for. */
  #giveUpDoubted(): boolean {
    const isElse = this.#isAnyUnderWay((id) => this.#doubted.has(id));
    const isToSend = this.#nextToSubmit() !== undefined || this.#nextToEmbed() !== undefined;
    const given = this.#doubted.giveUp(!isElse && !isToSend && this.#retries.isEmpty);
    for (const error of given) this.#block(error);
    if (given.length > 0) this.#changes.notify();
    return given.length > 0;
  }

  async #importOne(job: Job): Promise<void> {
    try {
      const done = await importResults(this.#services, job);
      this.#doubted.delete(job.id);
      if (done !== undefined) this.#willRetry(done);
    } catch (error) {
      if (error instanceof ResultsDoubted) return this.#fetchLater(error);
      if (error instanceof JobBlocked) this.#block(error);
      else await this.#waitOut(error, this.#downloadPause);
    }
  }

  #block(error: JobBlocked): void {
    // where the first job cannot be imported, no other is sent
    if (this.#canary?.mayBe(this.#services.manifest.job(error.job)) === true) throw error;
    this.#doubted.delete(error.job);
    this.#blocked.set(error.job, error);
  }

  #fetchLater(error: ResultsDoubted): void {
    const waitMs = this.#doubted.add(error);
    const { message, hint } = error;
    this.#services.report({ type: "warning", message, hint });
    const why = `to fetch the results of job ${error.job} again`;
    this.#services.report({ type: "waiting", why, seconds: Math.round(waitMs / 1000) });
  }

  /** Where Gemini has answered in this run, it will again: laptops sleep, networks go away. */
  async #waitOut(error: unknown, pause: OutagePause): Promise<void> {
    if (!this.#hasGeminiAnswered || !isOutage(error)) throw error;
    const message = error instanceof Error ? error.message : "";
    await this.#rest(pause, `for Gemini to be reached again (${message})`);
  }

  async #rest(pause: OutagePause, why: string): Promise<void> {
    const waitMs = pause.next();
    this.#services.report({ type: "waiting", why, seconds: Math.round(waitMs / 1000) });
    await pause.wait(waitMs, this.#services.signal);
    this.#services.report({ type: "resumed", why });
  }

  /** While a job that has ended may still get a child, no task may take the work for finished. */
  async #inHand(work: () => Promise<void>): Promise<void> {
    this.#worksInHand += 1;
    try {
      await work();
    } finally {
      this.#worksInHand -= 1;
      this.#changes.notify();
    }
  }

  #willRetry(job: Job): void {
    const { maxAttempts, beside } = this.#options;
    // the folder that has sent it may do so itself
    if (job.recovered && beside !== true) return;
    if (job.outstanding.retryable > 0 && job.attempt < maxAttempts) this.#retries.add(job);
  }

  /** The retryable rows of many jobs in few: they wait for more until they fill one or none can come. */
  async #sendAgain(): Promise<void> {
    if (this.#halted !== undefined) return;
    const pools = this.#retries.take((pool) => this.#isPoolDue(pool));
    if (pools.length === 0) return;
    await this.#inHand(async () => {
      for (const pool of pools) await this.#sendPoolAgain(pool);
    });
  }

  async #sendPoolAgain({ first, jobs }: Pool): Promise<void> {
    if (this.#isRefused(first.target)) return;
    // they wait: no run decides between two vector spaces
    if (jobOfOtherSpace(this.#services.manifest.jobs(), first.target) !== undefined) return;
    const { export: exporting, maxAttempts } = this.#options;
    await resubmitJobs(
      this.#services,
      [...jobs.values()],
      exporting.bounds,
      retryableBelow(maxAttempts),
    );
  }

  #isPoolDue({ first: { target }, size }: Pool): boolean {
    const { manifest, clock } = this.#services;
    const { bounds } = this.#options.export;
    if (fillings(size, learnedBounds(bounds, manifest.quota(target.model))) >= 1) return true;
    const mayFailRows = (job: Job) =>
      sameTarget(job.target, target) &&
      !this.#blocked.has(job.id) &&
      !this.#doubted.has(job.id) &&
      !isStuck(job, clock.now(), this.#options.stuckAfterMs);
    return this.#first(UNDER_WAY, mayFailRows) === undefined;
  }

  async #timer(): Promise<void> {
    const { clock, signal } = this.#services;
    if (this.#options.timeoutMs === undefined) return;
    try {
      await clock.sleep(this.#options.timeoutMs, signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    this.#timedOut = true;
    this.#stop.abort();
  }

  /** The first task that fails stops the others. */
  async #guarded(task: Promise<void>): Promise<void> {
    try {
      await task;
    } catch (error) {
      const stopped = this.#isStopped() && isAbort(error);
      this.#stop.abort();
      if (!stopped) throw error;
    } finally {
      this.#changes.notify();
    }
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.#isStopped()) await this.#changes.next(this.#services.signal);
  }

  #isStopped(): boolean {
    return this.#services.signal.aborted;
  }

  /** Nothing is left for any task. */
  #isFinished(): boolean {
    return !this.#exporting && this.#isDrained();
  }

  #isDrained(): boolean {
    const { manifest } = this.#services;
    if (this.#isAnyUnderWay(() => false)) return false;
    if (this.#halted !== undefined) return true;
    if (!this.#retries.isEmpty) return false;
    // what the limit holds back waits for a bill that comes in, and for no task
    const isTaken = ({ target }: Job) => !this.#isRefused(target);
    return withinLimit(manifest, this.#options.costLimit, isTaken).next().done === true;
  }

  /** Those left out do not count. */
  #isAnyUnderWay(isLeftOut: (id: string) => boolean): boolean {
    // what is being sent is at Gemini in a moment, also where nothing more is
    if (this.#worksInHand > 0 || this.#sending.size > 0) return true;
    const sent = this.#halted === undefined ? UNDER_WAY : SENT;
    return this.#first(sent, ({ id }) => !this.#blocked.has(id) && !isLeftOut(id)) !== undefined;
  }

  /** Which jobs may be begun, beside what they cost. */
  #gate(): (job: Job) => boolean {
    const gate = this.#canary?.gate() ?? (() => true);
    return (job) => gate(job) && !this.#isRefused(job.target);
  }

  /** Its table takes no vectors: nothing more is paid for, and what is paid for already waits on disk. */
  #isRefused(target: Target): boolean {
    const { manifest } = this.#services;
    const blocked = [...this.#blocked].filter(([, { cause }]) => cause instanceof TableRefusal);
    const unfit = blocked.map(([id]) => manifest.job(id).target);
    return [...unfit, ...(this.#options.unfit ?? [])].some((each) => sameTarget(each, target));
  }

  /** Nothing is under way that could come cheaper than it was estimated. */
  #isStoppedByCost(): boolean {
    return (
      this.#options.costLimit !== undefined && this.#waitingJobs().length > 0 && this.#isDrained()
    );
  }

  #sendsNoMore(): boolean {
    if (this.#halted !== undefined || this.#isStoppedByCost()) return true;
    return this.#isRefused(this.#options.export.target);
  }

  /** The oldest job that waits, and when it is sent. */
  #nextToSubmit(): Next | undefined {
    const { manifest, clock } = this.#services;
    if (this.#halted !== undefined) return undefined;
    const { costLimit, lane } = this.#options;
    const gate = this.#gate();
    const passing = withinLimit(manifest, costLimit);
    const job = passing.find((each) => !isForSync(each, lane) && gate(each));
    if (job === undefined) return undefined;
    const { window, quotaWaitMs } = this.#options;
    const log = manifest.quota(job.target.model);
    const nowMs = clock.now().getTime();
    const jobs = this.#queuedJobs();
    return { job, try: nextTry(job, { jobs, window, log, quotaWaitMs, nowMs }) };
  }

  /** The first need first: their lists are never put together, however long they are. */
  #first(needed: readonly Need[], holds: (job: Job) => boolean): Job | undefined {
    for (const need of needed) {
      const job = this.#services.manifest.needing(need).find(holds);
      if (job !== undefined) return job;
    }
    return undefined;
  }

  #waitingJobs(): readonly Job[] {
    return this.#services.manifest.needing("send");
  }

  #queuedJobs(): readonly Job[] {
    return this.#services.manifest.needing("settle", "look");
  }

  #ownJobs(): Job[] {
    return this.#services.manifest.jobs().filter((job) => !this.#endedBefore.has(job.id));
  }

  #hasStaleRows(): boolean {
    return this.#ownJobs().some((job) => (job.sums?.stale ?? 0) > 0);
  }
}

/** Says what is waited for, and says it again when it is something else or comes at another time. */
class FullNotice {
  readonly #services: RunServices;
  #told = "";

  constructor(services: RunServices) {
    this.#services = services;
  }

  tell({ job, try: next }: Next): void {
    const { manifest, clock, report } = this.#services;
    const log = manifest.quota(job.target.model);
    const why = fullText(next, manifest.needing("settle", "look"), log);
    if (why === this.#told) return;
    this.#told = why;
    const inMs = next.atMs - clock.now().getTime();
    const seconds = Number.isFinite(inMs) ? Math.ceil(inMs / MS_PER_SECOND) : undefined;
    report({ type: "quotaFull", why, seconds, refusals: log.refusalsInRow });
  }
}

/** What would refuse the next create as well, and says nothing of batches that are there. */
function isAboutSending(error: unknown): error is UserError {
  if (!(error instanceof UserError) || !(error.cause instanceof GeminiError)) return false;
  return error.cause.kind === "billing" || error.cause.kind === "model";
}

function noAnswers(job: Job, message: string): UserError {
  return new UserError(
    `Starting the batch of job ${job.id} had no answer ${MAX_LOST_CREATES + 1} times in a row: ${message}.`,
    {
      hint: "Run the same command again later: it first finds out whether there is a batch, and goes on from there.",
      exit: "unfinished",
    },
  );
}

function throwFirst(ends: readonly PromiseSettledResult<void>[]): void {
  const failed = ends.find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
