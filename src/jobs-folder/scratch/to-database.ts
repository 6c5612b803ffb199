/**
 * The manifest of a jobs folder becomes one that several share, with its id, so that batches under way are known by their
 * names: files first, then events, then the mark that no vecfill writes to the folder any more, then it is active. Killed
 * anywhere, the same command goes on; until the mark stands the folder counts, and may be gone on with.
 */
import { readFile } from "node:fs/promises";
import { replaceFile } from "../../disk/durable-file.ts";
import { type UserError, usageError } from "../../errors.ts";
import { type JournalEvent, type JournalHeader, MOVED_VERSION } from "../../manifest/event.ts";
import { manifestPath } from "../../manifest/file-names.ts";
import { movedJournalPath } from "../../manifest/journal/journal-names.ts";
import { journalLines, readHeaderOf } from "../../manifest/journal/journal.ts";
import type { Job } from "../../manifest/job.ts";
import type { Manifest } from "../../manifest/manifest.ts";
import { isUnderWay } from "../../manifest/migration/table-migration.ts";
import { isElsewhere } from "../../manifest/tables/elsewhere.ts";
import { endArrival, storeHistory } from "../../manifest/tables/move-in.ts";
import { SharedFiles } from "../../manifest/tables/shared-files.ts";
import { beginArrival, readHead } from "../../manifest/tables/tables.ts";
import { whichDatabase } from "../../manifest/tables/which-database.ts";
import { answeredJobs } from "../files.ts";
import { openManifest, readEvents } from "../open.ts";
import { recordAsFound } from "./as-found.ts";
import type { SharedPlace } from "./scratch.ts";

/** Which manifest, and how many jobs it has. */
export type Moved = Readonly<{ id: string; jobs: number }>;

export async function moveToDatabase(place: SharedPlace, command = ""): Promise<Moved> {
  const { jobsDir, clock } = place;
  const header = await readHeaderOf(manifestPath(jobsDir));
  if (header === undefined) throw nothingThere(jobsDir);
  if (header.version === MOVED_VERSION) return endMove(place, header);
  const manifest = await openManifest(jobsDir, clock.own, command);
  try {
    refuseUnended(manifest);
    await recordAsFound(manifest);
    const epoch = await storeAll(place, manifest);
    await manifest.stillHeld();
    await closeJournal(jobsDir, { ...header, epoch });
    return await endMove(place, { ...header, epoch });
  } finally {
    await manifest.close();
  }
}

/** Says the epoch in which it arrives. */
async function storeAll(place: SharedPlace, manifest: Manifest): Promise<string> {
  const { jobsDir, tables, again } = place;
  const { id } = manifest;
  const jobs = manifest.jobs();
  await again(async () => beginArrival(tables, id, await whichDatabase(tables)));
  const head = await again(() => readHead(tables));
  if (head?.id !== id || head.state !== "arriving") throw hasAnother(head?.id ?? "");
  await new SharedFiles({ tables, id, again }, jobsDir).store(jobs, []);
  const events: JournalEvent[] = [];
  await readEvents(jobsDir, (event) => events.push(event));
  const lastJob = await lastNumber(jobsDir, jobs);
  const history = { id, events, jobs, lastJob };
  if (!(await again(() => storeHistory(tables, history)))) throw isOtherHistory(id);
  return head.epoch;
}

/** A number under which answers stand is not free. */
async function lastNumber(folder: string, jobs: readonly Job[]): Promise<number> {
  const ids = [...(await answeredJobs(folder)), ...jobs.map(({ id }) => id)];
  return ids.reduce((last, id) => Math.max(last, Number(id)), 0);
}

/** The journal is kept beside it, for people. */
async function closeJournal(folder: string, header: JournalHeader): Promise<void> {
  const path = manifestPath(folder);
  await replaceFile(movedJournalPath(folder), await readFile(path));
  const lines = journalLines({ ...header, version: MOVED_VERSION }, []);
  await replaceFile(path, `${[...lines].join("\n")}\n`);
}

/** The folder is closed: all that it had is in the tables. */
async function endMove(
  { tables, again }: SharedPlace,
  { manifest: id, epoch = "0" }: JournalHeader,
): Promise<Moved> {
  const head = await again(() => readHead(tables));
  if (head?.id !== id) throw isNotThere(id);
  if (!(await again(() => endArrival(tables, id, epoch)))) throw isElsewhere(head);
  const [row] = await again(() =>
    tables.query("SELECT count(*)::text AS jobs FROM vecfill.job WHERE manifest = $1", [id]),
  );
  return { id, jobs: Number(row?.["jobs"]) };
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
