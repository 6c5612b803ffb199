/**
 * The manifest: what the journal says, kept in memory, and the one way to add to it. An event is
 * checked against the state before it is written, and counts only once it is durable.
 */
import { randomInt } from "node:crypto";
import type { Clock } from "../clock.ts";
import { UserError } from "../errors.ts";
import { acquireLock, type Lock, type LockedPlace, sweepLeftovers } from "../disk/folder-lock.ts";
import type { ModelName } from "../row/models.ts";
import { sameTarget, type Target } from "../row/target.ts";
import type { Bill } from "./bill.ts";
import type { DroppedIndex } from "./dropped-index.ts";
import {
  FORMAT_NAME,
  FORMAT_VERSION,
  type IndexEvent,
  type JobEvent,
  type JournalEvent,
  type JournalHeader,
} from "./event.ts";
import { finishReplacedFailedFiles } from "../jobs-folder/failed-file.ts";
import {
  answeredJobs,
  findJobFile,
  formatJobId,
  jobFiles,
  type JobFiles,
  lockPath,
  manifestPath,
  prepareFolder,
  sweepLeft,
  sweepUnrecorded,
} from "../jobs-folder/files.ts";
import {
  apply,
  changeOf,
  commit,
  emptyState,
  indexOf,
  type ManifestState,
  type RecordedJob,
} from "./fold.ts";
import { findAnswers, seeBegun } from "../jobs-folder/found-answers.ts";
import { type Job, type JobHistoryEntry, type NewJob, type TokenCount } from "./job.ts";
import { type JournalWriter, openJournal, readJournal } from "./journal.ts";
import { NEW_QUOTA, type QuotaLog } from "./quota-log.ts";
import { move } from "./transitions.ts";
import { isOpen, type Need } from "./states.ts";

/** An event as a stage reports it: the manifest adds the time. */
type NewEvent = DistributiveOmit<Exclude<JobEvent, { type: "exported" | "resubmitted" }>, "at">;
type NewIndexEvent = DistributiveOmit<IndexEvent, "at" | "target"> & Readonly<{ target: Target }>;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

type Resubmission = Readonly<{
  children: readonly NewJob[];
  outstanding: Job["outstanding"];
  failedFile: Job["failedFile"];
}>;

/** What can be read without the lock. */
export type ManifestView = {
  /** Part of every display name; undefined when there is no manifest yet. */
  readonly id: string | undefined;
  readonly warnings: readonly string[];
  /** In the order of their ids. */
  jobs(): readonly Job[];
  /** The open jobs that need one of these, in the order of their ids: cheap to ask after each event. */
  needing(...wanted: readonly Need[]): readonly Job[];
  /** What the results of the target's jobs told of tokens, and what was estimated of them. */
  billed(target: Target): Bill;
  /** How many jobs had a batch that has ended. */
  batchesEnded(): number;
  /** Throws a UserError when there is no such job. */
  job(id: string): Job;
  files(job: string): JobFiles;
  /** The last sample of the target's rows that the service counted. */
  counted(target: Target): TokenCount | undefined;
  /** Those that do not stand again yet. */
  droppedIndexes(): readonly DroppedIndex[];
  /** What the model's quota has shown of itself. */
  quota(model: ModelName): QuotaLog;
};

export type Manifest = ManifestView & {
  readonly id: string;
  readonly folder: string;
  /** A number that no other job of this manifest has or will get. */
  reserveJobId(): string;
  recordExported(job: NewJob): Promise<Job>;
  /** Makes all children known in one step, together with what stays in the parent's failed file. */
  recordResubmitted(parent: string, resubmission: Resubmission): Promise<readonly Job[]>;
  record(event: NewEvent): Promise<Job>;
  /** Only if it still holds of the job once all before it is recorded; undefined where it does not. */
  recordIf(holds: (job: Job) => boolean, event: NewEvent): Promise<Job | undefined>;
  recordCounted(target: Target, count: TokenCount): Promise<void>;
  recordIndex(event: NewIndexEvent): Promise<void>;
  /** Gives the lock back. */
  close(): Promise<void>;
};

/**
 * Reads the manifest without taking the lock; changes nothing on disk. Jobs are as a command that takes
 * the lock would find them, and so not only what the journal says.
 */
export async function readManifest(folder: string): Promise<ManifestView> {
  const state = emptyState();
  const content = await readJournal(manifestPath(folder), (event) => apply(state, event));
  for (const { id, updatedAt } of await seeBegun(folder, indexOf(state).all())) {
    apply(state, { type: "embedding", job: id, at: updatedAt });
  }
  return { ...view(folder, state), id: content.header?.manifest, warnings: content.warnings };
}

/** For a dry run: reads as the manifest does, takes no lock, and refuses to write. */
export async function previewManifest(folder: string): Promise<Manifest> {
  const seen = await readManifest(folder);
  return {
    ...seen,
    id: seen.id ?? "",
    folder,
    reserveJobId: refuseToWrite,
    recordExported: refuseToWrite,
    recordResubmitted: refuseToWrite,
    record: refuseToWrite,
    recordIf: refuseToWrite,
    recordCounted: refuseToWrite,
    recordIndex: refuseToWrite,
    close: async () => {},
  };
}

/** Takes the lock, cuts a torn line off, sweeps part files. Throws a UserError when it is locked. */
export async function openManifest(folder: string, clock: Clock): Promise<Manifest> {
  await prepareFolder(folder);
  const lock = await acquireLock(lockPath(folder), clock, JOBS_FOLDER);
  try {
    return await openLocked(folder, clock, lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

const JOBS_FOLDER: LockedPlace = {
  what: "The jobs folder",
  meanwhile: "`vecfill jobs` can look meanwhile",
};

/** Everything the journal says of one job, oldest first. */
export async function readHistory(folder: string, job: string): Promise<JobHistoryEntry[]> {
  const entries: JobHistoryEntry[] = [];
  const add = (type: JobEvent["type"], at: string, words: string | undefined) => {
    const state = move(job, entries.at(-1)?.state, type);
    entries.push({ at, event: type, state, note: words });
  };
  await readJournal(manifestPath(folder), (event) => {
    if (!("job" in event)) return;
    const born = event.type === "resubmitted" && event.children.some((child) => child.job === job);
    if (born) add("exported", event.at, `resubmits ${event.job}`);
    if (event.job === job) add(event.type, event.at, note(event));
  });
  return entries;
}

/** True while a job's rows are on their way and must not be exported again. */
export function isUnfinished(job: Job): boolean {
  return isOpen(job);
}

async function openLocked(folder: string, clock: Clock, lock: Lock): Promise<Manifest> {
  const path = manifestPath(folder);
  const state = emptyState();
  const content = await readJournal(path, (event) => apply(state, event));
  if (content.header === undefined) await refuseOrphans(folder);
  const header = content.header ?? newHeader(clock.now());
  const base = view(folder, state);
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
  const journal = await openJournal(path, content, content.header ? undefined : header);
  const writer = writing({ state, journal, lock, clock, answered });
  try {
    for (const { id } of found.begun) await writer.record({ type: "embedding", job: id });
  } catch (error) {
    await journal.close();
    throw error;
  }
  const warnings = [...content.warnings, ...found.warnings];
  return { ...base, ...writer, id: header.manifest, folder, warnings };
}

function refuseToWrite(): never {
  throw new Error("a dry run writes nothing");
}

/** A new manifest beside old jobs would number over them, and pay for what is under way again. */
async function refuseOrphans(folder: string): Promise<void> {
  const orphan = await findJobFile(folder);
  if (orphan === undefined) return;
  throw new UserError(`The folder ${folder} has job files such as ${orphan}, but no manifest.`, {
    hint: `Restore ${manifestPath(folder)} from a backup, or move the files away, or name another folder with --jobs-dir.`,
    exit: "fatal",
  });
}

function view(folder: string, state: ManifestState) {
  return {
    jobs: () => indexOf(state).all(),
    needing: (...wanted: readonly Need[]) => indexOf(state).needing(...wanted),
    billed: (target: Target) => indexOf(state).billed(target),
    batchesEnded: () => indexOf(state).batchesEnded,
    job: (id: string) => state.jobs.get(id) ?? unknownJob(id, state),
    files: (job: string) => jobFiles(folder, job),
    counted: (target: Target) => countOf(state, target),
    droppedIndexes: () => [...state.indexes.values()],
    quota: (model: ModelName) => state.quotas.get(model) ?? NEW_QUOTA,
  };
}

function countOf({ targets, counts }: ManifestState, target: Target): TokenCount | undefined {
  const known = targets.find((each) => sameTarget(each, target));
  return known && counts.get(known);
}

type Writing = Readonly<{
  state: ManifestState;
  journal: JournalWriter;
  lock: Lock;
  clock: Clock;
  /** Jobs of which answers were found: also where only a later manifest knew them, their numbers are taken. */
  answered: ReadonlySet<string>;
}>;

/** The part of a Manifest that writes: one event after the other, each checked before it is written. */
function writing({ state, journal, lock, clock, answered }: Writing) {
  let queue: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(task: () => Promise<T>): Promise<T> => {
    const done = queue.then(task);
    queue = done.catch(() => {});
    return done;
  };
  const at = () => clock.now().toISOString();
  const append = async (event: JournalEvent) => {
    await lock.stillHeld();
    const change = changeOf(state, event);
    await journal.append(event);
    commit(state, change);
  };
  const numberOf = async (target: Target): Promise<number> => {
    const known = state.targets.findIndex((each) => sameTarget(each, target));
    return known >= 0 ? known : addTarget(target);
  };
  const recorded = async (job: NewJob): Promise<RecordedJob> => ({
    ...job,
    target: await numberOf(job.target),
  });
  const addTarget = async (target: Target): Promise<number> => {
    const number = state.targets.length;
    await append({ type: "target", at: at(), number, target });
    return number;
  };
  const jobOf = (id: string) => state.jobs.get(id) ?? unknownJob(id, state);
  const recordNow = async (event: NewEvent): Promise<Job> => {
    await append({ ...event, at: at() });
    return jobOf(event.job);
  };

  return {
    reserveJobId: () => {
      do state.lastJob += 1;
      while (answered.has(formatJobId(state.lastJob)));
      return formatJobId(state.lastJob);
    },
    recordExported: (job: NewJob) =>
      inTurn(async () => {
        await append({ type: "exported", at: at(), ...(await recorded(job)) });
        return jobOf(job.job);
      }),
    recordResubmitted: (parent: string, { children, ...rest }: Resubmission) =>
      inTurn(async () => {
        const made: RecordedJob[] = [];
        for (const child of children) made.push(await recorded(child));
        await append({ type: "resubmitted", at: at(), job: parent, children: made, ...rest });
        return children.map((child) => jobOf(child.job));
      }),
    record: (event: NewEvent) => inTurn(() => recordNow(event)),
    recordIf: (holds: (job: Job) => boolean, event: NewEvent) =>
      inTurn(async () => (holds(jobOf(event.job)) ? recordNow(event) : undefined)),
    recordCounted: (target: Target, count: TokenCount) =>
      inTurn(async () => {
        await append({ type: "counted", at: at(), target: await numberOf(target), ...count });
      }),
    recordIndex: ({ target, ...event }: NewIndexEvent) =>
      inTurn(async () => append({ ...event, at: at(), target: await numberOf(target) })),
    close: async () => {
      await queue;
      await journal.close();
      await lock.release();
    },
  };
}

const ID_LENGTH = 8;
const ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";

function newHeader(now: Date): JournalHeader {
  const letters = Array.from(
    { length: ID_LENGTH },
    () => ID_ALPHABET[randomInt(ID_ALPHABET.length)],
  );
  return {
    format: FORMAT_NAME,
    version: FORMAT_VERSION,
    manifest: letters.join(""),
    createdAt: now.toISOString(),
  };
}

function unknownJob(id: string, state: ManifestState): never {
  const ids = [...state.jobs.keys()];
  const known =
    ids.length === 0
      ? "there are none yet"
      : `there ${ids.length === 1 ? `is ${ids[0]}` : `are ${ids[0]} to ${ids.at(-1)}`}`;
  const meant = /^\d+$/.test(id) ? formatJobId(Number(id)) : id;
  throw new UserError(`There is no job ${id}; ${known}.`, {
    hint: state.jobs.has(meant)
      ? `Did you mean ${meant}? \`vecfill jobs ${meant}\` shows it.`
      : ids.length === 0
        ? "`vecfill export` makes the first ones."
        : "`vecfill jobs` lists them.",
    exit: "usage",
  });
}

/** A few words on what an event holds. */
function note(event: JobEvent): string | undefined {
  switch (event.type) {
    case "exported":
      return `${event.requests} requests`;
    case "uploaded":
      return event.remoteFile.name;
    case "submitting":
      return event.displayName;
    case "submitted":
      return event.adopted ? `${event.batch}, found after an uncertain create` : event.batch;
    case "duplicate":
      return `${event.batch}: a second batch of this job, not used`;
    case "succeeded":
      return event.resultsName;
    case "absent":
      return `not at Gemini after ${event.reads} readings of the batch list`;
    case "refused":
    case "failed":
    case "expired":
    case "cancelled":
      return event.error.message;
    case "downloaded":
      return `${event.file.bytes} bytes`;
    case "imported":
      return `${event.sums.written} written, ${event.sums.failed} failed`;
    case "resubmitted":
      return event.children.map((child) => child.job).join(", ");
    case "rollingBack":
      return `${event.rows} rows about to be emptied`;
    case "rolledBack":
      return `${event.rows} rows`;
    case "cleaned":
      return event.files.join(", ");
    case "embedding":
      return "at once, at the interactive price";
  }
}
