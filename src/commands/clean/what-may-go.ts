import { refusedLines } from "../../jobs-folder/failed-file.ts";
import { sizeOf } from "../../disk/presence.ts";
import type { JobFiles } from "../../manifest/file-names.ts";
import type { Cleanable, Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { isOpen, isRolledBack, wasImported } from "../../manifest/states.ts";

type LocalFile = Readonly<{ part: Exclude<Cleanable, "upload">; path: string; bytes: number }>;

/** What may go of one job. */
export type Cleaning = Readonly<{
  job: Job;
  local: readonly LocalFile[];
  /** The uploaded request file; undefined where there is none, or it has expired by itself. */
  upload: string | undefined;
  /** It could be rolled back, and cannot any more without these files. */
  endsRollback: boolean;
}>;

export type CleanOptions = Readonly<{ keepResults: boolean; now: Date }>;

/** Jobs of which nothing may go are left out. Changes nothing. */
export async function planCleaning(
  manifest: ManifestView,
  options: CleanOptions,
): Promise<Cleaning[]> {
  const cleanings: Cleaning[] = [];
  for (const job of manifest.jobs()) {
    const files = await manifest.bring(job);
    const local = (await isNeeded(job, files)) ? [] : await there(files, partsToGo(job, options));
    const upload = uploadToGo(job, options.now);
    if (local.length === 0 && upload === undefined) continue;
    const endsRollback = wasImported(job) && local.some(({ part }) => part === "results");
    cleanings.push({ job, local, upload, endsRollback });
  }
  return cleanings;
}

/** Vectors that the table has refused so far are paid for, and can be written from the results. */
async function isNeeded(job: Job, files: JobFiles): Promise<boolean> {
  if (wasImported(job)) for await (const _ of refusedLines(job, files)) return true;
  return false;
}

function partsToGo(job: Job, { keepResults }: CleanOptions): LocalFile["part"][] {
  if (isRolledBack(job)) return ["requests", "results", "rollback"];
  // a rollback that was interrupted needs them to go on
  if (!wasImported(job) || keepResults) return [];
  return ["requests", "results"];
}

/** Its batch has read it, and ended. */
function uploadToGo(job: Job, now: Date): string | undefined {
  const { remoteFile, batch, cleaned } = job;
  if (remoteFile === undefined || isOpen(job) || batch === undefined) return undefined;
  if (cleaned.includes("upload")) return undefined;
  const { name, expiresAt } = remoteFile;
  return expiresAt !== undefined && Date.parse(expiresAt) <= now.getTime() ? undefined : name;
}

async function there(files: JobFiles, parts: readonly LocalFile["part"][]): Promise<LocalFile[]> {
  const found: LocalFile[] = [];
  for (const part of parts) {
    for (const path of pathsOf(files, part)) {
      const bytes = await sizeOf(path);
      if (bytes !== undefined) found.push({ part, path, bytes });
    }
  }
  return found;
}

/**
 * The copies go with the requests, and what was not believed with the results. Whose rows a job had is kept: one that
 * has lost its vector is told from one that was never paid for.
 */
function pathsOf(files: JobFiles, part: LocalFile["part"]): readonly string[] {
  if (part === "requests") return [files.requests, files.copies];
  if (part === "results") return [files.results, files.doubtful, files.doubtfulBefore];
  return [files[part]];
}
