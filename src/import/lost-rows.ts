/**
 * A database that was restored from a backup, or lost its last commits in a failover, has rows without a vector
 * that are paid for. A sample tells: of what the last jobs wrote, rows wait again with the very text.
 */
import { lacksRows } from "../jobs-folder/found-rows.ts";
import { holdingsOf } from "../jobs-folder/holdings.ts";
import { readRequestKeys } from "../jobs-folder/request-file.ts";
import type { Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { wasImported } from "../manifest/states.ts";
import type { Report } from "../progress.ts";
import { parseKey, type QuestionKey } from "../row/question.ts";
import { sameTarget, type Target } from "../row/target.ts";
import type { Store } from "../store/port.ts";

const JOBS_LOOKED_AT = 3;
/** Evenly over a job's rows, the last ones included: a failover loses those. */
const ROWS_A_JOB = 100;
/** More than the rows that failed, and than one or two that somebody emptied. */
const LEAST_EMPTY = 3;
/** By so much a sample may have more failed rows than their share. */
const SIGMAS = 3;

/** Of the jobs that were imported last, the first that has lost rows is told. */
export async function warnOfLostRows(
  { store, manifest, report }: Readonly<{ store: Store; manifest: ManifestView; report: Report }>,
  target: Target,
): Promise<void> {
  const isImportedHere = (job: Job) => sameTarget(job.target, target) && wasImported(job);
  const last = manifest
    .jobs()
    .filter(isImportedHere)
    .toSorted((a, b) => b.updatedAt.localeCompare(a.updatedAt));
  for (const job of last.slice(0, JOBS_LOOKED_AT)) {
    const rows = await sampleOf(manifest, job);
    const holdings = await holdingsOf(store, rows, target);
    const empty = holdings.filter((holding) => holding === "empty").length;
    // also those that were sent again: they may be under way
    const failed = ((job.sums?.failed ?? 0) * rows.length) / job.requests;
    const explained = failed + SIGMAS * Math.sqrt(failed);
    if (rows.length === 0 || empty < Math.min(LEAST_EMPTY, rows.length) + explained) continue;
    return report({
      type: "warning",
      message: `Of ${rows.length} rows that job ${job.id} was imported with, ${empty} have no vector any more, and their text is the same: the database may have been restored from a backup, or have lost its last commits. A run pays for them again.`,
      hint: "`vecfill import --again` writes them again first, at no cost.",
    });
  }
}

/** None where `clean` took the file. */
async function sampleOf(manifest: ManifestView, job: Job): Promise<QuestionKey[]> {
  const files = manifest.files(job.id);
  if (await lacksRows(files, job)) return [];
  const step = Math.max(1, job.requests / ROWS_A_JOB);
  const rows: QuestionKey[] = [];
  let place = 0;
  for await (const keys of readRequestKeys(files, job)) {
    for (const key of keys) {
      place += 1;
      const row = place >= (rows.length + 1) * step ? parseKey(key) : undefined;
      if (row !== undefined) rows.push(row);
    }
  }
  return rows;
}
