import { KeySet } from "../row/key-table.ts";
import { parseKey, rowIdOf } from "../row/question.ts";
import { type Kin, sameColumn, sameTarget, tableName, type Target } from "../row/target.ts";
import { lineChunks, readFailedLines } from "./failed-file.ts";
import { holdingsOf } from "./holdings.ts";
import { isMissing } from "../disk/presence.ts";
import { hasTextKeys, type Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { isOpen } from "../manifest/states.ts";
import { lacksRows } from "./found-rows.ts";
import { checkRequestFile, readRequestKeys } from "./request-file.ts";
import type { Store } from "../store/port.ts";

/**
 * Which rows are not to be exported again: those of unfinished jobs, and those that wait in failed
 * files. A row whose text changed has another key and is not among them. A row that is under way for a sibling may
 * have gone from there to here. Eight bytes a row. Throws a
 * UserError where a request file is not the one recorded: its rows would be paid for twice.
 */
export type TakenRows = Readonly<{
  inFlight: KeySet;
  failedBefore: KeySet;
  /** Ids of rows in flight, whatever their text: of jobs by another `--text`, or with keys of earlier versions. */
  inFlightIds: KeySet;
  /** Ids of rows that wait with keys of earlier versions, of which the table says that their text is the same. */
  failedIds: KeySet;
}>;

/** What partitions have in common of it. It grows: of jobs that are `read` none is read again. */
export type TakenTogether = Pick<TakenRows, "inFlight" | "failedBefore"> &
  Readonly<{ read: Set<string> }>;

export function nothingTaken(): TakenTogether {
  return { inFlight: new KeySet(), failedBefore: new KeySet(), read: new Set() };
}

/**
 * While the files are read, `run` goes on resubmitting: rows leave a failed file for a job that was
 * not there when the reading began. They are known by then as that job's, so jobs are read until
 * there is none that was not.
 */
export async function readTakenRows(
  { manifest, store }: Readonly<{ manifest: ManifestView; store: Pick<Store, "compare"> }>,
  target: Target,
  kin?: Kin,
  together = nothingTaken(),
): Promise<TakenRows> {
  const taken = { ...together, inFlightIds: new KeySet(), failedIds: new KeySet() };
  for await (const { job, keys, isUnderWay } of takenKeys(manifest, target, kin, together.read)) {
    if (hasOwnKeys(job, target, kin))
      keys.forEach((key) => (isUnderWay ? taken.inFlight : taken.failedBefore).add(key));
    else if (isUnderWay) keys.forEach((key) => taken.inFlightIds.add(rowIdOf(key)));
    else (await unchangedIds(store, keys, target)).forEach((id) => taken.failedIds.add(id));
  }
  return taken;
}

/** The same, and every one by its id, whatever its text. */
export async function readTakenIds(manifest: ManifestView, target: Target): Promise<KeySet> {
  const ids = new KeySet();
  for await (const { keys } of takenKeys(manifest, target)) {
    for (const key of keys) ids.add(rowIdOf(key));
  }
  return ids;
}

/** Whether a job is under way with the row, by whatever text: its vector will be in the column first. */
export function isInFlight({ inFlight, inFlightIds }: TakenRows, key: string): boolean {
  return inFlight.has(key) || hasId(inFlightIds, key);
}

export function hasFailedBefore({ failedBefore, failedIds }: TakenRows, key: string): boolean {
  return failedBefore.has(key) || hasId(failedIds, key);
}

/** Nearly always there are none. */
function hasId(ids: KeySet, key: string): boolean {
  return ids.size > 0 && ids.has(rowIdOf(key));
}

type TakenKeys = Readonly<{ job: Job; keys: readonly string[]; isUnderWay: boolean }>;

async function* takenKeys(
  manifest: ManifestView,
  target: Target,
  kin?: Kin,
  known = new Set<string>(),
): AsyncGenerator<TakenKeys> {
  const read = new Set(known);
  const unread = () => manifest.jobs().filter((job) => !read.has(job.id));
  for (let jobs = unread(); jobs.length > 0; jobs = unread()) {
    for (const job of jobs) {
      read.add(job.id);
      const isOwn = hasOwnKeys(job, target, kin);
      // from a table that is gone nothing can be sent again
      const mayWait = isOwn && kin?.tables.has(tableName(job.target)) !== false;
      if (isOpen(job) && (isOwn || sameRows(job.target, target))) {
        for await (const keys of keysOf(manifest, job)) yield { job, keys, isUnderWay: true };
      } else if (
        (mayWait || sameTarget(job.target, target)) &&
        !isOpen(job) &&
        job.outstanding.lines > 0
      ) {
        for await (const keys of waitingKeys((await manifest.bring(job)).failed))
          yield { job, keys, isUnderWay: false };
      }
      if (isOwn) known.add(job.id);
    }
  }
}

/** Keys of earlier versions are like none of today's: of another partition they say nothing. */
function hasOwnKeys(job: Job, target: Target, kin: Kin | undefined): boolean {
  return sameTarget(job.target, target) ? hasTextKeys(job) : kin?.has(job.target) === true;
}

async function unchangedIds(
  store: Pick<Store, "compare">,
  keys: readonly string[],
  target: Target,
): Promise<string[]> {
  const given = new Map(keys.map((key) => [rowIdOf(key), parseKey(key)]));
  const rows = [...given.values()].filter((row) => row !== undefined);
  const holdings = await holdingsOf(store, rows, target);
  return rows.filter((_, place) => holdings[place] === "empty").map(({ id }) => id);
}

/** None where nothing tells them: whoever selects rows has waited for these, or was told not to. */
async function* keysOf(manifest: ManifestView, job: Job): AsyncGenerator<string[]> {
  const files = await manifest.bring(job);
  if (await lacksRows(files, job)) return;
  await checkRequestFile(files, job);
  yield* readRequestKeys(files, job);
}

function sameRows(a: Target, b: Target): boolean {
  return sameColumn(a, b) && a.id === b.id;
}

/** None where the file is gone: somebody deleted it, or its rows were resubmitted meanwhile. */
async function* waitingKeys(path: string): AsyncGenerator<string[]> {
  try {
    for await (const lines of lineChunks(readFailedLines(path))) yield lines.map(({ key }) => key);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}
