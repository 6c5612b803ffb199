import { explain } from "../gemini/explain.ts";
import { type Gemini, GeminiError } from "../gemini/port.ts";
import { recordDeadBatch } from "../job/dead-batch.ts";
import { exists } from "../job/files.ts";
import type { Job } from "../job/job.ts";
import type { Manifest } from "../job/manifest.ts";
import { hashFile } from "../durable-file.ts";
import type { Report } from "../report.ts";

export type DownloadServices = Readonly<{
  gemini: Gemini;
  manifest: Manifest;
  report: Report;
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
  const path = manifest.files(job.id).results;
  if (await isOnDisk(path, job)) return job;
  if (job.resultsName === undefined) throw new Error(`job ${job.id} has no results to download`);
  const onBytes = (bytes: number) => report({ type: "downloading", job: job.id, bytes });
  try {
    const file = await gemini.downloadResults(job.resultsName, path, { onBytes, signal });
    const downloaded = await manifest.record({ type: "downloaded", job: job.id, file });
    report({ type: "downloaded", job: job.id, bytes: file.bytes });
    return downloaded;
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error;
    if (isGoneForGood(services, job, error)) return recordGone(services, job, error);
    throw explain(error, `downloading the results of job ${job.id}`);
  }
}

async function isOnDisk(path: string, job: Job): Promise<boolean> {
  if (job.resultsFile === undefined || !(await exists(path))) return false;
  return (await hashFile(path)).sha256 === job.resultsFile.sha256;
}

/** A key of another project is told the same, so only the key that made the batch counts. */
function isGoneForGood({ keyId }: DownloadServices, job: Job, error: GeminiError): boolean {
  return error.kind === "notFound" && job.keyId === keyId;
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
