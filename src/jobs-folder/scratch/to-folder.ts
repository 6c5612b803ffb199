/**
 * A shared manifest goes into a jobs folder, with its id, when no job is open: nobody writes to it any more, its journal and files
 * are complete in the folder, the tables say that it has left, and then the journal gets its name. Killed anywhere, the same command goes
 * on. Until it has left it may be called back, or go to another folder: then the journal that waits here never counts.
 */
import { readdir, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { createDurableFile, syncFolder } from "../../disk/durable-file.ts";
import { exists } from "../../disk/presence.ts";
import { UserError, usageError } from "../../errors.ts";
import { type JournalEvent, MOVED_VERSION } from "../../manifest/event.ts";
import { manifestPath } from "../../manifest/file-names.ts";
import { arrivingJournalPath, isArrivingJournal } from "../../manifest/journal/journal-names.ts";
import type { Job } from "../../manifest/job.ts";
import { journalLines, readHeaderOf } from "../../manifest/journal/journal.ts";
import { newHeader } from "../../manifest/manifest.ts";
import { isOpen } from "../../manifest/states.ts";
import { isElsewhere } from "../../manifest/tables/elsewhere.ts";
import { beginLeaving, endLeaving } from "../../manifest/tables/move-out.ts";
import { readSharedEvents, refuseCopy } from "../../manifest/tables/open-shared.ts";
import { SharedFiles } from "../../manifest/tables/shared-files.ts";
import { type Head, readHead } from "../../manifest/tables/tables.ts";
import { whichDatabase } from "../../manifest/tables/which-database.ts";
import { writeFailedCsv } from "../failed-file.ts";
import { lockFolder, readManifest, refuseOrphans } from "../open.ts";
import { type History, historyFrom } from "./history.ts";
import type { SharedPlace } from "./scratch.ts";
import type { Moved } from "./to-database.ts";

export async function moveToFolder(place: SharedPlace, command = ""): Promise<Moved> {
  const { jobsDir, clock, tables, again } = place;
  const lock = await lockFolder(jobsDir, clock.own, command);
  try {
    const head = await again(() => readHead(tables));
    if (head === undefined) throw noneThere();
    if (head.state === "left") return await endHere(place, head);
    if (head.state === "arriving") throw isElsewhere(head);
    await refuseCopy(place, head, await again(() => whichDatabase(tables)));
    await refuseOthers(jobsDir, head.id);
    const { epoch, events, jobs } = await leave(place, head);
    await writeJournal(place, { ...head, epoch }, events);
    await bringFiles(place, head, jobs);
    await lock.stillHeld();
    if (!(await again(() => endLeaving(tables, head.id, epoch)))) throw wasCalledBack();
    return await endHere(place, { ...head, epoch });
  } finally {
    await lock.release();
  }
}

type Left = History & Readonly<{ epoch: string }>;

/** No job is open, and no event comes after these. */
async function leave(place: SharedPlace, { id }: Head): Promise<Left> {
  const { jobsDir, tables, again } = place;
  const goneTo = `${resolve(jobsDir)} on ${hostname()}`;
  for (;;) {
    const { events, jobs } = await historyFrom((onEvent) => readSharedEvents(place, onEvent));
    const [open, ...more] = jobs.filter(isOpen);
    if (open !== undefined) throw areOpen(open, more.length);
    const leaving = { id, events: events.length, goneTo };
    const epoch = await again(() => beginLeaving(tables, leaving));
    if (epoch !== undefined) return { epoch, events, jobs };
    const now = await again(() => readHead(tables));
    if (now === undefined || ["left", "arriving"].includes(now.state)) throw wasCalledBack();
  }
}

async function writeJournal(
  { jobsDir, clock }: SharedPlace,
  { id, epoch }: Head,
  events: readonly JournalEvent[],
): Promise<void> {
  const header = newHeader(new Date(events[0]?.at ?? clock.now()), id);
  const file = await createDurableFile(arrivingJournalPath(jobsDir, id, epoch));
  try {
    for (const line of journalLines(header, events)) await file.write(`${line}\n`);
    await file.commit();
  } finally {
    await file.abandon();
  }
}

/** What stands in the folder of the time before goes on as the jobs have it now. */
async function bringFiles(place: SharedPlace, { id }: Head, jobs: readonly Job[]): Promise<void> {
  const { jobsDir, tables, again } = place;
  const shared = new SharedFiles({ tables, id, again }, jobsDir);
  for (const job of jobs) await writeFailedCsv(await shared.bring(job));
  await syncFolder(jobsDir);
}

/** It has left the tables for a folder: for this one, if its journal waits here, or has got its name. */
async function endHere({ jobsDir }: SharedPlace, head: Head): Promise<Moved> {
  const waiting = arrivingJournalPath(jobsDir, head.id, head.epoch);
  if (await exists(waiting)) {
    await refuseOthers(jobsDir, head.id);
    await rename(waiting, manifestPath(jobsDir));
  } else if (!(await isHere(jobsDir, head))) throw isElsewhere(head);
  const names = await readdir(jobsDir);
  for (const name of names.filter((each) => isArrivingJournal(each, head.id)))
    await rm(join(jobsDir, name), { force: true });
  await syncFolder(jobsDir);
  return { id: head.id, jobs: (await readManifest(jobsDir)).jobs().length };
}

async function isHere(folder: string, { id }: Head): Promise<boolean> {
  const header = await readHeaderOf(manifestPath(folder));
  return header?.manifest === id && header.version !== MOVED_VERSION;
}

/** A folder has one manifest: this one, which has gone from it, or none. */
async function refuseOthers(jobsDir: string, id: string): Promise<void> {
  const header = await readHeaderOf(manifestPath(jobsDir));
  const isOwn = header?.manifest === id && header.version === MOVED_VERSION;
  const begun = (await readdir(jobsDir)).some((name) => isArrivingJournal(name, id));
  if (header === undefined && !begun) await refuseOrphans(jobsDir);
  if (header !== undefined && !isOwn)
    throw usageError(
      `The folder ${jobsDir} has a manifest of its own (${header.manifest}).`,
      "Name another with --jobs-dir: it may be a new one.",
    );
}

function noneThere(): UserError {
  return usageError(
    "There is no shared manifest there that could move.",
    "Is it the right database (DATABASE_URL)?",
  );
}

function areOpen({ id }: Job, more: number): UserError {
  const others = more === 0 ? "" : `, and ${more} more have not`;
  return new UserError(
    `Job ${id} has not ended${others}: a manifest goes to a folder when all have.`,
    {
      hint: "Let them end first: `vecfill worker --drain --yes --manifest postgres`, or `vecfill run --manifest postgres`. Nothing was moved.",
      exit: "unfinished",
    },
  );
}

function wasCalledBack(): UserError {
  return new UserError(
    "The shared manifest was called back, or moved by somebody else, meanwhile.",
    {
      hint: "`vecfill jobs` says where it is. This folder has none of it.",
      exit: "locked",
    },
  );
}
