import { KeySet } from "../row/key-table.ts";
import { formatKey, olderKey, parseKey, type PendingQuestion } from "../row/question.ts";
import { sameTarget, type Target } from "../row/target.ts";
import { readFailedLines } from "./failed-file.ts";
import { isMissing } from "../disk/presence.ts";
import type { Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { isOpen } from "../manifest/states.ts";
import { lacksRows } from "./found-rows.ts";
import { checkRequestFile, readRequestKeys } from "./request-file.ts";
import { sameColumn } from "../manifest/vector-space.ts";

/**
 * Which rows are not to be exported again: those of unfinished jobs, and those that wait in failed
 * files. A row whose text changed has another key and is not among them. Eight bytes a row. Throws a
 * UserError where a request file is not the one recorded: its rows would be paid for twice.
 */
export type TakenRows = Readonly<{
  inFlight: KeySet;
  failedBefore: KeySet;
  /** Ids of rows that jobs are under way with for the same column by another `--text`, or under older keys. */
  inFlightOtherwise: KeySet;
}>;

/**
 * While the files are read, `run` goes on resubmitting: rows leave a failed file for a job that was
 * not there when the reading began. They are known by then as that job's, so jobs are read until
 * there is none that was not.
 */
export async function readTakenRows(manifest: ManifestView, target: Target): Promise<TakenRows> {
  const taken = {
    inFlight: new KeySet(),
    failedBefore: new KeySet(),
    inFlightOtherwise: new KeySet(),
  };
  const read = new Set<string>();
  const unread = () => manifest.jobs().filter((job) => !read.has(job.id));
  for (let jobs = unread(); jobs.length > 0; jobs = unread()) {
    for (const job of jobs) {
      const isOwn = sameTarget(job.target, target);
      if (isOwn) await readRows(manifest, job, taken);
      if (sameRows(job.target, target) && !(isOwn && job.digest === "sha256"))
        await readIds(manifest, job, taken);
      read.add(job.id);
    }
  }
  return taken;
}

/** Under its own key, or under that of a job of an earlier version. */
export function hasFailedBefore({ failedBefore }: TakenRows, row: PendingQuestion): boolean {
  if (failedBefore.size === 0) return false;
  return failedBefore.has(formatKey(row)) || failedBefore.has(olderKey(row));
}

/** Whether a job is under way with the row, by whatever text: its vector will be in the column first. */
export function isInFlight({ inFlight, inFlightOtherwise }: TakenRows, key: string): boolean {
  if (inFlight.has(key)) return true;
  // nearly always there are none
  return inFlightOtherwise.size > 0 && inFlightOtherwise.has(idOf(key));
}

async function readRows(
  manifest: ManifestView,
  job: Job,
  { inFlight, failedBefore }: TakenRows,
): Promise<void> {
  if (isOpen(job)) {
    for await (const keys of keysOf(manifest, job)) for (const key of keys) inFlight.add(key);
  } else if (job.outstanding.lines > 0) {
    for await (const key of waitingKeys(manifest.files(job.id).failed)) failedBefore.add(key);
  }
}

async function readIds(
  manifest: ManifestView,
  job: Job,
  { inFlightOtherwise }: TakenRows,
): Promise<void> {
  if (!isOpen(job)) return;
  for await (const keys of keysOf(manifest, job)) {
    for (const key of keys) inFlightOtherwise.add(idOf(key));
  }
}

/** None where nothing tells them: whoever selects rows has waited for these, or was told not to. */
async function* keysOf(manifest: ManifestView, job: Job): AsyncGenerator<string[]> {
  const files = manifest.files(job.id);
  if (await lacksRows(files, job)) return;
  await checkRequestFile(files, job);
  yield* readRequestKeys(files, job);
}

function idOf(key: string): string {
  return parseKey(key)?.id ?? key;
}

function sameRows(a: Target, b: Target): boolean {
  return sameColumn(a, b) && a.id === b.id;
}

/** None where the file is gone: somebody deleted it, or its rows were resubmitted meanwhile. */
async function* waitingKeys(path: string): AsyncGenerator<string> {
  try {
    for await (const { key } of readFailedLines(path)) yield key;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}
