import type { Clock } from "../clock.ts";
import { explain } from "../words/explain.ts";
import { type Gemini, GeminiError } from "../gemini/port.ts";
import { batchAgeMs, RESULTS_KEPT_MS } from "../jobs-folder/batch-age.ts";
import { recordDeadBatch } from "../jobs-folder/dead-batch.ts";
import { type Job, linesOf } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { hasResults } from "../jobs-folder/results-file.ts";
import { JobBlocked, UserError } from "../errors.ts";
import type { Report } from "../progress.ts";

export type DownloadServices = Readonly<{
  gemini: Gemini;
  manifest: Manifest;
  report: Report;
  clock: Clock;
  signal: AbortSignal;
  /** Names the API key without telling it. */
  keyId: string;
}>;

/**
 * Makes sure that the job's results file is whole on disk. The job comes back `downloaded`, or
 * `failed` when the service no longer has its results.
 */
export async function downloadResults(services: DownloadServices, job: Job): Promise<Job> {
  const { gemini, manifest, report, signal } = services;
  const files = manifest.files(job.id);
  const path = files.results;
  if (await hasResults(files, job)) return job;
  if (job.lane === "sync") throw new JobBlocked(job.id, lostForGood(path, job));
  if (job.resultsName === undefined) throw new Error(`job ${job.id} has no results to download`);
  const onBytes = (bytes: number) => report({ type: "downloading", job: job.id, bytes });
  try {
    const options = { onBytes, signal };
    let results = await gemini.downloadResults(job.resultsName, path, options);
    // a transfer can end early and look whole; rows that are missing would be paid for again
    if (results.lines < linesOf(job)) {
      results = await gemini.downloadResults(job.resultsName, path, options);
    }
    const { file } = results;
    const downloaded = await manifest.record({ type: "downloaded", job: job.id, file });
    report({ type: "downloaded", job: job.id, bytes: file.bytes });
    return downloaded;
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error;
    if (await isGoneForGood(services, job, error)) return recordGone(services, job, error);
    throw explain(error, `downloading the results of job ${job.id}`);
  }
}

/** What was embedded at once is kept nowhere else: to pay for it again is a person's decision. */
function lostForGood(path: string, { id }: Job): UserError {
  return new UserError(
    `The results file ${path} is missing or has been changed, and Gemini keeps no copy of what it embedded at once.`,
    {
      hint: `Restore it from a backup, or give the job up with \`vecfill cancel ${id} --give-up\`: its rows are exported and paid for again.`,
      exit: "fatal",
    },
  );
}

/**
 * Giving results up pays for every row again. One refusal is not enough: a project may be denied for
 * an hour, a file not be visible yet. Only the key that made the batch counts, and the batch itself
 * must be gone too, or be older than results are kept.
 */
async function isGoneForGood(
  { gemini, clock, keyId, signal }: DownloadServices,
  job: Job,
  error: GeminiError,
): Promise<boolean> {
  if (error.kind !== "notFound" || job.keyId !== keyId || job.batch === undefined) return false;
  const batch = await gemini.getBatch(job.batch, signal);
  if (batch === undefined || batch.resultsFile === undefined) return true;
  return batchAgeMs(job, clock.now()) > RESULTS_KEPT_MS;
}

async function recordGone(
  { manifest, report }: DownloadServices,
  job: Job,
  error: GeminiError,
): Promise<Job> {
  const message = `the results are no longer at Gemini: ${error.message}`;
  const ended = await recordDeadBatch(manifest, job, "failed", { message });
  report({ type: "ended", job: job.id, state: ended.state, message });
  return ended;
}
