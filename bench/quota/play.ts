/**
 * A cell of the grid, played with the very functions that the pipeline sends by, without files, stages or
 * a journal: a thousand cells take seconds. What it comes to through the real pipeline: simulation.ts.
 */
import {
  accepted,
  ended,
  NEW_QUOTA,
  type QuotaLog,
  refused,
  tried,
} from "../../src/manifest/quota/quota-log.ts";
import { learnedTokens } from "../../src/quota/learned-bounds.ts";
import { nextTryOf, pauseMs } from "../../src/quota/next-try.ts";
import {
  ACTIVE_MAX,
  BATCH_MS,
  bestMs,
  type Cell,
  CREATE_MS,
  type Plan,
  planOf,
  Quota,
  QUEUE,
  UPLOAD_MS,
} from "./world.ts";

export type Played = Readonly<{
  /** Time to the last create that was accepted, beside the best planner's. */
  ratio: number;
  refused: number;
  creates: number;
  /** The longest time without a try, in pauses in force: with nothing of ours there, and after an end. */
  idlePauses: number;
  endPauses: number;
  /** Refusals that came sooner than a pause after another, with nothing changed in between. */
  tooOften: number;
}>;

type Batch = Readonly<{ tokens: number; seenMs: number }>;

const QUOTA_WAIT_MS = 60_000;

export function play(cell: Cell, jobs: readonly number[], plan: Plan = planOf(cell, jobs)): Played {
  const game = new Game(cell, jobs, plan);
  while (game.step());
  return game.result();
}

class Game {
  readonly #cell: Cell;
  readonly #plan: Plan;
  readonly #quota: Quota;
  readonly #seenAfterMs: number;
  readonly #waiting: number[];
  readonly #size: number;
  #batches: Batch[] = [];
  #log: QuotaLog = NEW_QUOTA;
  #nowMs = 0;
  #isUploaded = false;
  #hasStopped = false;
  #hasChanged = true;
  #lastTryMs = 0;
  #sinceEndMs: number | undefined;
  #idleSinceMs: number | undefined = 0;
  readonly #accepted: number[] = [];
  #refused = 0;
  #tooOften = 0;
  #idlePauses = 0;
  #endPauses = 0;

  constructor(cell: Cell, jobs: readonly number[], plan: Plan) {
    this.#cell = cell;
    this.#plan = plan;
    this.#quota = new Quota(cell, plan);
    this.#waiting = jobs.toReversed();
    this.#size = jobs[0] ?? 0;
    this.#seenAfterMs = seenAfterMs(BATCH_MS[cell.batch]);
  }

  /** To the next moment at which something happens; false when nothing waits any more. */
  step(): boolean {
    const tokens = this.#waiting.at(-1);
    if (tokens === undefined) return false;
    this.#stop();
    this.#lookAtEnds();
    if (this.#cut(tokens)) return true;
    const active = this.#batches.reduce((sum, batch) => sum + batch.tokens, 0);
    const next = nextTryOf(
      tokens,
      { batches: this.#batches.length, own: this.#batches.length, tokens: active },
      {
        window: { maxActiveJobs: ACTIVE_MAX, maxEnqueuedTokens: QUEUE, isAdvertised: true },
        log: this.#log,
        quotaWaitMs: QUOTA_WAIT_MS,
        nowMs: this.#nowMs,
      },
    );
    if (next.atMs > this.#nowMs) this.#nowMs = this.#nextEventMs(next.atMs);
    else this.#create(tokens, next.probe);
    return true;
  }

  result(): Played {
    const best = bestMs(this.#cell, this.#accepted, this.#plan);
    return {
      ratio: this.#lastTryMs / best,
      refused: this.#refused,
      creates: this.#refused + this.#accepted.length,
      idlePauses: this.#idlePauses,
      endPauses: this.#endPauses,
      tooOften: this.#tooOften,
    };
  }

  #nextEventMs(tryMs: number): number {
    const stopMs = this.#hasStopped ? Infinity : (this.#plan.stop?.fromMs ?? Infinity);
    return Math.min(tryMs, stopMs, ...this.#batches.map(({ seenMs }) => seenMs));
  }

  /** A process that is gone tries nothing and sees nothing. */
  #stop(): void {
    const { stop } = this.#plan;
    if (stop === undefined || this.#hasStopped || this.#nowMs < stop.fromMs) return;
    this.#hasStopped = true;
    this.#nowMs = Math.max(this.#nowMs, stop.toMs);
    this.#lastTryMs = this.#nowMs;
    this.#hasChanged = true;
    this.#batches = this.#batches.map((batch) => ({
      ...batch,
      seenMs: Math.max(batch.seenMs, this.#nowMs),
    }));
  }

  #lookAtEnds(): void {
    const over = this.#batches.filter(({ seenMs }) => seenMs <= this.#nowMs);
    if (over.length === 0) return;
    this.#batches = this.#batches.filter(({ seenMs }) => seenMs > this.#nowMs);
    for (const { tokens } of over) this.#log = ended(this.#log, tokens, this.#nowMs);
    this.#hasChanged = true;
    this.#sinceEndMs ??= this.#nowMs;
    if (this.#batches.length === 0) this.#idleSinceMs = this.#nowMs;
  }

  #cut(tokens: number): boolean {
    const most = learnedTokens(this.#size, [this.#log]);
    if (tokens < (this.#log.tooLarge ?? Infinity) || tokens <= most) return false;
    const parts = Math.ceil(tokens / most);
    this.#waiting.pop();
    this.#waiting.push(...Array.from({ length: parts }, () => tokens / parts));
    this.#isUploaded = false;
    return true;
  }

  #create(tokens: number, probe: "time" | undefined): void {
    const pause = pauseMs(this.#log, QUOTA_WAIT_MS);
    this.#noteWait(pause);
    this.#nowMs += CREATE_MS + (this.#isUploaded ? 0 : UPLOAD_MS);
    this.#isUploaded = true;
    this.#sinceEndMs = undefined;
    const hadChanged = this.#hasChanged;
    this.#hasChanged = false;
    this.#log = tried(this.#log);
    this.#lookAtEnds();
    const create = { tokens, atMs: this.#nowMs, probe };
    if (this.#quota.fits(this.#nowMs, tokens)) {
      this.#quota.take(this.#nowMs, tokens, BATCH_MS[this.#cell.batch]);
      this.#waiting.pop();
      this.#isUploaded = false;
      this.#accepted.push(tokens);
      this.#batches.push({ tokens, seenMs: this.#nowMs + this.#seenAfterMs });
      this.#log = accepted(this.#log, create);
      this.#hasChanged = true;
      this.#idleSinceMs = undefined;
    } else {
      this.#refused += 1;
      if (!hadChanged && this.#nowMs - this.#lastTryMs < pause) this.#tooOften += 1;
      this.#log = refused(this.#log, { ...create, limit: undefined, retryAfterMs: undefined });
    }
    this.#lastTryMs = this.#nowMs;
  }

  /** Beside the pause that was in force. */
  #noteWait(pause: number): void {
    const sinceMs = (fromMs: number) => (this.#nowMs - Math.max(fromMs, this.#lastTryMs)) / pause;
    if (this.#batches.length === 0 && this.#idleSinceMs !== undefined) {
      this.#idlePauses = Math.max(this.#idlePauses, sinceMs(this.#idleSinceMs));
    }
    if (this.#sinceEndMs !== undefined && this.#batches.length < ACTIVE_MAX) {
      this.#endPauses = Math.max(this.#endPauses, sinceMs(this.#sinceEndMs));
    }
  }
}

const LOOKS = [
  { untilMs: 60_000, everyMs: 5_000 },
  { untilMs: 600_000, everyMs: 15_000 },
  { untilMs: 3_600_000, everyMs: 30_000 },
  { untilMs: Infinity, everyMs: 60_000 },
] as const;

/** A batch's age at the first look after its end, as `src/poll/schedule.ts` looks. */
function seenAfterMs(batchMs: number): number {
  let ageMs = 0;
  while (ageMs < batchMs) ageMs += LOOKS.find(({ untilMs }) => ageMs < untilMs)?.everyMs ?? 0;
  return ageMs;
}
