import type { Clock } from "../clock.ts";
import { batchAgeMs } from "../jobs-folder/batch-age.ts";
import type { Job } from "../manifest/job.ts";

/** How long to wait between two looks at a batch, by its age. */
const INTERVALS: readonly Readonly<{ untilAgeMs: number; intervalMs: number }>[] = [
  { untilAgeMs: 60_000, intervalMs: 5_000 },
  { untilAgeMs: 600_000, intervalMs: 15_000 },
  { untilAgeMs: 3_600_000, intervalMs: 30_000 },
];
const LATER_INTERVAL_MS = 60_000;

/** When each batch is to be looked at again. The first look is due at once. */
export class PollSchedule {
  readonly #clock: Clock;
  readonly #fixedMs: number | undefined;
  readonly #nextAtMs = new Map<string, number>();

  /** `fixedMs`: the interval asked for; undefined for one that grows with a batch's age. */
  constructor(clock: Clock, fixedMs: number | undefined) {
    this.#clock = clock;
    this.#fixedMs = fixedMs;
  }

  /** Those of the jobs whose time has come; their next look is set. */
  takeDue(jobs: readonly Job[]): Job[] {
    const nowMs = this.#clock.elapsedMs();
    const due = jobs.filter((job) => this.#nextMs(job, nowMs) <= nowMs);
    for (const job of due) this.#nextAtMs.set(job.id, nowMs + this.#intervalMs(job));
    return due;
  }

  /** Time until the first of the jobs is due; infinite when there is none. */
  untilDueMs(jobs: readonly Job[]): number {
    const nowMs = this.#clock.elapsedMs();
    const next = jobs.map((job) => this.#nextMs(job, nowMs));
    return Math.max(0, Math.min(...next) - nowMs);
  }

  /** Forgets a job that has ended; the next look at one that has not is due at once. */
  forget(job: string): void {
    this.#nextAtMs.delete(job);
  }

  #nextMs({ id }: Job, nowMs: number): number {
    return this.#nextAtMs.get(id) ?? nowMs;
  }

  #intervalMs(job: Job): number {
    if (this.#fixedMs !== undefined) return this.#fixedMs;
    return adaptiveIntervalMs(batchAgeMs(job, this.#clock.now()));
  }
}

/** Small batches end within minutes, large ones within hours: the older, the rarer the look. */
export function adaptiveIntervalMs(ageMs: number): number {
  return INTERVALS.find(({ untilAgeMs }) => ageMs < untilAgeMs)?.intervalMs ?? LATER_INTERVAL_MS;
}
