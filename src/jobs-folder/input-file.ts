/**
 * Uploaded request files: Gemini keeps 20 GB for a project, so what no batch reads any more is deleted,
 * once, and that is recorded. Best effort: it drops them by itself after 48 hours, and no run fails
 * for tidying up. A file stays as long as a create of its job may still need it, and where the job
 * has a second batch, which may be running. To another project's key every file looks as if it were
 * gone, so only the key that sent the job deletes.
 */
import { type Gemini, GeminiError } from "../gemini/port.ts";
import type { Report } from "../progress.ts";
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { isBack, isOpen } from "../manifest/states.ts";

type InputServices = Readonly<{
  gemini: Pick<Gemini, "deleteFile">;
  manifest: Manifest;
  report: Report;
  keyId: string;
}>;

/** Deletes the job's uploaded file where it is needed no more; true when it is gone. */
export async function deleteInput(services: InputServices, job: Job): Promise<boolean> {
  const { gemini, manifest, report, keyId } = services;
  const { remoteFile } = job;
  if (remoteFile === undefined || job.keyId !== keyId || !isIdle(job)) return false;
  try {
    await gemini.deleteFile(remoteFile.name);
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error;
    report({
      type: "warning",
      message: `The uploaded file ${remoteFile.name} of job ${job.id} was not deleted: ${error.message}.`,
      hint: "It is in nobody's way: Gemini drops it 48 hours after its upload.",
    });
    return false;
  }
  await manifest.record({ type: "cleaned", job: job.id, files: ["upload"] });
  return true;
}

/** Deletes all that are left, and counts them. */
export async function deleteIdleInputs(services: InputServices): Promise<number> {
  let deleted = 0;
  for (const job of services.manifest.jobs()) {
    if (await deleteInput(services, job)) deleted += 1;
  }
  return deleted;
}

/** Its batch has ended. A job that was given up without a batch may have one still. */
function isIdle(job: Job): boolean {
  const { batch, duplicateBatches, cleaned } = job;
  const mayBeRead = batch === undefined || duplicateBatches.length > 0;
  return (isBack(job) || !isOpen(job)) && !mayBeRead && !cleaned.includes("upload");
}
