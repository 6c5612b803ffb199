/**
 * A create request may leave a stopped machine long after everybody took it for lost. No lock keeps it
 * from that: only Gemini can refuse it, and does so once the file that it names is gone there.
 */
import type { StageServices } from "../jobs-folder/stage-services.ts";
import { explain } from "../words/explain.ts";
import { GeminiError, isOutage } from "../gemini/port.ts";
import { expiryOf, heldUntil } from "../jobs-folder/input-file.ts";
import type { Job } from "../manifest/job.ts";
import { needs } from "../manifest/states.ts";
import { doesDeletionFence } from "./fence-check.ts";

/**
 * `gone`: the service says so of the file of the last submission, and refuses a create with it.
 * `held`: its deletion would not keep a create out, so it has to expire. `open`: neither is known yet.
 */
export type Revocation = "gone" | "held" | "open";

/** To be repeated. From the record on, whoever goes on with the job revokes first. `reads`: of the list, before. */
export async function revokeInput(
  services: StageServices,
  job: Job,
  reads: number,
): Promise<Revocation> {
  // nothing that could be created from
  if (job.remoteFile === undefined) return "gone";
  try {
    const revoking = await recordedRevoking(services, job, reads);
    return revoking === undefined ? "open" : await stateOfInput(services, revoking);
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error;
    if (isOutage(error)) throw explain(error, `revoking the uploaded file of job ${job.id}`);
    return "open";
  }
}

/** The service may not know of what it was told a moment ago. */
async function stateOfInput(
  { gemini, manifest, clock, signal }: StageServices,
  job: Job,
): Promise<Revocation> {
  const file = job.remoteFile?.name ?? "";
  // others may have found its batch, which reads the file; those who have the folder by now are not read
  await manifest.refresh();
  await manifest.stillHeld();
  if (!isSameSubmission(manifest.job(job.id), job)) return "open";
  if (job.revoking?.fences === true) await gemini.deleteFile(file);
  else if (clock.now() < (heldUntil(job) ?? Infinity)) return "held";
  return (await gemini.hasFile(file, signal)) ? "open" : "gone";
}

/** Undefined where it is not known whether deletion fences, or a batch was found meanwhile. */
async function recordedRevoking(
  services: StageServices,
  job: Job,
  reads: number,
): Promise<Job | undefined> {
  const { manifest, clock, keyId } = services;
  if (job.revoking?.keyId === keyId) return job;
  const fences = manifest.fences(keyId) ?? (await doesDeletionFence(services, job.target.model));
  // a file that has expired by itself is gone, whatever its deletion would have done
  if (fences === undefined && clock.now() < expiryOf(job)) return undefined;
  const file = job.remoteFile?.name;
  return manifest.recordIf((now) => isSameSubmission(now, job), {
    type: "revoking",
    job: job.id,
    reads,
    file,
    keyId,
    fences,
  });
}

export function isSameSubmission(now: Job, job: Job): boolean {
  return needs(now) === "settle" && now.submissions === job.submissions;
}
