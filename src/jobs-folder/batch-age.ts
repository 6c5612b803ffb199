import type { Job } from "../manifest/job.ts";
import { needs } from "../manifest/states.ts";

/** When the service ends a batch that has not ended by itself. */
export const BATCH_LIFE_HOURS = 48;

/** Results are kept for six weeks (ai.google.dev/gemini-api/docs/batch-api). */
export const RESULTS_KEPT_MS = 42 * 24 * 60 * 60 * 1000;

/**
 * How long ago the job's batch was made, by the wall clock, which may have been set since: never
 * negative, and good enough to report by, not to decide by.
 */
export function batchAgeMs(job: Job, now: Date): number {
  return Math.max(0, now.getTime() - Date.parse(job.submittedAt ?? job.updatedAt));
}

/** A batch that takes longer than batches do. It may still end well, so nothing is done about it. */
export function isStuck(job: Job, now: Date, afterMs: number): boolean {
  return needs(job) === "poll" && batchAgeMs(job, now) > afterMs;
}
