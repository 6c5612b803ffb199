/**
 * The manifest of a jobs folder becomes one that several share, with its id, so that batches under way are known by their
 * names: files first, then events, then the mark that no vecfill writes to the folder any more, then it is active. Killed
 * anywhere, the same command goes on; until the mark stands the folder counts, and may be gone on with.
 */
import { link, readFile, rm } from "node:fs/promises";
import { replaceFile, syncFolder } from "../../disk/durable-file.ts";
import { errorCode } from "../../disk/presence.ts";
import { type UserError, usageError } from "../../errors.ts";
import { type JournalEvent, type JournalHeader, MOVED_VERSION } from "../../manifest/event.ts";
import { manifestPath } from "../../manifest/file-names.ts";
import { movedJournalPath } from "../../manifest/journal/journal-names.ts";
import { journalLines, readHeaderOf, readJournal } from "../../manifest/journal/journal.ts";
import type { Job } from "../../manifest/job.ts";
import type { Manifest } from "../../manifest/manifest.ts";
import { isUnderWay } from "../../manifest/migration/table-migration.ts";
import { isElsewhere } from "../../manifest/tables/elsewhere.ts";
import { endArrival, isStartOf, storeHistory } from "../../manifest/tables/move-in.ts";
import { SharedFiles } from "../../manifest/tables/shared-files.ts";
import { beginArrival, readHead } from "../../manifest/tables/tables.ts";
import { whichDatabase } from "../../manifest/tables/which-database.ts";
import { answeredJobs } from "../files.ts";
import { lockFolder, openManifest, readEvents } from "../open.ts";
import { recordAsFound } from "./as-found.ts";
import { type History, historyFrom } from "./history.ts";
import type { SharedPlace } from "./scratch.ts";

/** Which manifest, and how many jobs it has. */
export type Moved = Readonly<{ id: string; jobs: number }>;

export async function moveToDatabase(place: SharedPlace, command = ""): Promise<Moved> {
  const { jobsDir, clock } = place;
  const header = await readHeaderOf(manifestPath(jobsDir));
  if (header === undefined) throw nothingThere(jobsDir);
  if (header.version === MOVED_VERSION) return endMove(place, header, command);
  const manifest = await openManifest(jobsDir, clock.own, command);
  let epoch: string;
  try {
    refuseUnended(manifest);
    await recordAsFound(manifest);
    epoch = await beginMove(place, manifest);
    await closeJournal(manifest, { ...header, epoch }, jobsDir);
  } finally {
    await manifest.close();
  }
  return endMove(place, { ...header, epoch }, command);
}

/** Says the epoch in which it arrives. What is here of it is compared before anything is changed. */
async function beginMove(place: SharedPlace, manifest: Manifest): Promise<string> {
  const { jobsDir, tables, again } = place;
  const { id } = manifest;
  const events: JournalEvent[] = [];
  await readEvents(jobsDir, (event) => events.push(event));
  const before = await again(() => readHead(tables));
  if (before?.id === id) {
    if (!["left", "arriving"].includes(before.state)) throw hasAnother(id);
    if (!(await again(() => isStartOf(tables, { id, events })))) throw isOtherHistory(id);
  }
  await again(async () => beginArrival(tables, id, await whichDatabase(tables)));
  const head = await again(() => readHead(tables));
  if (head?.id !== id || head.state !== "arriving") throw hasAnother(head?.id ?? "");
  await storeAll(place, id, { events, jobs: manifest.jobs() });
  return head.epoch;
}

/** May be repeated. */
async function storeAll(
  { jobsDir, tables, again }: SharedPlace,
  id: string,
  { events, jobs }: History,
): Promise<void> {
  await new SharedFiles({ tables, id, again }, jobsDir).store(jobs, []);
  const lastJob = await lastNumber(jobsDir, jobs);
  const isStored = await again(() => storeHistory(tables, { id, events, jobs, lastJob }));
  if (!isStored) throw isOtherHistory(id);
}

/** A number under which answers stand is not free. */
async function lastNumber(folder: string, jobs: readonly Job[]): Promise<number> {
  const ids = [...(await answeredJobs(folder)), ...jobs.map(({ id }) => id)];
  return ids.reduce((last, id) => Math.max(last, Number(id)), 0);
}

/**
 * The journal goes on under its other name, as the very same file: whoever has lost the lock and does not know it yet writes
 * to that one, from which the move is ended.
 */
async function closeJournal(
  manifest: Manifest,
  header: JournalHeader,
  folder: string,
): Promise<void> {
  const [path, moved] = [manifestPath(folder), movedJournalPath(folder)];
  await rm(moved, { force: true });
  await link(path, moved).catch((error: unknown) => copyWhereNoLinks(error, path, moved));
  await syncFolder(folder);
  const lines = journalLines({ ...header, version: MOVED_VERSION }, []);
  await manifest.stillHeld();
  await replaceFile(path, `${[...lines].join("\n")}\n`);
}

const NO_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"];

async function copyWhereNoLinks(error: unknown, path: string, copy: string): Promise<void> {
  if (!NO_LINKS.includes(errorCode(error))) throw error;
  await replaceFile(copy, await readFile(path));
}

/** The folder is closed, and nobody is at work in it any more: all that it has is in the tables before they count. */
async function endMove(
  place: SharedPlace,
  { manifest: id, epoch = "0" }: JournalHeader,
  command: string,
): Promise<Moved> {
  const { jobsDir, clock, tables, again } = place;
  const lock = await lockFolder(jobsDir, clock.own, command);
  try {
    const head = await again(() => readHead(tables));
    if (head?.id !== id) throw isNotThere(id);
    const path = movedJournalPath(jobsDir);
    const history = await historyFrom(async (onEvent) => void (await readJournal(path, onEvent)));
    if (head.state === "arriving" && head.epoch === epoch) await storeAll(place, id, history);
    const arrived = { id, epoch, events: history.events.length };
    if (!(await again(() => endArrival(tables, arrived)))) throw isElsewhere(head);
    return { id, jobs: history.jobs.length };
  } finally {
    await lock.release();
  }
}

/** What is in the folder alone, or what one process alone can go on with. */
function refuseUnended(manifest: Manifest): void {
  const [begun] = manifest.needing("embed");
  if (begun !== undefined)
    throw notYet(
      `Job ${begun.id} is being embedded at once, and what was answered so far is in the jobs folder alone.`,
      "Let it end first: `vecfill submit --lane sync`, then `vecfill import`.",
    );
  const [paid] = manifest.needing("write");
  if (paid !== undefined)
    throw notYet(
      `The results of job ${paid.id} are in the jobs folder, paid for and not in the column.`,
      "Write them first: `vecfill import`.",
    );
  const [dropped] = manifest.droppedIndexes();
  if (dropped !== undefined)
    throw notYet(
      `The index ${dropped.index.name} was dropped to be built again, which is done from a folder alone.`,
      "Build it first: `vecfill import --rebuild-index`.",
    );
  if (manifest.jobs().some(({ target }) => isMigrating(manifest, target)))
    throw notYet(
      "A table is on its way to another model, which goes on from a folder alone.",
      "End that first: `vecfill migrate --finish` or `vecfill migrate --undo`.",
    );
}

function isMigrating(manifest: Manifest, table: Job["target"]): boolean {
  const migration = manifest.migration(table);
  return migration !== undefined && isUnderWay(migration);
}

function notYet(message: string, hint: string): UserError {
  return usageError(message, `${hint} Nothing was moved.`);
}

function nothingThere(folder: string): UserError {
  return usageError(
    `There is no manifest in ${folder} that could move.`,
    "Name its folder with --jobs-dir. A shared manifest needs none: `vecfill run --manifest postgres` makes it.",
  );
}

function hasAnother(id: string): UserError {
  return usageError(
    `The database has a shared manifest already (${id}), which is gone on with. A database has one.`,
    "Go on with that one: --manifest postgres. This folder stays as it is.",
  );
}

function isOtherHistory(id: string): UserError {
  return usageError(
    `The database knows another history of the manifest ${id} than this folder: one of them was set back to an older copy.`,
    "Move from the folder that the database knows. If a move that was broken off left it there: drop schema vecfill cascade, then move again. This folder stays as it is.",
  );
}

function isNotThere(id: string): UserError {
  return usageError(
    `The manifest ${id} has moved from this folder, and is not in this database.`,
    "Is it the right database (DATABASE_URL)? As it was, the journal is kept in manifest.moved.ndjson.",
  );
}
