/** A job that Gemini does not take, however empty its queue is, is made again as smaller ones. */
import type { JobBounds } from "../jobs-folder/cut.ts";
import { recordDeadBatch } from "../jobs-folder/dead-batch.ts";
import type { Job } from "../manifest/job.ts";
import { count } from "../words/figures.ts";
import { everyLine, resubmitJobs, type ResubmitServices } from "./resubmit.ts";

/**
 * Its rows were never sent, so they have been tried no more often than before. Were this interrupted, they
 * wait in its failed file, and any run sends them again.
 */
export async function cutAgain(
  services: ResubmitServices,
  job: Job,
  bounds: JobBounds,
): Promise<readonly Job[]> {
  const unsent = { ...job, attempt: job.attempt - 1 };
  const message = `larger than what Gemini takes at once: cut again`;
  const ended = await recordDeadBatch(services.manifest, unsent, "cancelled", { message });
  const made = await resubmitJobs(services, [ended], bounds, everyLine);
  services.report({
    type: "warning",
    message: `Job ${job.id} of ${count(job.tokens)} tokens was refused although nothing of this folder was queued: its rows go in ${count(made.length)} smaller jobs. Nothing of it was paid.`,
    hint: undefined,
  });
  return made;
}
