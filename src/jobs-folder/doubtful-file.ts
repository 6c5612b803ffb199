/**
 * What came in place of a job's results and was not believed: the last two that differ, for a person to
 * look at, and to know since when the same one comes.
 */
import { rename, rm, stat, utimes } from "node:fs/promises";
import { dirname } from "node:path";
import { type FileDigest, hashFile, syncFolder } from "../disk/durable-file.ts";
import { exists } from "../disk/presence.ts";
import type { JobFiles } from "../manifest/file-names.ts";

/** Since when this very file comes, in milliseconds; from now on, where another came before it. */
export async function doubtfulSince(files: JobFiles, file: FileDigest, now: Date): Promise<number> {
  return (await isKept(files, file)) ? (await stat(files.doubtful)).mtimeMs : now.getTime();
}

/** Takes the results file away, and keeps it unless the same one is kept. */
export async function keepDoubtful(files: JobFiles, file: FileDigest, now: Date): Promise<void> {
  if (await isKept(files, file)) return rm(files.results);
  if (await exists(files.doubtful)) await rename(files.doubtful, files.doubtfulBefore);
  await utimes(files.results, now, now);
  await rename(files.results, files.doubtful);
  await syncFolder(dirname(files.doubtful));
}

async function isKept({ doubtful }: JobFiles, { sha256 }: FileDigest): Promise<boolean> {
  return (await exists(doubtful)) && (await hashFile(doubtful)).sha256 === sha256;
}
