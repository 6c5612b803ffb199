/**
 * In a folder people take away what they need no more, and write lines of a failed file anew; in the tables every file stands as it
 * is recorded. So what has become of the files is recorded before a manifest moves there, each as it counts in the folder.
 */
import { hashFile } from "../../disk/durable-file.ts";
import { exists, sizeOf } from "../../disk/presence.ts";
import { UserError } from "../../errors.ts";
import type { Job } from "../../manifest/job.ts";
import type { Manifest } from "../../manifest/manifest.ts";
import { isOpen, isRolledBack } from "../../manifest/states.ts";
import { type Recorded, recordedFiles } from "../../manifest/tables/shared-files.ts";
import { countFailedLines } from "../failed-file.ts";

/** Throws a UserError where one is needed, and is not there. */
export async function recordAsFound(manifest: Manifest): Promise<void> {
  for (const { id } of manifest.jobs()) {
    // what is recorded of one may be two files
    for (;;) {
      const job = manifest.job(id);
      const other = await firstOther(recordedFiles(manifest.files(id), job));
      if (other === undefined) break;
      await recordOther(manifest, job, other);
    }
  }
}

async function firstOther(files: readonly Recorded[]): Promise<Recorded | undefined> {
  for (const each of files) if (!(await isAsRecorded(each))) return each;
  return undefined;
}

async function isAsRecorded({ path, record: { bytes, sha256 } }: Recorded): Promise<boolean> {
  return (await sizeOf(path)) === bytes && (await hashFile(path)).sha256 === sha256;
}

async function recordOther(manifest: Manifest, job: Job, { path }: Recorded): Promise<void> {
  const files = manifest.files(job.id);
  if (path === files.failed) return recordFailedLines(manifest, job, path);
  if (!isOpen(job) && (path === files.requests || path === files.copies))
    return recordMissing(manifest, job, "requests");
  if (isRolledBack(job) && path === files.rollback) return recordMissing(manifest, job, "rollback");
  throw isNeeded(job, path);
}

async function recordMissing(manifest: Manifest, { id: job }: Job, file: "requests" | "rollback") {
  await manifest.record({ type: "cleaned", job, files: [file] });
}

/** As they are now: they are what a resubmission takes. */
async function recordFailedLines(manifest: Manifest, job: Job, path: string): Promise<void> {
  const isThere = await exists(path);
  const outstanding = isThere ? await countFailedLines(path) : { lines: 0, retryable: 0 };
  const failedFile = outstanding.lines > 0 ? await hashFile(path) : undefined;
  await manifest.recordResubmitted([], [{ job, outstanding, failedFile }]);
}

function isNeeded({ id }: Job, path: string): UserError {
  return new UserError(`${path}, which job ${id} needs, is missing or has been changed.`, {
    hint: `Restore it from a backup, or let the job end in this folder first: \`vecfill run\`. Or give it up: \`vecfill cancel ${id} --give-up\`.`,
  });
}
