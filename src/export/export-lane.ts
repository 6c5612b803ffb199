/**
 * Exports what is NULL, and waits while enough jobs wait to be sent, so that files and tokens do not pile up. Once all
 * is through, rows whose text changed under way are exported anew. Tables that were asked for as one go one after the
 * other, so that it is known of a row that goes from one to another whether it is under way; what was passed over for
 * that, or was gone from where it was, is looked for once more.
 */
import { type CostLimit, withinLimit } from "../cost/cost.ts";
import { HoldLost, UserError } from "../errors.ts";
import { IDLE, type Lane, type Step } from "../gates/step.ts";
import type { World } from "../gates/world.ts";
import { jobsWithoutRows } from "../jobs-folder/found-rows.ts";
import { nothingTaken, type TakenTogether } from "../jobs-folder/taken-rows.ts";
import type { Job } from "../manifest/job.ts";
import { isOpen } from "../manifest/states.ts";
import { isOneOf, sameTarget } from "../row/target.ts";
import type { Store } from "../store/port.ts";
import { someJobs } from "../words/figures.ts";
import { exportJobs, type ExportOptions, type ExportSummary } from "./export.ts";
import type { AskPaid } from "./screen.ts";

type ExportWorld = World &
  Readonly<{
    store: Store;
    export: ExportOptions;
    costLimit?: CostLimit | undefined;
    beside?: boolean;
    /** Other targets are exported at the same time: each has jobs ahead of its own. */
    shared?: boolean;
    /** Rows that are paid for and wait again, as a pass finds them. */
    paidRows: () => PaidRows;
    /** Of tables that were asked for as one with this, those that go before it. */
    before: readonly ExportLane[];
    /** Whether rows of this run changed while they were under way. */
    hasStaleRows: () => boolean;
  }>;

type PaidRows = Readonly<{
  ask: AskPaid | undefined;
  /** Writes those that were asked for; how many have their vectors again. */
  write: () => Promise<number>;
}>;

/** How many exported jobs may wait for submission before export pauses. */
const MAX_JOBS_AHEAD = 4;
/** A table that never rests is left at last: so many passes find what no sibling stood in the way of. */
const MAX_PASSES = 3;

/** What it waits for. */
type Condition = () => boolean;

export class ExportLane implements Lane {
  readonly #world: ExportWorld;
  readonly #stop = new AbortController();
  #work: AsyncGenerator<Condition, void>;
  /** Undefined at its end. */
  #until: Condition | undefined = () => true;
  #isQuiet = false;
  /** Of each pass. */
  readonly summaries: ExportSummary[] = [];
  /** How many are over. */
  #passed = 0;
  /** Of its last pass. */
  #taken: Readonly<{ pass: number; rows: TakenTogether }> | undefined;
  #paid: PaidRows | undefined;
  /** Rows that had lost their vectors and have them again. */
  restored = 0;

  constructor(world: ExportWorld) {
    const signal = AbortSignal.any([world.signal, world.outages.halted, this.#stop.signal]);
    this.#world = { ...world, signal };
    this.#work = this.#passes();
  }

  next(isQuiet: boolean): Step {
    this.#isQuiet = isQuiet;
    return this.#until?.() === true && this.#world.duties.has("export") ? () => this.#goOn() : IDLE;
  }

  /** The rows in hand become the last job. */
  async end(): Promise<void> {
    this.#stop.abort();
    while (this.#until !== undefined) await this.#goOn();
  }

  async #goOn(): Promise<void> {
    this.#until = undefined;
    try {
      const { value, done } = await this.#work.next();
      this.#until = done === true ? undefined : value;
      if (done === true) this.#passed = Infinity;
    } catch (error) {
      this.#passed = Infinity;
      if (error instanceof HoldLost) return this.#beginAnew();
      const { shared, blocked, export: exporting } = this.#world;
      if (shared !== true || !(error instanceof UserError)) throw error;
      blocked.giveUp(exporting.target, error);
    }
  }

  /** Another process has selected rows meanwhile: whoever goes on has to know them. */
  #beginAnew(): void {
    this.#passed = 0;
    this.#work = this.#passes();
    this.#until = () => true;
  }

  async *#passes(): AsyncGenerator<Condition, void> {
    const { hasStaleRows } = this.#world;
    const { kin, limit } = this.#world.export;
    if (this.#world.signal.aborted || !(yield* this.#rowsAreKnown())) return;
    let [idle, seen] = [0, 0];
    for (let pass = 0; idle < MAX_PASSES; pass++) {
      if (this.#passedBefore() <= pass) yield () => this.#passedBefore() > pass;
      if (this.#world.signal.aborted) return;
      const summary = await this.#withWritten(yield* this.#pass(pass));
      this.summaries.push(summary);
      this.#passed = pass + 1;
      if ((summary.exported === 0 && kin === undefined) || limit !== undefined) return;
      yield () => this.#isQuiet || this.#areInNext(pass);
      const isPassedOver = kin !== undefined && summary.skipped.inFlight > 0;
      if (!(isPassedOver || hasStaleRows()) || this.#isStopped()) return;
      // of rows with one id and text in many partitions each pass takes one
      const taken = this.#takenBefore();
      if (!isPassedOver || taken === seen) idle += 1;
      seen = taken;
    }
  }

  /** Waits until it is known of every job under way which rows it has; false where it cannot be. */
  async *#rowsAreKnown(): AsyncGenerator<Condition, boolean> {
    const { manifest, report, beside, blocked } = this.#world;
    const { target, kin } = this.#world.export;
    const jobs = beside === true ? [] : await jobsWithoutRows(manifest, target, kin);
    if (jobs.length === 0) return true;
    const now = ({ id }: Job) => manifest.job(id);
    const isKnown = (job: Job) => !isOpen(now(job)) || now(job).rowsFile !== undefined;
    const isOver = (job: Job) => isKnown(job) || blocked.has(job);
    const message = `Rows are selected once job ${someJobs(jobs.map(({ id }) => id))} has ended: only its results tell which rows it has. With --beside nothing is waited for.`;
    report({ type: "warning", message, hint: undefined });
    yield () => jobs.every(isOver) || this.#isStopped();
    return jobs.every(isKnown);
  }

  async *#pass(pass: number): AsyncGenerator<Condition, ExportSummary> {
    const { before, export: exporting } = this.#world;
    const others = before.map((each) => each.#taken).findLast((taken) => taken?.pass === pass);
    if (exporting.kin !== undefined) this.#taken = others ?? { pass, rows: nothingTaken() };
    this.#paid = undefined;
    const left = exporting.limit && exporting.limit - this.#takenBefore();
    const limited = { ...exporting, limit: left && Math.max(0, left) };
    const askPaid = () => (this.#paid = this.#world.paidRows()).ask;
    const jobs = exportJobs({ ...this.#world, askPaid, taken: this.#taken?.rows }, limited);
    for (;;) {
      const step = await jobs.next();
      if (step.done === true) return step.value;
      yield () => !this.#isAhead() || this.#isStopped();
      if (this.#isStopped()) this.#stop.abort();
    }
  }

  /** Passes of those before it, of which each goes after the others: the last one that is not at its end tells. */
  #passedBefore(): number {
    const last = this.#world.before.findLast((each) => each.#passed < Infinity);
    return last === undefined ? Infinity : last.#passed;
  }

  #areInNext(pass: number): boolean {
    const passed = this.#passedBefore();
    return passed > pass + 1 && passed < Infinity;
  }

  /** Rows, by all passes of the others. */
  #takenBefore(): number {
    const taken = this.#world.before.flatMap((each) => each.summaries);
    return taken.reduce((sum, { exported }) => sum + exported, 0);
  }

  async #withWritten(summary: ExportSummary): Promise<ExportSummary> {
    const rows = (await this.#paid?.write()) ?? 0;
    this.restored += rows;
    const paidBefore = summary.skipped.paidBefore - rows;
    return { ...summary, skipped: { ...summary.skipped, paidBefore } };
  }

  /** Jobs of a table that takes no vectors wait for nothing here. */
  #isAhead(): boolean {
    const { manifest, blocked, shared, export: exporting } = this.#world;
    const isOwn = exporting.siblings?.has ?? isOneOf([exporting.target]);
    const isAnothers = (job: Job) => shared === true && !isOwn(job.target);
    let ahead = 0;
    for (const job of manifest.needing("send")) {
      if (!blocked.refuses(job.target) && !isAnothers(job)) ahead += 1;
      if (ahead === MAX_JOBS_AHEAD) return true;
    }
    return false;
  }

  /** Nothing more is sent. Or the limit on cost holds jobs back, and nothing is under way that could still cost less than was estimated. */
  #isStopped(): boolean {
    const { manifest, outages, blocked, costLimit, export: exporting } = this.#world;
    const passing = new Set(this.#isQuiet ? withinLimit(manifest, costLimit) : []);
    const isHeldBack = (job: Job) => sameTarget(job.target, exporting.target) && !passing.has(job);
    const isHeld = this.#isQuiet && manifest.needing("send").some(isHeldBack);
    return isHeld || outages.halted.aborted || blocked.refuses(exporting.target);
  }
}
