import type { Job } from "../job/job.ts";

/** What may be queued at Gemini at once. */
export type Window = Readonly<{ maxActiveJobs: number; maxEnqueuedTokens: number }>;

/**
 * Why a job has to wait; undefined when there is room for it. A job alone is always let through:
 * only the service can say that it is too large.
 */
export function whyNotYet(
  job: Job,
  jobs: readonly Job[],
  window: Window,
): "jobs" | "tokens" | undefined {
  const active = jobs.filter((each) => each.state === "submitted" || each.state === "submitting");
  if (active.length === 0) return undefined;
  if (active.length >= window.maxActiveJobs) return "jobs";
  const tokens = active.reduce((sum, each) => sum + each.tokens, job.tokens);
  return tokens > window.maxEnqueuedTokens ? "tokens" : undefined;
}
