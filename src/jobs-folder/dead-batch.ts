import type { FailureClass } from "../row/error-code.ts";
import type { Failure } from "../row/failed-line.ts";
import type { DeadState } from "../gemini/port.ts";
import { NO_ROWS } from "../row/sums.ts";
import { writeFailedFile } from "./failed-file.ts";
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { lacksRows } from "./found-rows.ts";
import { checkRequestFile, failedRequests } from "./request-file.ts";

/**
 * Ends a job whose batch left no results: every row goes into the failed file, from which it can be
 * resubmitted without exporting again. The file is durable before the end is recorded. Rows that nothing
 * here tells are free to be exported.
 */
export async function recordDeadBatch(
  manifest: Manifest,
  job: Job,
  state: DeadState,
  error: Readonly<{ code?: number; message: string }>,
  failureClass: FailureClass = "retryable",
): Promise<Job> {
  const files = await manifest.bring(job);
  const isKnown = !(await lacksRows(files, job));
  if (isKnown) await checkRequestFile(files, job);
  const failure: Failure = { class: failureClass, reason: "batch", ...error };
  const failed = await writeFailedFile(
    files,
    isKnown ? failedRequests(files, job, () => failure) : [],
  );
  const sums = { ...NO_ROWS, requests: job.requests, failed: job.requests };
  return manifest.record({ type: state, job: job.id, error, sums, ...failed }, job);
}
