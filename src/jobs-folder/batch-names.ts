/** Names at Gemini, by which a batch is found again and told from those of any other folder. */
import { hash, randomInt } from "node:crypto";
import type { Target } from "../row/target.ts";
import type { Job } from "../manifest/job.ts";
import { requestMarkOf } from "./request-mark.ts";

/** Start of the display names of the batches of every folder. */
export const ANY_PREFIX = "vecfill-";

/** Start of the display names of all batches of a manifest. */
export function batchPrefix(manifest: string): string {
  return `${ANY_PREFIX}${manifest}-`;
}

/**
 * Of the nth create request that left for a job, with a mark of what it asks for, and one of its table, so that
 * other folders know whose rows it has. Without a database at hand there is none of the table.
 */
export function batchDisplayName(
  manifest: string,
  job: NamedJob,
  submission: number,
  markOfTarget?: string,
): string {
  const name = `${batchPrefix(manifest)}${job.id}-${submission}-${nameMark(job)}`;
  return markOfTarget === undefined ? name : `${name}-${markOfTarget}`;
}

/** Of the database, column, model and width, the same in every folder; and behind it of the task. */
export function targetMark(place: string, target: Target): string {
  const { schema, table, embedding, model, dimensions, taskType } = target;
  const column = JSON.stringify([place, schema, table, embedding, model, dimensions]);
  return hash("sha256", column).slice(0, COLUMN_DIGITS) + hash("sha256", taskType).slice(0, 2);
}

const COLUMN_DIGITS = 8;

/** Whether both are of one column, model and width. */
export function isSameColumn(a: string, b: string): boolean {
  return a.slice(0, COLUMN_DIGITS) === b.slice(0, COLUMN_DIGITS);
}

const BATCH_NAME =
  /^vecfill-(?<manifest>[a-z0-9]{8})-(?<job>\d{4,})-\d+(?:-(?<mark>[0-9a-f]{8})(?:-(?<target>[0-9a-f]{10}))?)?$/;

/** Undefined where vecfill has not given that name; earlier versions gave names without one or both marks. */
export function parseBatchName(displayName: string) {
  const { manifest, job, mark, target } = BATCH_NAME.exec(displayName)?.groups ?? {};
  return manifest === undefined || job === undefined ? undefined : { manifest, job, mark, target };
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
  const name = parseBatchName(displayName);
  return name?.manifest === manifest ? name.job : undefined;
}

/**
 * Whether a batch with the job's number asks for what the job asks for, or bears the very name that
 * was written down before its create left.
 */
export function isBatchOf(job: NamedJob & Pick<Job, "displayName">, displayName: string): boolean {
  return displayName === job.displayName || parseBatchName(displayName)?.mark === nameMark(job);
}

function nameMark(job: NamedJob): string {
  return requestMarkOf(job).slice(0, NAME_MARK_DIGITS);
}

const NAME_MARK_DIGITS = 8;

/** The names of all batches that these jobs are known to have, those of a second create included. */
export function batchesOf(jobs: readonly Job[]): ReadonlySet<string | undefined> {
  return new Set(jobs.flatMap((job) => [job.batch, ...job.duplicateBatches]));
}
