import { UserError } from "../errors.ts";
import { explain } from "../gemini/explain.ts";
import { type Gemini, GeminiError } from "../gemini/port.ts";
import type { Job } from "../job/job.ts";
import type { Manifest } from "../job/manifest.ts";
import { NO_ROWS } from "../sums.ts";

export type CancelServices = Readonly<{ manifest: Manifest; gemini: () => Promise<Gemini> }>;

/** `givenUp`: it was never submitted. `asked`: Gemini was asked to cancel its batch. */
export type Cancelled = "givenUp" | "asked";

/** Throws a UserError where there is nothing to cancel, or where it is not known. */
export async function cancelJob(
  { manifest, gemini }: CancelServices,
  job: Job,
): Promise<Cancelled> {
  const batch = cancellableBatch(job);
  if (batch === undefined) {
    await recordGivenUp(manifest, job);
    return "givenUp";
  }
  try {
    await (await gemini()).cancelBatch(batch);
    return "asked";
  } catch (error) {
    throw error instanceof GeminiError ? explain(error, `cancelling job ${job.id}`) : error;
  }
}

/** The batch to cancel; undefined when the job has none yet. */
export function cancellableBatch(job: Job): string | undefined {
  if (job.state === "exported") return undefined;
  if (job.state === "submitted" && job.batch !== undefined) return job.batch;
  if (job.state === "submitting") {
    throw new UserError(`Whether job ${job.id} has a batch at Gemini is not known yet.`, {
      hint: "Find out with `vecfill jobs --reconcile`, then cancel it.",
      exit: "usage",
    });
  }
  throw new UserError(`Job ${job.id} is ${job.state}: its batch has ended.`, {
    hint: `\`vecfill jobs ${job.id}\` says what came of it.`,
    exit: "usage",
  });
}

/** Its rows are in no failed file, so the next export takes them again. */
async function recordGivenUp(manifest: Manifest, job: Job): Promise<void> {
  await manifest.record({
    type: "cancelled",
    job: job.id,
    error: { message: "given up before it was submitted" },
    sums: { ...NO_ROWS, requests: job.requests, failed: job.requests },
    outstanding: { lines: 0, retryable: 0 },
  });
}
