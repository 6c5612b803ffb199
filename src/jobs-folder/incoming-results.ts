/**
 * What came in place of a job's results: it takes their place once it is believed. Of what is not, the last
 * two that differ are kept, for a person to look at, and to know since when the same one comes.
 */
import { rename, rm, stat, utimes } from "node:fs/promises";
import { dirname } from "node:path";
import { type FileDigest, hashFile, syncFolder } from "../disk/durable-file.ts";
import { exists } from "../disk/presence.ts";
import type { JobFiles } from "../manifest/file-names.ts";

/** Puts what came, which is believed, into the place of the results. */
export async function takeIncoming(files: JobFiles, file: FileDigest): Promise<void> {
  await rename(files.incoming, files.results);
  if (await isKept(files, file)) await rm(files.doubtful);
  await syncFolder(dirname(files.results));
}

/** What came is there already. */
export async function dropIncoming(files: JobFiles): Promise<undefined> {
  await rm(files.incoming);
}

/** Keeps what came, unless the same is kept. */
export async function keepDoubtful(files: JobFiles, file: FileDigest, now: Date): Promise<void> {
  if (await isKept(files, file)) return rm(files.incoming);
  if (await exists(files.doubtful)) await rename(files.doubtful, files.doubtfulBefore);
  await utimes(files.incoming, now, now);
  await rename(files.incoming, files.doubtful);
  await syncFolder(dirname(files.doubtful));
}

/** Since when this very file comes, in milliseconds; from now on, where another came before it. */
export async function doubtfulSince(files: JobFiles, file: FileDigest, now: Date): Promise<number> {
  return (await isKept(files, file)) ? (await stat(files.doubtful)).mtimeMs : now.getTime();
}

async function isKept({ doubtful }: JobFiles, { sha256 }: FileDigest): Promise<boolean> {
  return (await exists(doubtful)) && (await hashFile(doubtful)).sha256 === sha256;
}
