/**
 * Opens the manifest of a jobs folder: to read it, or, with the lock, to write to it. Whoever takes the lock
 * finds the folder as an interrupted writer left it, and puts it in order first.
 */
import { readdir } from "node:fs/promises";
import type { Clock } from "../clock.ts";
import {
  acquireLock,
  holderOf,
  type Lock,
  type LockedPlace,
  type LockHolder,
  sweepLeftovers,
} from "../disk/folder-lock.ts";
import { UserError } from "../errors.ts";
import { byParent, type JobEvent, type JournalEvent, parentsOf } from "../manifest/event.ts";
import { lockPath, manifestPath } from "../manifest/file-names.ts";
import { apply, indexOf } from "../manifest/fold.ts";
import type { JobHistoryEntry } from "../manifest/job.ts";
import { isArrivingJournal } from "../manifest/journal/journal-names.ts";
import { folderLog } from "../manifest/journal/folder-log.ts";
import { openJournal, type Place, readJournal } from "../manifest/journal/journal.ts";
import {
  type Manifest,
  type ManifestView,
  newHeader,
  viewOf,
  writing,
} from "../manifest/manifest.ts";
import { readState, saveState } from "../manifest/saved/saved-state.ts";
import { move } from "../manifest/transitions.ts";
import { finishReplacedFailedFiles } from "./failed-file.ts";
import { answeredJobs, findJobFile, prepareFolder, sweepLeft, sweepUnrecorded } from "./files.ts";
import { findAnswers, seeBegun } from "./found-answers.ts";

/**
 * Reads the manifest without taking the lock; changes nothing on disk. Jobs are as a command that takes
 * the lock would find them, and so not only what the journal says.
 */
export async function readManifest(folder: string): Promise<ManifestView> {
  const { state, content } = await readState(folder);
  for (const { id, updatedAt } of await seeBegun(folder, indexOf(state).all())) {
    apply(state, { type: "embedding", job: id, at: updatedAt });
  }
  return { ...viewOf(folder, state), id: content.header?.manifest, warnings: content.warnings };
}

/** Who works in the folder now. */
export async function atWork(folder: string, clock: Clock): Promise<LockHolder | undefined> {
  return holderOf(lockPath(folder), clock);
}

/** Takes the lock, cuts a torn line off, sweeps part files. Throws a UserError when it is locked. */
export async function openManifest(folder: string, clock: Clock, command = ""): Promise<Manifest> {
  const lock = await lockFolder(folder, clock, command);
  try {
    return await openLocked(folder, clock, lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** Makes the folder where there is none. Throws a UserError when it is locked. */
export async function lockFolder(folder: string, clock: Clock, command: string): Promise<Lock> {
  await prepareFolder(folder);
  return acquireLock(lockPath(folder), clock, JOBS_FOLDER, command);
}

const JOBS_FOLDER: LockedPlace = {
  what: "The jobs folder",
  meanwhile: "`vecfill jobs` can look meanwhile",
};

/** All that the journal says, oldest first, without the lock. */
export async function readEvents(
  folder: string,
  onEvent: (event: JournalEvent) => void,
): Promise<void> {
  await readJournal(manifestPath(folder), onEvent);
}

export type ReadEvents = (onEvent: (event: JournalEvent) => void) => Promise<void>;

/** Everything that is recorded of one job, oldest first. `note`: a few words on what an event holds. */
export async function readHistory(
  read: ReadEvents,
  job: string,
  note: (event: JobEvent) => string | undefined,
): Promise<JobHistoryEntry[]> {
  const entries: JobHistoryEntry[] = [];
  const add = (type: JobEvent["type"], at: string, words: string | undefined) => {
    const state = move(job, entries.at(-1)?.state, type);
    entries.push({ at, event: type, state, note: words });
  };
  await read((event) => {
    if (!("job" in event)) return;
    if (event.type !== "resubmitted") {
      if (event.job === job) add(event.type, event.at, note(event));
      return;
    }
    const child = event.children.find((each) => each.job === job);
    if (child) add("exported", event.at, `resubmits ${parentsOf(child).join(", ")}`);
    const own = byParent(event).find((each) => each.job === job);
    if (own) add(own.type, own.at, note(own));
  });
  return entries;
}

async function openLocked(folder: string, clock: Clock, lock: Lock): Promise<Manifest> {
  const folded = await readState(folder);
  const { state, content } = folded;
  if (content.header === undefined) await refuseOrphans(folder);
  const header = content.header ?? newHeader(clock.now());
  const base = viewOf(folder, state);
  await finishReplacedFailedFiles(folder, base.jobs());
  await sweepLeft(folder, clock.now());
  const answered = await answeredJobs(folder);
  // a later manifest than this one knew of jobs here: their request files are no leftovers
  const isLatest = [...answered].every((job) => state.jobs.has(job));
  if (isLatest) await sweepUnrecorded(folder, new Set(state.jobs.keys()), state.lastJob);
  await sweepLeftovers(lockPath(folder));
  const found = await findAnswers(
    folder,
    base.jobs().filter(({ id }) => answered.has(id)),
  );
  const journal = await openJournal(manifestPath(folder), content, header);
  const save = (place: Place) => saveState(folder, folded, place);
  const log = folderLog({ journal, save, lock, answered });
  const writer = writing({ state, log, clock });
  try {
    for (const { id } of found.begun) await writer.record({ type: "embedding", job: id });
  } catch (error) {
    await journal.close();
    throw error;
  }
  const warnings = [...content.warnings, ...found.warnings];
  return { ...base, ...writer, id: header.manifest, folder, warnings };
}

/** A new manifest beside old jobs would number over them, and pay for what is under way again. */
export async function refuseOrphans(folder: string): Promise<void> {
  const names = await readdir(folder);
  if (names.some((name) => isArrivingJournal(name))) throw isArriving(folder);
  const orphan = await findJobFile(folder);
  if (orphan === undefined) return;
  throw new UserError(`The folder ${folder} has job files such as ${orphan}, but no manifest.`, {
    hint: `Restore ${manifestPath(folder)} from a backup, or move the files away, or name another folder with --jobs-dir.`,
  });
}

function isArriving(folder: string): UserError {
  return new UserError(`A shared manifest is on its way into the folder ${folder}.`, {
    hint: "Go on with the move: `vecfill manifest move --to folder`. Or name another folder with --jobs-dir.",
  });
}
