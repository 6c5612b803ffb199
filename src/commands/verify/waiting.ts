/**
 * How long the oldest row has waited for its vector. A table need not say since when a row is as it is. Where
 * `--age-column` names a column that does, it is told to the second; else the manifest is asked, which knows
 * when it first exported a row, and nothing of rows that no job has.
 */
import { MS_PER_SECOND } from "../../clock.ts";
import { needsDatabase } from "../../words/needs-database.ts";
import type { Job } from "../../manifest/job.ts";
import { waitingSince } from "../../jobs-folder/waiting-since.ts";
import { sameColumn, type Target } from "../../row/target.ts";
import type { Store } from "../../store/port.ts";
import { duration } from "../../words/figures.ts";

/** `who`: in words. `isLeast`: other rows may have waited for longer. */
export type Wait = Readonly<{ who: string; since: string; seconds: number; isLeast: boolean }>;

/** Undefined where no row waits, or nothing tells. */
export async function longestWait(
  { oldestPending }: Store,
  target: Target,
  known: Readonly<{ jobs: readonly Job[]; now: Date; ageColumn: string | undefined }>,
): Promise<Wait | undefined> {
  const { jobs, now, ageColumn } = known;
  if (ageColumn === undefined) {
    const first = waitingSince(jobs.filter((job) => sameColumn(job.target, target)));
    if (first === undefined) return undefined;
    const seconds = Math.round((now.getTime() - Date.parse(first.since)) / MS_PER_SECOND);
    return { who: `rows of job ${first.job}`, since: first.since, seconds, isLeast: true };
  }
  if (oldestPending === undefined)
    throw needsDatabase("A column that tells (--age-column)", ", or leave --age-column out.");
  const row = await oldestPending(ageColumn);
  return row && { ...row, who: `row ${row.id}`, isLeast: false };
}

export function waitText(wait: Wait | undefined, ageColumn: string | undefined): string {
  if (wait !== undefined) {
    const { who, since, seconds, isLeast } = wait;
    return isLeast
      ? `  waiting longest: ${who}, for at least ${duration(seconds)}: first exported ${since}`
      : `  waiting longest: ${who}, for ${duration(seconds)}, since ${since}`;
  }
  return ageColumn === undefined
    ? "  Since when they wait is not known, as no job is under way with them: `--age-column` names a column that tells, such as created_at."
    : `  None of them waits: they have no text, or nothing in ${ageColumn}.`;
}
