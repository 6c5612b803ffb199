import { hashFile } from "../../disk/durable-file.ts";
import { exists } from "../../disk/presence.ts";
import type { FileRecord, Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { balanced } from "../../row/sums.ts";
import { isOpen, needs } from "../../manifest/states.ts";

export type FileProblem = Readonly<{
  job: string;
  file: "requests" | "copies" | "rows" | "results" | "failed";
  path: string;
  problem: "missing" | "changed";
}>;

/** Ended jobs whose rows are not all accounted for: each is a bug. */
export function unbalancedJobs(jobs: readonly Job[]): string[] {
  return jobs
    .filter(({ sums, requests }) => sums && !(balanced(sums) && sums.requests === requests))
    .map(({ id }) => id);
}

/**
 * Reads the files that are still needed: request files of jobs on their way, results that are not
 * imported yet, failed files in which rows wait. The last may be edited by hand, so they only have to
 * be there.
 */
export async function checkFiles(
  manifest: ManifestView,
): Promise<Readonly<{ checked: number; problems: readonly FileProblem[] }>> {
  const problems: FileProblem[] = [];
  let checked = 0;
  for (const job of manifest.jobs()) {
    const files = await manifest.bring(job);
    for (const { file, record } of neededFiles(job, manifest)) {
      checked += 1;
      const path = files[file];
      const problem = await problemOf(path, record);
      if (problem !== undefined) problems.push({ job: job.id, file, path, problem });
    }
  }
  return { checked, problems };
}

/** `record` undefined: its content may have changed. */
type Needed = Readonly<{ file: FileProblem["file"]; record: FileRecord | undefined }>;

function neededFiles(job: Job, { isShared }: ManifestView): Needed[] {
  const needed: Needed[] = [];
  if (isOpen(job)) needed.push(...filesOfRows(job));
  // where several share the manifest, whoever imports fetches them
  if (needs(job) === "write" && !isShared)
    needed.push({ file: "results", record: job.resultsFile });
  if (job.outstanding.lines > 0) needed.push({ file: "failed", record: undefined });
  return needed;
}

function filesOfRows({ requestFile, copies, rowsFile, recovered }: Job): Needed[] {
  if (rowsFile !== undefined) return [{ file: "rows", record: rowsFile }];
  if (recovered) return [];
  const requests: Needed = { file: "requests", record: requestFile };
  return copies === undefined ? [requests] : [requests, { file: "copies", record: copies.file }];
}

async function problemOf(
  path: string,
  record: FileRecord | undefined,
): Promise<FileProblem["problem"] | undefined> {
  if (!(await exists(path))) return "missing";
  if (record === undefined) return undefined;
  return (await hashFile(path)).sha256 === record.sha256 ? undefined : "changed";
}
