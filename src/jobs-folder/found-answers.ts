/**
 * Answers under the name of a job that is recorded as `exported`: the manifest was restored from a
 * backup that is older than they are. They are paid for, so none is deleted or written over. What the
 * sync lane was answered for this very request file says so, and the job goes on from there; whatever
 * else stands in the way is kept aside, for a person.
 */
import { jobFiles } from "../manifest/file-names.ts";
import { rm } from "node:fs/promises";
import { lookForAnswers } from "./checkpoint.ts";
import { answeredJobs, setAside } from "./files.ts";
import type { Job } from "../manifest/job.ts";
import { needs } from "../manifest/states.ts";

/** Jobs that are `embedding` in truth. Changes nothing, and needs no lock. */
export async function seeBegun(folder: string, jobs: readonly Job[]): Promise<readonly Job[]> {
  const exported = jobs.filter((job) => needs(job) === "send");
  if (exported.length === 0) return [];
  const answered = await answeredJobs(folder);
  const begun: Job[] = [];
  for (const job of exported) {
    if (!answered.has(job.id)) continue;
    const { own } = await lookForAnswers(jobFiles(folder, job.id), job);
    if (own !== undefined) begun.push(job);
  }
  return begun;
}

export type FoundAnswers = Readonly<{
  /** Jobs that are `embedding` in truth. */
  begun: readonly Job[];
  /** What was kept aside, in words. */
  warnings: readonly string[];
}>;

/**
 * `jobs`: those of which some answers stand in the folder. Afterwards no exported job has such a file,
 * but for those that are returned as begun, and none that is being embedded has both.
 */
export async function findAnswers(folder: string, jobs: readonly Job[]): Promise<FoundAnswers> {
  const begun: Job[] = [];
  const warnings: string[] = [];
  for (const job of jobs) {
    const need = needs(job);
    if (need !== "send" && need !== "embed") continue;
    const { own, others, empty } = await lookForAnswers(jobFiles(folder, job.id), job);
    for (const path of empty) await rm(path, { force: true });
    for (const path of others) warnings.push(`${path} ${NOT_KNOWN} ${await setAside(path)}`);
    if (own !== undefined && need === "send") begun.push(job);
  }
  return { begun, warnings };
}

const NOT_KNOWN =
  "holds answers that the manifest does not know of; they may be paid for, and are kept as";
