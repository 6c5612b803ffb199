/**
 * The manifest: what the journal says, kept in memory, and the one way to add to it. An event is
 * checked against the state before it is written, and counts only once it is durable.
 */
import { formatJobId, jobFiles, type JobFiles } from "./file-names.ts";
import { randomInt } from "node:crypto";
import type { Clock } from "../clock.ts";
import { usageError } from "../errors.ts";
import { type Lock } from "../disk/folder-lock.ts";
import type { ModelName } from "../row/models.ts";
import type { Sums } from "../row/sums.ts";
import { sameTarget, type Target } from "../row/target.ts";
import type { Bill, Sent } from "./bill.ts";
import type { DroppedIndex } from "./dropped-index.ts";
import {
  FORMAT_NAME,
  FORMAT_VERSION,
  type IndexEvent,
  type JobEvent,
  type JournalEvent,
  type JournalHeader,
} from "./event.ts";
import { changeOf, commit, indexOf, type ManifestState, type RecordedJob } from "./fold.ts";
import { type Job, type NewJob, type TokenCount } from "./job.ts";
import { type JournalWriter, type Place } from "./journal.ts";
import { NEW_QUOTA, type QuotaLog } from "./quota/quota-log.ts";
import {
  type Migration,
  migrationOf,
  type MigrationPlan,
  type MigrationTold,
} from "./migration/table-migration.ts";
import type { Need } from "./states.ts";

/** An event as a stage reports it: the manifest adds the time. */
type NewEvent = DistributiveOmit<
  Exclude<JobEvent, { type: "exported" | "recovered" | "resubmitted" }>,
  "at"
>;
/** A batch that another folder has sent. */
type RecoveredJob = Omit<Extract<JobEvent, { type: "recovered" }>, "type" | "at" | "target"> &
  Readonly<{ target: Target }>;
type NewIndexEvent = DistributiveOmit<IndexEvent, "at" | "target"> & Readonly<{ target: Target }>;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** A job whose failed lines went into new ones, and what stays in its failed file. */
export type Parent = Readonly<{
  job: string;
  outstanding: Job["outstanding"];
  failedFile: Job["failedFile"];
  /** Where rows were written without being sent; undefined: as they were. */
  sums?: Sums | undefined;
  /** Where the results were fetched again and are other ones. */
  results?: Job["resultsFile"];
}>;

type Parents = readonly [Parent, ...Parent[]];

/** What can be read without the lock. */
export type ManifestView = {
  /** Part of every display name; undefined when there is no manifest yet. */
  readonly id: string | undefined;
  readonly warnings: readonly string[];
  /** In the order of their ids. */
  jobs(): readonly Job[];
  /** The open jobs that need one of these, in the order of their ids: cheap to ask after each event, and good until the next one. */
  needing(...wanted: readonly Need[]): readonly Job[];
  /** What the results of the target's jobs told of tokens, and what was estimated of them. */
  billed(target: Target): Bill;
  /** What of the target's jobs was or may have been paid for. */
  sent(target: Target): Sent;
  /** Throws a UserError when there is no such job. */
  job(id: string): Job;
  files(job: string): JobFiles;
  /** The last sample of the target's rows that the service counted. */
  counted(target: Target): TokenCount | undefined;
  /** Those that do not stand again yet. */
  droppedIndexes(): readonly DroppedIndex[];
  /** The last one of that table; undefined: there was none. */
  migration(table: Pick<Target, "schema" | "table">): Migration | undefined;
  /** What the model's quota has shown of itself. */
  quota(model: ModelName): QuotaLog;
  /** Whether Gemini, asked with that key, refuses a create whose input file was deleted; undefined: never tried. */
  fences(keyId: string): boolean | undefined;
};

export type Manifest = ManifestView & {
  readonly id: string;
  readonly folder: string;
  /** A number that no other job of this manifest has or will get. */
  reserveJobId(): string;
  recordExported(job: NewJob): Promise<Job>;
  recordRecovered(job: RecoveredJob): Promise<Job>;
  /** Makes all children known in one step, together with what stays in their parents' failed files. */
  recordResubmitted(children: readonly NewJob[], parents: Parents): Promise<readonly Job[]>;
  record(event: NewEvent): Promise<Job>;
  /** Only if it still holds of the job once all before it is recorded; undefined where it does not. */
  recordIf(holds: (job: Job) => boolean, event: NewEvent): Promise<Job | undefined>;
  recordCounted(target: Target, count: TokenCount): Promise<void>;
  recordIndex(event: NewIndexEvent): Promise<void>;
  /** As it is after the step. */
  recordMigration(migration: MigrationPlan, told: MigrationTold): Promise<Migration>;
  /** Throws a UserError when another process has the folder by now. */
  stillHeld(): Promise<void>;
  /** Gives the lock back. */
  close(): Promise<void>;
};

/** What is read of a state; the folder is where its files are. */
export function viewOf(folder: string, state: ManifestState) {
  return {
    jobs: () => indexOf(state).all(),
    needing: (...wanted: readonly Need[]) => indexOf(state).needing(...wanted),
    billed: (target: Target) => indexOf(state).billed(target),
    sent: (target: Target) => indexOf(state).sent(target),
    job: (id: string) => jobOf(state, id),
    files: (job: string) => jobFiles(folder, job),
    counted: (target: Target) => countOf(state, target),
    droppedIndexes: () => [...state.indexes.values()],
    migration: (table: Pick<Target, "schema" | "table">) => migrationOf(state, table),
    quota: (model: ModelName) => state.quotas.get(model) ?? NEW_QUOTA,
    fences: (keyId: string) => state.fences.get(keyId),
  };
}

function countOf({ targets, counts }: ManifestState, target: Target): TokenCount | undefined {
  const known = targets.find((each) => sameTarget(each, target));
  return known && counts.get(known);
}

type Writing = Readonly<{
  state: ManifestState;
  journal: JournalWriter;
  /** Once all is written. */
  save: (place: Place) => Promise<void>;
  lock: Lock;
  clock: Clock;
  /** Jobs of which answers were found: also where only a later manifest knew them, their numbers are taken. */
  answered: ReadonlySet<string>;
}>;

/** The part of a Manifest that writes: one event after the other, each checked before it is written. */
export function writing({ state, journal, save, lock, clock, answered }: Writing) {
  let queue: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(task: () => Promise<T>): Promise<T> => {
    const done = queue.then(task);
    queue = done.catch(() => {});
    return done;
  };
  const at = () => clock.now().toISOString();
  const appendEvent = async (event: JournalEvent) => {
    await lock.stillHeld();
    const change = changeOf(state, event);
    await journal.append(event);
    commit(state, change);
  };
  const numberOf = async (target: Target): Promise<number> => {
    const known = state.targets.findIndex((each) => sameTarget(each, target));
    return known >= 0 ? known : addTarget(target);
  };
  const numbered = async (job: NewJob) => recordedJob(job, await numberOf(job.target));
  const addTarget = async (target: Target): Promise<number> => {
    const number = state.targets.length;
    await appendEvent({ type: "target", at: at(), number, target });
    return number;
  };
  const jobNow = (id: string) => jobOf(state, id);
  const recorded = async (event: JobEvent): Promise<Job> =>
    appendEvent(event).then(() => jobNow(event.job));
  const recordNow = (event: NewEvent) => recorded({ ...event, at: at() });
  return {
    reserveJobId: () => {
      do state.lastJob += 1;
      while (answered.has(formatJobId(state.lastJob)));
      return formatJobId(state.lastJob);
    },
    recordExported: (job: NewJob) =>
      inTurn(async () => recorded({ type: "exported", at: at(), ...(await numbered(job)) })),
    recordRecovered: ({ target, ...job }: RecoveredJob) =>
      inTurn(async () =>
        recorded({ type: "recovered", at: at(), ...job, target: await numberOf(target) }),
      ),
    recordResubmitted: (children: readonly NewJob[], [first, ...more]: Parents) =>
      inTurn(async () => {
        const made: RecordedJob[] = [];
        for (const child of children) made.push(await numbered(child));
        const others = more.length > 0 ? more : undefined;
        await appendEvent({ type: "resubmitted", at: at(), children: made, ...first, others });
        return children.map((child) => jobNow(child.job));
      }),
    record: (event: NewEvent) => inTurn(() => recordNow(event)),
    recordIf: (holds: (job: Job) => boolean, event: NewEvent) =>
      inTurn(async () => (holds(jobNow(event.job)) ? recordNow(event) : undefined)),
    recordCounted: (target: Target, count: TokenCount) =>
      inTurn(async () =>
        appendEvent({ type: "counted", at: at(), target: await numberOf(target), ...count }),
      ),
    recordIndex: ({ target, ...event }: NewIndexEvent) =>
      inTurn(async () => appendEvent({ ...event, at: at(), target: await numberOf(target) })),
    recordMigration: (migration: MigrationPlan, told: MigrationTold) =>
      inTurn(async () => {
        await appendEvent({ ...(await migrationEvent(migration, told, numberOf)), at: at() });
        return recordedMigration(state, migration.next);
      }),
    stillHeld: () => lock.stillHeld(),
    close: async () => {
      await queue;
      await save(await journal.close());
      await lock.release();
    },
  };
}

/** The plan stands with the first step. */
async function migrationEvent(
  { old, next, names, columnType, swaps }: MigrationPlan,
  { step, check }: MigrationTold,
  numberOf: (target: Target) => Promise<number>,
) {
  const its = { step, check: check && [...check] };
  const event = { type: "migration" as const, target: await numberOf(next), ...its };
  if (step !== "planned") return event;
  const copied = { ...names, indexes: [...names.indexes] };
  return { ...event, plan: { old: await numberOf(old), names: copied, columnType, swaps } };
}

function recordedMigration(state: ManifestState, target: Target): Migration {
  const migration = migrationOf(state, target);
  if (migration === undefined) throw new Error("a migration that was recorded is not there");
  return migration;
}

function recordedJob({ parents, ...job }: NewJob, target: number): RecordedJob {
  const several = parents.length > 1 ? [...parents] : undefined;
  return { ...job, target, parent: parents[0], parents: several };
}

const ID_LENGTH = 8;
const ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";

export function newHeader(now: Date): JournalHeader {
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

/** By its id, or by that without the zeroes in front. */
function jobOf({ jobs }: ManifestState, id: string): Job {
  const job = jobs.get(id) ?? (/^\d+$/.test(id) ? jobs.get(formatJobId(Number(id))) : undefined);
  if (job !== undefined) return job;
  const ids = [...jobs.keys()];
  const known =
    ids.length === 0
      ? "there are none yet"
      : `there ${ids.length === 1 ? `is ${ids[0]}` : `are ${ids[0]} to ${ids.at(-1)}`}`;
  throw usageError(
    `There is no job ${id}; ${known}.`,
    ids.length === 0 ? "`vecfill export` makes the first ones." : "`vecfill jobs` lists them.",
  );
}
