/**
 * Answers under the name of a job that is recorded as `exported`: the manifest was restored from a
 * backup that is older than they are. They are paid for, so none is deleted or written over. What the
 * sync lane was answered for this very request file says so, and the job goes on from there; whatever
 * else stands in the way is kept aside, for a person.
 */
import { rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { syncFolder } from "../durable-file.ts";
import { isCheckpointOf } from "./checkpoint.ts";
import { exists, jobFiles } from "./files.ts";
import type { Job } from "./job.ts";

export type FoundAnswers = Readonly<{
  /** Jobs that are `embedding` in truth. */
  begun: readonly Job[];
  /** What was kept aside, in words. */
  warnings: readonly string[];
}>;

/** Afterwards no exported job has such a file, but for those that are returned as begun. */
export async function findAnswers(folder: string, jobs: readonly Job[]): Promise<FoundAnswers> {
  const begun: Job[] = [];
  const warnings: string[] = [];
  for (const job of jobs) {
    if (job.state !== "exported") continue;
    const { results, sync } = jobFiles(folder, job.id);
    let own: string | undefined;
    // the results file first: it is a checkpoint that was complete
    for (const path of [results, sync]) {
      if (!(await holdsAnything(path))) continue;
      if (own === undefined && (await isCheckpointOf(path, job))) own = path;
      else warnings.push(`${path} ${NOT_KNOWN} ${await setAside(path)}`);
    }
    if (own !== undefined) begun.push(job);
  }
  return { begun, warnings };
}

const NOT_KNOWN =
  "holds answers for a job that the manifest knows only as exported; they may be paid for, and are kept as";

/** False also for an empty file, which goes. */
async function holdsAnything(path: string): Promise<boolean> {
  if (!(await exists(path))) return false;
  const { size } = await stat(path);
  if (size === 0) await rm(path, { force: true });
  return size > 0;
}

const MAX_ASIDE = 1_000;

async function setAside(path: string): Promise<string> {
  for (let number = 1; number <= MAX_ASIDE; number += 1) {
    const aside = `${path}.unknown${number === 1 ? "" : `-${number}`}`;
    if (await exists(aside)) continue;
    await rename(path, aside);
    await syncFolder(dirname(path));
    return aside;
  }
  throw new Error(`there are ${MAX_ASIDE} files beside ${path} already`);
}
