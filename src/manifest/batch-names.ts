/** Names at Gemini, by which a batch is found again and told from those of any other folder. */
import { randomInt } from "node:crypto";
import type { Batch } from "../gemini/port.ts";
import type { Job } from "./job.ts";
import { markOf } from "./mark.ts";

/** Start of the display names of all batches of a manifest. */
export function batchPrefix(manifest: string): string {
  return `vecfill-${manifest}-`;
}

/** Of the nth create request that left for a job, with a mark of what it asks for. */
export function batchDisplayName(manifest: string, job: NamedJob, submission: number): string {
  return `${batchPrefix(manifest)}${job.id}-${submission}-${nameMark(job)}`;
}

/**
 * At most 40 of [a-z0-9-], as the Files API wants. Another in each process: what one that was thought dead
 * uploads late must not bring back a file that was revoked, under whose name a create may still come.
 */
export function remoteFileName(manifest: string, job: NamedJob, submission: number): string {
  return `${batchDisplayName(manifest, job, submission)}-${PROCESS_MARK}`;
}

const PROCESS_MARK_LETTERS = 3;
const PROCESS_MARK = randomInt(36 ** PROCESS_MARK_LETTERS)
  .toString(36)
  .padStart(PROCESS_MARK_LETTERS, "0");

/** The display name of the batch that a request file was uploaded for. */
export function batchNameOfFile(file: string): string {
  return file.replace(/^files\//, "").replace(/-[a-z0-9]{3}$/, "");
}

type NamedJob = Pick<Job, "id" | "target" | "requestFile">;

/** The number of the job that a display name belongs to; undefined when it is none of this manifest's. */
export function jobOfBatch(manifest: string, displayName: string): string | undefined {
  const prefix = batchPrefix(manifest);
  if (!displayName.startsWith(prefix)) return undefined;
  return /^(\d{4,})-\d+(?:-[0-9a-f]{8})?$/.exec(displayName.slice(prefix.length))?.[1];
}

/**
 * Whether a batch with the job's number asks for what the job asks for, or bears the very name that
 * was written down before its create left.
 */
export function isBatchOf(job: NamedJob & Pick<Job, "displayName">, displayName: string): boolean {
  return displayName === job.displayName || displayName.endsWith(`-${nameMark(job)}`);
}

function nameMark(job: NamedJob): string {
  return markOf(job).slice(0, NAME_MARK_DIGITS);
}

const NAME_MARK_DIGITS = 8;

/**
 * True when a list read with some key shows a batch that this manifest knows: then the key is of the
 * project that its batches are in, and what the list does not show is not there.
 */
export function isOurProject(listed: readonly Batch[], jobs: readonly Job[]): boolean {
  const known = new Set(jobs.map((job) => job.batch));
  return listed.some(({ name }) => known.has(name));
}
