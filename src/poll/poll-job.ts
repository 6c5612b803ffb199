/** One look at one batch, and what it means for the job. */
import type { Clock } from "../clock.ts";
import { UserError } from "../errors.ts";
import { explain } from "../gemini/explain.ts";
import { type Batch, type Gemini, GeminiError } from "../gemini/port.ts";
import { type DeadState, recordDeadBatch } from "../job/dead-batch.ts";
import type { Job } from "../job/job.ts";
import type { Manifest } from "../job/manifest.ts";
import type { Report } from "../report.ts";

export type PollServices = Readonly<{
  gemini: Gemini;
  manifest: Manifest;
  report: Report;
  clock: Clock;
  signal: AbortSignal;
  /** Names the API key without telling it. */
  keyId: string;
}>;

/** Looks at the job's batch. The job comes back changed when the batch has ended. */
export async function pollJob(services: PollServices, job: Job): Promise<Job> {
  const batch = await lookAt(services, job);
  if (batch === undefined) return recordGone(services, job);
  if (batch.resultsFile !== undefined && hasEnded(batch)) {
    return recordSucceeded(services, job, batch.resultsFile);
  }
  switch (batch.state) {
    case "pending":
    case "running":
    case "unknown":
      return stillPending(services, job, batch);
    case "succeeded":
      return recordEnd(services, job, "failed", "the batch succeeded, but names no results file");
    case "failed":
    case "expired":
    case "cancelled":
      return recordEnd(services, job, batch.state, batch.error?.message, batch.error?.code);
  }
}

async function lookAt({ gemini, signal }: PollServices, job: Job): Promise<Batch | undefined> {
  if (job.batch === undefined) throw new Error(`job ${job.id} is submitted and has no batch`);
  try {
    return await gemini.getBatch(job.batch, signal);
  } catch (error) {
    throw error instanceof GeminiError ? explain(error, `looking at job ${job.id}`) : error;
  }
}

/** A batch that ended badly may still have left results: they are paid for, so they are taken. */
function hasEnded({ state }: Batch): boolean {
  return (
    state === "succeeded" || state === "failed" || state === "expired" || state === "cancelled"
  );
}

async function recordSucceeded(
  { manifest, report }: PollServices,
  job: Job,
  resultsName: string,
): Promise<Job> {
  const ended = await manifest.record({ type: "succeeded", job: job.id, resultsName });
  report({ type: "ended", job: job.id, state: ended.state, message: undefined });
  return ended;
}

async function recordEnd(
  { manifest, report }: PollServices,
  job: Job,
  state: DeadState,
  message = `the batch ${state} at Gemini, without a reason given`,
  code?: number,
): Promise<Job> {
  const error = code === undefined ? { message } : { code, message };
  const ended = await recordDeadBatch(manifest, job, state, error);
  report({ type: "ended", job: job.id, state, message });
  return ended;
}

/**
 * Only the key that made a batch can say that it is gone: for another project's key, every batch
 * looks that way, and giving the job up would pay for it twice.
 */
async function recordGone(services: PollServices, job: Job): Promise<Job> {
  if (job.keyId === services.keyId) {
    return recordEnd(services, job, "failed", `the batch ${job.batch} was deleted at Gemini`);
  }
  throw new UserError(
    `The batch ${job.batch} of job ${job.id} is not visible to this API key, which is not the one that made it.`,
    {
      hint: "Set GEMINI_API_KEY to a key of the project that submitted the job. Nothing was changed.",
      exit: "fatal",
    },
  );
}

function stillPending({ clock, report }: PollServices, job: Job, batch: Batch): Job {
  const submittedAt = Date.parse(job.submittedAt ?? job.updatedAt);
  const ageSeconds = Math.max(0, Math.round((clock.now().getTime() - submittedAt) / 1000));
  report({ type: "pending", job: job.id, batchState: batch.rawState, ageSeconds });
  return job;
}
