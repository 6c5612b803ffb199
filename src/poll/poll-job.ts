/** One look at one batch, and what it means for the job. */
import { missingKeyHint } from "../gates/keys.ts";
import { seesProjectOf } from "../gates/markers.ts";
import type { StageServices } from "../jobs-folder/stage-services.ts";
import { MS_PER_HOUR } from "../clock.ts";
import { type FailureClass, retryableOnce } from "../row/error-code.ts";
import { JobBlocked, UserError } from "../errors.ts";
import { explain } from "../words/explain.ts";
import { counted } from "../words/figures.ts";
import {
  type Batch,
  type DeadState,
  GeminiError,
  hasBatchEnded,
  isDeadBatch,
  UNEXPLAINED_END,
} from "../gemini/port.ts";
import { ANY_PREFIX } from "../jobs-folder/batch-names.ts";
import { BATCH_LIFE_HOURS, batchAgeMs, RESULTS_KEPT_MS } from "../jobs-folder/batch-age.ts";
import { recordDeadBatch } from "../jobs-folder/dead-batch.ts";
import type { Job } from "../manifest/job.ts";

/** Looks at the job's batch. The job comes back changed when the batch has ended. */
export async function pollJob(services: StageServices, job: Job): Promise<Job> {
  const batch = await lookAt(services, job);
  if (batch === undefined) return recordGone(services, job);
  // one that ended badly may still have left results: they are paid for, so they are taken
  if (batch.resultsFile !== undefined && hasBatchEnded(batch.state)) {
    return recordSucceeded(services, job, batch.resultsFile);
  }
  if (isDeadBatch(batch.state)) return recordEnd(services, job, batch.state, batch.error);
  if (hasAllFailed(batch)) {
    return recordEnd(services, job, "failed", eachFailed(batch), retryableOnce(job.attempt));
  }
  if (batch.state === "ended") {
    return recordEnd(services, job, "failed", { message: unexplainedEnd(batch) });
  }
  if (hasBatchEnded(batch.state)) return succeededWithoutResults(services, job, batch);
  return stillPending(services, job, batch.rawState);
}

/** No request has results that could still show. */
function hasAllFailed({ state, counts }: Batch): boolean {
  if (counts === undefined || !(hasBatchEnded(state) || state === "ended")) return false;
  return counts.requests > 0 && counts.failed >= counts.requests;
}

function eachFailed({ error }: Batch) {
  const message =
    error?.message || "the batch ended with each of its requests failed, and no results say why";
  return { ...error, message };
}

/** How long after its end a batch may take to show results: clocks that differ are no reason to pay again. */
const RESULTS_SHOW_WITHIN_MS = 24 * 60 * 60 * 1000;

/**
 * Results that some request has are paid for: they are not given up while Gemini may have them, but a
 * person is told. Where none is said to have succeeded, none are believed in after a day.
 */
async function succeededWithoutResults(
  services: StageServices,
  job: Job,
  batch: Batch,
): Promise<Job> {
  const agoMs = endedMsAgo(job, batch, services.clock.now());
  if (agoMs <= RESULTS_SHOW_WITHIN_MS) {
    return stillPending(services, job, "succeeded, without results yet");
  }
  const successful = batch.counts?.successful ?? 0;
  if (successful > 0 && agoMs <= RESULTS_KEPT_MS) throw noResultsShown(job, successful);
  const message = "the batch succeeded at Gemini, and left no results";
  return recordEnd(services, job, "failed", { message }, retryableOnce(job.attempt));
}

function noResultsShown(job: Job, successful: number): JobBlocked {
  const error = new UserError(
    `Its batch ${job.batch} ended more than a day ago and counts ${counted(successful, "request")} that succeeded, but shows no results.`,
    {
      hint: `They are paid for, and Gemini keeps results for six weeks: \`vecfill poll\` looks again. To give them up and pay for the rows again: \`vecfill cancel ${job.id} --give-up\`.`,
      exit: "unfinished",
    },
  );
  return new JobBlocked(job.id, error);
}

/** At least: where it does not say when it ended, it may have been when batches do at the latest. */
function endedMsAgo(job: Job, { endedAt }: Batch, now: Date): number {
  const endedMs = Date.parse(endedAt ?? "");
  if (!Number.isNaN(endedMs)) return now.getTime() - endedMs;
  return batchAgeMs(job, now) - BATCH_LIFE_HOURS * MS_PER_HOUR;
}

function unexplainedEnd({ rawState }: Batch): string {
  const how = rawState === "" ? "" : ` as ${rawState}`;
  return `the batch ended at Gemini${how}, without results and without a reason given`;
}

async function lookAt({ gemini, signal }: StageServices, job: Job): Promise<Batch | undefined> {
  if (job.batch === undefined) throw new Error(`job ${job.id} is submitted and has no batch`);
  try {
    return await gemini.getBatch(job.batch, signal);
  } catch (error) {
    throw error instanceof GeminiError ? explain(error, `looking at job ${job.id}`) : error;
  }
}

async function recordSucceeded(
  { manifest, report }: StageServices,
  job: Job,
  resultsName: string,
): Promise<Job> {
  const ended = await manifest.record({ type: "succeeded", job: job.id, resultsName }, job);
  report({ type: "ended", job: job.id, state: ended.state, message: undefined });
  return ended;
}

async function recordEnd(
  { manifest, report }: StageServices,
  job: Job,
  state: DeadState,
  told: Readonly<{ code?: number; message: string }> | undefined,
  failureClass?: FailureClass,
): Promise<Job> {
  const message = told?.message || UNEXPLAINED_END[state];
  const ended = await recordDeadBatch(manifest, job, state, { ...told, message }, failureClass);
  report({ type: "ended", job: job.id, state, message });
  return ended;
}

/** A batch this young may not have reached the part of the service that answers. */
const BELIEVED_GONE_AFTER_MS = 10 * 60 * 1000;

/**
 * The service says that there is no such batch. Giving the job up pays for its rows again, so it is
 * believed only of a batch that is some minutes old, when the whole list has no such batch either,
 * and from a key of its project: for another project's key, every batch looks that way.
 */
async function recordGone(services: StageServices, job: Job): Promise<Job> {
  const { clock, gemini, signal } = services;
  const isYoung = batchAgeMs(job, clock.now()) < BELIEVED_GONE_AFTER_MS;
  if (isYoung && job.keyId === services.keyId) {
    return stillPending(services, job, "not visible yet");
  }
  const listed = await gemini.findBatches(ANY_PREFIX, signal);
  if (listed.some(({ name }) => name === job.batch)) {
    return stillPending(services, job, "visible in the list only");
  }
  if (!(await seesProjectOf(services, job.keyId, listed))) throw notOurKey(job);
  const message = `the batch ${job.batch} was deleted at Gemini`;
  return recordEnd(services, job, "failed", { message });
}

function notOurKey(job: Job): UserError {
  return new UserError(
    `The batch ${job.batch} of job ${job.id} is not visible to this API key, which is not the one that made it.`,
    { hint: missingKeyHint(job) },
  );
}

function stillPending({ clock, report }: StageServices, job: Job, batchState: string): Job {
  const ageSeconds = Math.round(batchAgeMs(job, clock.now()) / 1000);
  report({ type: "pending", job: job.id, batchState, ageSeconds });
  return job;
}
