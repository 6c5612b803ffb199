/** Sends the exported jobs, the oldest first, or of several targets each in turn, as the quota, the limit on cost and the canary let them through. */
import { MS_PER_SECOND } from "../clock.ts";
import { type CostLimit, withinLimit } from "../cost/cost.ts";
import { isForSync, type LaneChoice } from "../cost/lane.ts";
import { UserError } from "../errors.ts";
import type { Pause } from "../gates/outages.ts";
import { IDLE, type Lane, type Step } from "../gates/step.ts";
import { isOfProject, isOwnTurn, mayGoTo } from "../gates/keys.ts";
import type { World } from "../gates/world.ts";
import { projectOf } from "../jobs-folder/stage-services.ts";
import type { Job } from "../manifest/job.ts";
import { fullText } from "../quota/full-text.ts";
import { nextTry, type NextTry, type Window, windowNow } from "../quota/next-try.ts";
import { nameUsualCauses, warnOfTooLarge } from "../quota/refused-alone.ts";
import { columnName } from "../row/target.ts";
import type { Creates } from "./creates.ts";

export type SendOptions = Readonly<{
  /** Undefined: none. What was sent is waited for and imported when it is reached. */
  costLimit?: CostLimit | undefined;
  /** Undefined: batches only, and what was begun otherwise. */
  lane?: LaneChoice | undefined;
}>;

type SubmitWorld = World &
  SendOptions &
  Readonly<{
    window: Window;
    quotaWaitMs: number;
    creates: Creates;
    /** What is done in place of sending the job, if anything. */
    instead?: (job: Job, project: string) => (() => Promise<unknown>) | undefined;
    /** Several targets have the queue: that goes next of which the fewest tokens were sent. */
    shared?: boolean;
    /** Sends what there is room for now, and waits for nothing. */
    alone?: boolean;
  }>;

/** The job that is sent next, and when. */
type Next = Readonly<{ job: Job; try: NextTry }>;

export class SubmitLane implements Lane {
  readonly #world: SubmitWorld;
  readonly #pause: Pause = {};
  readonly submitted: string[] = [];
  /** Why jobs wait. */
  why: string | undefined;
  #isRefused = false;
  /** By column. */
  readonly #tokens = new Map<string, number>();

  constructor(world: SubmitWorld) {
    this.#world = world;
  }

  next(): Step {
    const { duties, outages, creates, alone } = this.#world;
    if (!duties.has("submit", projectOf(this.#world))) return IDLE;
    const next = this.#isRefused || creates.hasLostTooMany ? undefined : this.#nextToSubmit();
    if (next === undefined) return IDLE;
    const restMs = outages.sendingRestMs(this.#pause);
    if (restMs > 0) return restMs;
    const waitMs = this.#waitMs(next);
    if (waitMs <= 0) return () => this.#submit(next.job);
    this.#tell(next, waitMs);
    return alone === true ? IDLE : waitMs;
  }

  #nextToSubmit(): Next | undefined {
    const { manifest, clock, costLimit, lane, gate, shared, creates } = this.#world;
    const mayBegin = gate();
    const isToTake = (each: Job) => !creates.isBeingSent(each) && mayGoTo(this.#world, each);
    const mayBeSent = (each: Job) => !isForSync(each, lane) && isToTake(each) && mayBegin(each);
    const passing = () => withinLimit(manifest, costLimit).filter(mayBeSent);
    const firsts = (jobs: Iterable<Job>) =>
      shared === true ? this.#fairest(jobs) : this.#first(jobs);
    // what is too large for this project alone others take as it is
    const fitting = firsts(passing().filter(this.#fits));
    const nowMs = clock.now().getTime();
    const tries = (fitting.length > 0 ? fitting : firsts(passing())).map(this.#tryOf);
    const dueMs = (next: Next) => Math.max(next.try.atMs, nowMs);
    // two that wait for a batch's end are as good as each other
    return tries.toSorted((a, b) => dueMs(a) - dueMs(b))[0];
  }

  readonly #tryOf = (job: Job): Next => {
    const { manifest, clock, window, quotaWaitMs } = this.#world;
    const jobs = this.#queued();
    const log = manifest.quota(job.target.model, projectOf(this.#world));
    const nowMs = clock.now().getTime();
    const asked = { jobs, window: windowNow(manifest, window), log, quotaWaitMs, nowMs };
    return { job, try: nextTry(job, asked) };
  };

  /** What may be in the project's queue. */
  #queued(): readonly Job[] {
    return this.#world.manifest
      .needing("settle", "poll")
      .filter((job) => isOfProject(this.#world, job));
  }

  /** Others may have sent something, or begun a trial, while its file was uploaded. */
  #mayStart({ id }: Job): boolean {
    const { manifest, costLimit, gate } = this.#world;
    const job = withinLimit(manifest, costLimit).find((each) => each.id === id);
    return job !== undefined && gate()(job) && this.#waitMs(this.#tryOf(job)) <= 0;
  }

  readonly #fits = (job: Job): boolean =>
    this.#world.instead?.(job, projectOf(this.#world)) === undefined;

  /** The oldest, or the oldest that others do not begin with. */
  #first(jobs: Iterable<Job>): readonly Job[] {
    let first: Job | undefined;
    for (const job of jobs) {
      if (isOwnTurn(this.#world, job)) return [job];
      first ??= job;
    }
    return first === undefined ? [] : [first];
  }

  /** The fairest first, one of each model: what one queue does not take may have room in the other. */
  #fairest(jobs: Iterable<Job>): readonly Job[] {
    const oldest = new Map<string, Job>();
    for (const job of jobs) if (!oldest.has(columnOf(job))) oldest.set(columnOf(job), job);
    const sent = (job: Job) => this.#tokens.get(columnOf(job)) ?? 0;
    const fairest = new Map<string, Job>();
    for (const job of [...oldest.values()].toSorted((a, b) => sent(a) - sent(b)))
      if (!fairest.has(job.target.model)) fairest.set(job.target.model, job);
    return [...fairest.values()];
  }

  /** Whoever calls again does not wait for a pause: being refused once more costs nothing. */
  #waitMs({ try: { atMs, waitsFor } }: Next): number {
    const isFull = waitsFor === "jobs" || waitsFor === "tokens";
    return this.#world.alone === true && !isFull ? 0 : atMs - this.#world.clock.now().getTime();
  }

  /** Again when it waits for something else or until another time. */
  #tell({ job, try: next }: Next, waitMs: number): void {
    const { manifest, report, alone } = this.#world;
    const log = manifest.quota(job.target.model, projectOf(this.#world));
    const why = fullText(next, this.#queued(), log);
    if (why === this.why) return;
    this.why = why;
    const seconds = Number.isFinite(waitMs) ? Math.ceil(waitMs / MS_PER_SECOND) : undefined;
    if (alone !== true) report({ type: "quotaFull", why, seconds, refusals: log.refusalsInRow });
  }

  async #submit(job: Job): Promise<void> {
    const { outages, creates, instead } = this.#world;
    if (!(await outages.guarded(() => creates.lookBefore(job), this.#pause))) return;
    // what was found just now may fill the window, or be this very job's batch
    const next = this.#nextToSubmit();
    if (next === undefined || this.#waitMs(next) > 0) return;
    const project = projectOf(this.#world);
    const work = instead?.(next.job, project) ?? (() => this.#create(next));
    await work().catch((error: unknown) => outages.fail(error, this.#pause, project));
  }

  async #create({ job, try: { probe } }: Next): Promise<void> {
    const { outages, creates, alone = false } = this.#world;
    const mayStart = () => this.#mayStart(job);
    const outcome = await creates.send(job, { mayStart, probe });
    if (outcome.kind === "waits") return;
    outages.hasAnswered ||= outcome.kind !== "uncertain";
    if (outcome.kind === "uncertain") return this.#afterLost(job, outcome.message);
    if (outcome.kind === "submitted") {
      outages.passed(this.#pause);
      this.why = undefined;
      this.submitted.push(job.id);
      this.#tokens.set(columnOf(job), (this.#tokens.get(columnOf(job)) ?? 0) + job.tokens);
      return;
    }
    // the quota log knows when it is tried again
    if (alone) warnOfTooLarge(this.#world, outcome.job);
    nameUsualCauses(this.#world, outcome.job);
    this.#isRefused = alone;
    if (alone) this.why = `Gemini refused for quota: ${outcome.message}`;
  }

  /** The settle lane finds out at once what became of it. After several in a row the service needs a rest. */
  #afterLost(job: Job, message: string): void {
    const { outages, creates, alone } = this.#world;
    this.why = `no answer to the create: ${message}`;
    if (creates.hasLostTooMany && alone !== true)
      outages.halt(noAnswers(job, creates.lost, message));
    else if (creates.lost > 1) {
      outages.rest(this.#pause, `for answers at Gemini (job ${job.id}: ${message})`);
    }
  }
}

function columnOf({ target }: Job): string {
  return columnName(target);
}

function noAnswers(job: Job, times: number, message: string): UserError {
  return new UserError(
    `Starting the batch of job ${job.id} had no answer ${times} times in a row: ${message}.`,
    {
      hint: "Run the same command again later: it first finds out whether there is a batch, and goes on from there.",
      exit: "unfinished",
    },
  );
}
