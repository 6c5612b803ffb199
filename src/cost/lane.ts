/** Which way a job goes: as a batch at half price, or at once through the interactive API. */
import { type Job, type JobLane, linesOf } from "../manifest/job.ts";
import { isToSend, needs } from "../manifest/states.ts";

export type LaneChoice = Readonly<{
  /** `auto`: at once what is too small to queue for, the rest as batches. */
  lane: JobLane | "auto";
  /** With `auto`: a job of so many estimated tokens, or fewer, is too small to queue for. */
  syncUpToTokens: number;
}>;

/** What tier 1 embeds within a minute; more than that may as well wait its turn. */
const SYNC_UP_TO_ROWS = 3_000;

/**
 * A job keeps the lane it began in; without a choice it is a batch. One whose create request was lost
 * stays with the batches: its batch may still turn up.
 */
export function laneOf(job: Job, choice: LaneChoice | undefined): JobLane {
  if (needs(job) !== "send") return job.lane;
  if (choice === undefined || job.wasAbsent) return "batch";
  const { lane, syncUpToTokens } = choice;
  if (lane !== "auto") return lane;
  const isSmall = job.tokens <= syncUpToTokens && linesOf(job) <= SYNC_UP_TO_ROWS;
  return isSmall ? "sync" : "batch";
}

/** True for a job that waits to be embedded at once, or to be gone on with. */
export function isForSync(job: Job, choice: LaneChoice | undefined): boolean {
  const need = needs(job);
  return (need === "send" || need === "embed") && laneOf(job, choice) === "sync";
}

/** Ids of the jobs that were begun at once and have not come to their end. */
export function begunAtOnce(jobs: readonly Job[]): string[] {
  return jobs.filter(isBegun).map(({ id }) => id);
}

/** What `submit` is to be told where it has nothing to do but to go on in the sync lane. */
export function laneToGoOn(jobs: readonly Job[]): string[] {
  const waiting = jobs.filter((job) => isToSend(job) || isBegun(job));
  return waiting.every(isBegun) ? ["--lane", "sync"] : [];
}

function isBegun(job: Job): boolean {
  return needs(job) === "embed";
}
