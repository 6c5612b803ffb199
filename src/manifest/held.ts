import type { Job } from "./job.ts";
import { needs } from "./states.ts";

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
  if (needs(job) !== "settle" || job.revoking === undefined) return undefined;
  const { remoteFile, updatedAt } = job;
  // uploaded before the revocation was recorded
  const expiresMs = Date.parse(remoteFile?.expiresAt ?? "") || Date.parse(updatedAt) + FILE_LIFE_MS;
  return new Date(expiresMs + SLACK_MS);
}
