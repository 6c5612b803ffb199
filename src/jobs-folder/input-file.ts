/**
 * Uploaded request files: Gemini keeps 20 GB for a project, so what no batch reads any more is deleted,
 * once, and that is recorded. Best effort: it drops them by itself after 48 hours, and no run fails
 * for tidying up. A file stays as long as a create of its job may still need it, and where the job
 * has a second batch, which may be running. To another project's key every file looks as if it were
 * gone, so only the key that sent the job deletes.
 */
import type { StageServices } from "./stage-services.ts";
import { type Gemini, GeminiError } from "../gemini/port.ts";
import type { Job } from "../manifest/job.ts";
import { isBack, isOpen, needs } from "../manifest/states.ts";

type InputServices = Pick<StageServices, "manifest" | "report" | "keyId"> &
  Readonly<{ gemini: Pick<Gemini, "deleteFile"> }>;

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

/** The service drops an uploaded file so long after its upload. */
const FILE_LIFE_MS = 48 * 60 * 60 * 1000;
/** Clocks differ. */
const SLACK_MS = 60 * 60 * 1000;

/** A deleted file keeps no late create out: the job cannot be sent again before its file has expired. */
export function isHeld(job: Pick<Job, "state" | "revoking">): boolean {
  return needs(job) === "settle" && job.revoking?.fences === false;
}

/**
 * When the uploaded file of a job that is being revoked has expired, and no create can come late any more.
 * Undefined for every other job.
 */
export function heldUntil(
  job: Pick<Job, "state" | "revoking" | "remoteFile" | "updatedAt">,
): Date | undefined {
  return needs(job) === "settle" && job.revoking !== undefined ? expiryOf(job) : undefined;
}

/** When the uploaded file of a job has certainly expired. */
export function expiryOf({ remoteFile, updatedAt }: Pick<Job, "remoteFile" | "updatedAt">): Date {
  // uploaded before the revocation was recorded
  const expiresMs = Date.parse(remoteFile?.expiresAt ?? "") || Date.parse(updatedAt) + FILE_LIFE_MS;
  return new Date(expiresMs + SLACK_MS);
}
