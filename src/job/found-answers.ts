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

/**
 * `jobs`: those of which some answers stand in the folder. Afterwards no exported job has such a file, but for those that are returned as begun, and none that is
 * being embedded has both: with them it was further than the backup that was put over it.
 */
export async function findAnswers(folder: string, jobs: readonly Job[]): Promise<FoundAnswers> {
  const begun: Job[] = [];
  const warnings: string[] = [];
  for (const job of jobs) {
    if (job.state !== "exported" && job.state !== "embedding") continue;
    const paths = await filled(folder, job);
    if (job.state === "embedding" && paths.length < 2) continue;
    let own: string | undefined;
    for (const path of paths) {
      if (own === undefined && (await isCheckpointOf(path, job))) own = path;
      else warnings.push(`${path} ${NOT_KNOWN} ${await setAside(path)}`);
    }
    if (own !== undefined && job.state === "exported") begun.push(job);
  }
  return { begun, warnings };
}

const NOT_KNOWN =
  "holds answers that the manifest does not know of; they may be paid for, and are kept as";

/** The results file first: it is a checkpoint that the sync lane was done with. */
async function filled(folder: string, job: Job): Promise<readonly string[]> {
  const { results, sync } = jobFiles(folder, job.id);
  const paths: string[] = [];
  for (const path of [results, sync]) if (await holdsAnything(path)) paths.push(path);
  return paths;
}

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
