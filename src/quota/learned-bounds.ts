import type { JobBounds } from "../jobs-folder/cut.ts";
import type { Job } from "../manifest/job.ts";
import type { QuotaLog } from "../manifest/quota/quota-log.ts";

/** A job that was refused alone is made again as so many; if these do not fit either, again. */
const PARTS = 10;
/** Smaller jobs than that would be too many: whoever else uses the project's quota stops some time. */
const LEAST_SHARE = 0.05;

/** No new job is as large as one that was refused with nothing else at Gemini, by each of the projects. */
export function learnedBounds(bounds: JobBounds, logs: readonly QuotaLog[]): JobBounds {
  return { ...bounds, maxTokens: learnedTokens(bounds.maxTokens, logs) };
}

export function learnedTokens(most: number, logs: readonly QuotaLog[]): number {
  const sizes = logs.map((log) => log.tooLarge ?? Infinity);
  const tooLarge = sizes.length === 0 ? Infinity : Math.max(...sizes);
  return Math.min(most, Math.max(Math.ceil(LEAST_SHARE * most), Math.floor(tooLarge / PARTS)));
}

/** It would wait for ever, or for long, and can be made smaller. */
export function isTooLarge(job: Job, bounds: JobBounds, log: QuotaLog): boolean {
  const { tooLarge = Infinity } = log;
  // a batch of a create that had no answer may turn up still
  const canBeCut = job.requests > 1 && !job.wasAbsent;
  const { maxTokens } = learnedBounds(bounds, [log]);
  return canBeCut && job.tokens >= tooLarge && job.tokens > maxTokens;
}
