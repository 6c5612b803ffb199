import type { Clock } from "../clock.ts";
import type { ResultsDoubted } from "../errors.ts";
import type { Job } from "../manifest/job.ts";

const FIRST_PAUSE_MS = 60_000;
const MAX_PAUSE_MS = 15 * 60_000;
const GROWTH = 2;
/** With nothing else under way. */
const WAITED_FOR_MS = 60 * 60_000;

type Doubted = Readonly<{ error: ResultsDoubted; pauseMs: number; dueMs: number }>;

/** Jobs whose results did not prove to be theirs: when each is fetched again, and until when. */
export class DoubtedJobs {
  readonly #clock: Clock;
  readonly #jobs = new Map<string, Doubted>();
  /** Since when nothing else is under way. */
  #aloneSinceMs: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  has({ id }: Job): boolean {
    return this.#jobs.has(id);
  }

  /** Says how long it waits, the longer the oftener. */
  add(error: ResultsDoubted): number {
    const before = this.#jobs.get(error.job)?.pauseMs;
    const pauseMs = before === undefined ? FIRST_PAUSE_MS : Math.min(before * GROWTH, MAX_PAUSE_MS);
    this.#jobs.set(error.job, { error, pauseMs, dueMs: this.#clock.elapsedMs() + pauseMs });
    return pauseMs;
  }

  delete(job: string): void {
    this.#jobs.delete(job);
  }

  isResting({ id }: Job): boolean {
    return (this.#jobs.get(id)?.dueMs ?? 0) > this.#clock.elapsedMs();
  }

  /** Infinite where none waits. */
  untilNextMs(): number {
    const dueMs = Math.min(...[...this.#jobs.values()].map((each) => each.dueMs));
    return Math.max(0, dueMs - this.#clock.elapsedMs());
  }

  /** True where nothing else has been under way for as long as they are waited for. */
  isOver(isAlone: boolean): boolean {
    const nowMs = this.#clock.elapsedMs();
    this.#aloneSinceMs = isAlone && this.#jobs.size > 0 ? (this.#aloneSinceMs ?? nowMs) : undefined;
    return nowMs - (this.#aloneSinceMs ?? nowMs) >= WAITED_FOR_MS;
  }

  giveUp(): readonly ResultsDoubted[] {
    const given = [...this.#jobs.values()].map(({ error }) => error);
    this.#jobs.clear();
    return given;
  }
}
