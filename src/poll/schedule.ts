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

export type PollSchedule = ReturnType<typeof pollSchedule>;

/**
 * When each batch is to be looked at again; the first look is due at once. `fixedMs`: the interval asked for; undefined
 * for one that grows with a batch's age.
 */
export function pollSchedule(clock: Clock, fixedMs: number | undefined) {
  const nextAtMs = new Map<string, number>();
  const intervalMs = (job: Job) => fixedMs ?? adaptiveIntervalMs(batchAgeMs(job, clock.now()));
  return {
    /** Those of the jobs whose time has come; their next poll is set. */
    takeDue: (jobs: readonly Job[]) => {
      const nowMs = clock.elapsedMs();
      const due = jobs.filter(({ id }) => (nextAtMs.get(id) ?? nowMs) <= nowMs);
      for (const job of due) nextAtMs.set(job.id, nowMs + intervalMs(job));
      return due;
    },
    /** Time until the first of the jobs is due; infinite when there is none. */
    untilDueMs: (jobs: readonly Job[]) => {
      const nowMs = clock.elapsedMs();
      return Math.max(0, Math.min(...jobs.map(({ id }) => nextAtMs.get(id) ?? nowMs)) - nowMs);
    },
    /** Forgets a job that has ended; the next poll at one that has not is due at once. */
    forget: (job: string) => nextAtMs.delete(job),
  };
}

/** Small batches end within minutes, large ones within hours: the older, the rarer the look. */
export function adaptiveIntervalMs(ageMs: number): number {
  return INTERVALS.find(({ untilAgeMs }) => ageMs < untilAgeMs)?.intervalMs ?? LATER_INTERVAL_MS;
}
