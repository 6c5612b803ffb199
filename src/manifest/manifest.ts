/**
 * The manifest: what the journal says, kept in memory, and the one way to add to it. An event is
 * checked against the state before it is written, and counts only once it is durable.
 */
import { formatJobId, jobFiles, type JobFiles } from "./file-names.ts";
import { randomInt } from "node:crypto";
import type { Clock } from "../clock.ts";
import { HoldLost, usageError } from "../errors.ts";
import type { Hold } from "../store/port.ts";
import type { ModelName } from "../row/models.ts";
import type { Sums } from "../row/sums.ts";
import { type Kin, sameTarget, tableName, type Target } from "../row/target.ts";
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
import { checkHold, type DistributiveOmit, type EventLog } from "./event-log.ts";
import { changeOf, commit, indexOf, type ManifestState, type RecordedJob } from "./fold.ts";
import { type Job, type NewJob, type TokenCount } from "./job.ts";
import { type Limits, setsMore } from "./quota/set-limits.ts";
import { DEFAULT_PROJECT } from "../row/project.ts";
import { NEW_QUOTA, type QuotaLog, quotaName, quotasOf } from "./quota/quota-log.ts";
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
type Undated = DistributiveOmit<JournalEvent, "at">;

/** A job whose failed lines went into new ones, and what stays in its failed file. */
export type Parent = Readonly<{
  /** As it was when its lines were read. */
  job: Job;
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
  /** Others may write to it, too: what they have recorded is known after `refresh`. */
  readonly isShared: boolean;
  /** In the order of their ids. */
  jobs(): readonly Job[];
  /** The open jobs that need one of these, in the order of their ids: cheap to ask after each event, and good until the next one. */
  needing(...wanted: readonly Need[]): readonly Job[];
  /** What the results of the target's jobs told of tokens, and what was estimated of them. */
  billed(target: Target): Bill;
  /** What of the target's jobs was or may have been paid for. */
  sent(): MapIterator<[Target, Sent]>;
  /** How many jobs have selected rows of the target's column that had no vector, and took them from no failed file. */
  selections(target: Target, kin?: Kin): number;
  /** Throws a UserError when there is no such job. */
  job(id: string): Job;
  files(job: string): JobFiles;
  /** The same, where those that are recorded are: what others have written is fetched first. */
  bring(job: Job): Promise<JobFiles>;
  /** What a write of the job's vectors is bound to; undefined where nobody else writes. */
  holdOf(job: Job): Hold | undefined;
  /** The last sample of the target's rows that the service counted. */
  counted(target: Target): TokenCount | undefined;
  /** Those that do not stand again yet. */
  droppedIndexes(): readonly DroppedIndex[];
  /** The last one of that table; undefined: there was none. */
  migration(table: Pick<Target, "schema" | "table">): Migration | undefined;
  /** What the model's quota in that project has shown of itself. */
  quota(model: ModelName, project?: string): QuotaLog;
  /** Of each project that was sent to. */
  quotas(model: ModelName): readonly QuotaLog[];
  /** The project of each key that has sent something. */
  keys(): ReadonlyMap<string, string>;
  /** Of all who share it, on all their targets together; undefined where nobody else writes. */
  limits(): SharedLimits | undefined;
  /** Targets whose first job goes through before others are sent, as those who share it have begun. */
  trials(): Iterable<Target>;
  /** Whether Gemini, asked with that key, refuses a create whose input file was deleted; undefined: never tried. */
  fences(keyId: string): boolean | undefined;
};

type SharedLimits = Limits & Readonly<{ targets: readonly Target[] }>;

export type Manifest = ManifestView & {
  readonly id: string;
  readonly folder: string;
  /** A number that no other job of this manifest has or will get. */
  reserveJobId(): Promise<string>;
  /** Throws HoldLost where `isFree` does not hold once all before it is recorded: its rows may be another job's by now. */
  recordExported(job: NewJob, isFree?: () => boolean): Promise<Job>;
  recordRecovered(job: RecoveredJob): Promise<Job>;
  /** Makes all children known in one step, together with what stays in their parents' failed files. */
  recordResubmitted(children: readonly NewJob[], parents: Parents): Promise<readonly Job[]>;
  /** `inHand`: as whoever works on the job knows it. Throws HoldLost where others have moved it since. */
  record(event: NewEvent, inHand?: Job): Promise<Job>;
  /** Only if it still holds of the job once all before it is recorded; undefined where it does not. */
  recordIf(holds: (job: Job) => boolean, event: NewEvent): Promise<Job | undefined>;
  recordCounted(target: Target, count: TokenCount): Promise<void>;
  /** What is undefined stays as it is. */
  recordLimits(limits: Limits): Promise<void>;
  recordTrial(target: Target): Promise<void>;
  recordIndex(event: NewIndexEvent): Promise<void>;
  /** As it is after the step. */
  recordMigration(migration: MigrationPlan, told: MigrationTold): Promise<Migration>;
  /** What others have recorded since counts from now on. */
  refresh(): Promise<void>;
  /** Throws a UserError when another process has the folder by now. */
  stillHeld(): Promise<void>;
  /** Gives the lock back. */
  close(): Promise<void>;
};

/** What is read of a state; the folder is where its files are. */
export function viewOf(folder: string, state: ManifestState) {
  return {
    isShared: false,
    jobs: () => indexOf(state).all(),
    needing: (...wanted: readonly Need[]) => indexOf(state).needing(...wanted),
    billed: (target: Target) => indexOf(state).billed(target),
    sent: () => indexOf(state).sent(),
    selections: (...of: [Target, Kin?]) => indexOf(state).selections(...of),
    job: (id: string) => jobOf(state, id),
    files: (job: string) => jobFiles(folder, job),
    bring: async ({ id }: Job) => jobFiles(folder, id),
    counted: (target: Target) => countOf(state, target),
    droppedIndexes: () => [...state.indexes.values()],
    migration: (table: Pick<Target, "schema" | "table">) => migrationOf(state, table),
    quota: (model: ModelName, project = DEFAULT_PROJECT) =>
      state.quotas.get(quotaName(model, project)) ?? NEW_QUOTA,
    quotas: (model: ModelName) => quotasOf(state.quotas, model),
    keys: () => state.keys,
    limits: (): SharedLimits | undefined => undefined,
    trials: () => state.trials,
    fences: (keyId: string) => state.fences.get(keyId),
    holdOf: (_job: Job): Hold | undefined => undefined,
  };
}

function countOf({ targets, counts }: ManifestState, target: Target): TokenCount | undefined {
  const known = targets.find((each) => sameTarget(each, target));
  return known && counts.get(known);
}

type Writing = Readonly<{ state: ManifestState; log: EventLog; clock: Clock }>;

/** The part of a Manifest that writes: one event after the other, each judged by the state that it is written behind. */
export function writing(its: Writing) {
  const { log } = its;
  const appending = appendingTo(its);
  return {
    ...recordingJobs(its, appending),
    ...recordingTables(its, appending),
    refresh: () => appending.inTurn(appending.readOthers),
    stillHeld: () => log.stillHeld(),
    close: async () => {
      await appending.inTurn(async () => {});
      await log.close();
    },
  };
}

type Appending = ReturnType<typeof appendingTo>;

function appendingTo({ state, log, clock }: Writing) {
  let queue: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(task: () => Promise<T>): Promise<T> => {
    const done = queue.then(task);
    queue = done.catch(() => {});
    return done;
  };
  /** Of an event that the state does not take: nothing may be judged by the state any more. */
  let broken: Error | undefined;
  const readOthers = async () => {
    for (const event of await log.readOthers()) {
      try {
        commit(state, changeOf(state, event));
      } catch (error) {
        broken ??= error instanceof Error ? error : new Error(String(error));
        throw error;
      }
    }
  };
  /** `make` is asked again where others came first; false where it makes none. */
  const writeNext = async (make: () => Undated | false | undefined): Promise<boolean> => {
    for (;;) {
      if (broken !== undefined) throw broken;
      const event = make();
      if (event === undefined || event === false) return false;
      const dated = { ...event, at: clock.now().toISOString() };
      const change = changeOf(state, dated);
      const at = await log.append(dated, change);
      if (at !== undefined) {
        commit(state, at === dated.at ? change : changeOf(state, { ...event, at }));
        return true;
      }
      await readOthers();
    }
  };
  const numberIn = (target: Target) => state.targets.findIndex((each) => sameTarget(each, target));
  const numberOf = async (target: Target): Promise<number> => {
    await writeNext(() =>
      numberIn(target) < 0 ? { type: "target", number: state.targets.length, target } : undefined,
    );
    return numberIn(target);
  };
  return { inTurn, readOthers, writeNext, numberOf };
}

function recordingJobs(
  { state, log }: Writing,
  { inTurn, writeNext, numberOf }: Appending,
): Pick<
  Manifest,
  | "reserveJobId"
  | "recordExported"
  | "recordRecovered"
  | "recordResubmitted"
  | "record"
  | "recordIf"
> {
  const numbered = async (job: NewJob) => recordedJob(job, await numberOf(job.target));
  const jobNow = (id: string) => jobOf(state, id);
  return {
    reserveJobId: () =>
      inTurn(async () => {
        state.lastJob = await log.reserve(state.lastJob);
        return formatJobId(state.lastJob);
      }),
    recordExported: (job, isFree = () => true) =>
      inTurn(async () => {
        const recorded = await numbered(job);
        await writeNext(() => {
          if (!isFree()) throw new HoldLost(`The rows of ${tableName(job.target)}`);
          return { type: "exported", ...recorded };
        });
        return jobNow(job.job);
      }),
    recordRecovered: ({ target, ...job }) =>
      inTurn(async () => {
        const number = await numberOf(target);
        await writeNext(() => ({ type: "recovered", ...job, target: number }));
        return jobNow(job.job);
      }),
    recordResubmitted: (children, parents) =>
      inTurn(async () => {
        const made: RecordedJob[] = [];
        for (const child of children) made.push(await numbered(child));
        await writeNext(() => {
          for (const { job } of parents) checkHold(state.jobs.get(job.id), job);
          return resubmittedEvent(made, parents);
        });
        return children.map((child) => jobNow(child.job));
      }),
    record: (event, inHand) =>
      inTurn(async () => {
        await writeNext(() => {
          if (inHand !== undefined) checkHold(state.jobs.get(inHand.id), inHand);
          return event;
        });
        return jobNow(event.job);
      }),
    recordIf: (holds, event) =>
      inTurn(async () => {
        const isRecorded = await writeNext(() => (holds(jobNow(event.job)) ? event : undefined));
        return isRecorded ? jobNow(event.job) : undefined;
      }),
  };
}

function recordingTables(
  { state }: Writing,
  { inTurn, writeNext, numberOf }: Appending,
): Pick<
  Manifest,
  "recordCounted" | "recordLimits" | "recordTrial" | "recordIndex" | "recordMigration"
> {
  return {
    recordCounted: (target, count) =>
      inTurn(async () => {
        const number = await numberOf(target);
        await writeNext(() => ({ type: "counted", target: number, ...count }));
      }),
    recordLimits: (set) =>
      inTurn(async () => {
        await writeNext(() => setsMore(state.limits, set) && { type: "limited", ...set });
      }),
    recordTrial: (target) =>
      inTurn(async () => {
        const number = await numberOf(target);
        const isOnTrial = () => [...state.trials].some((each) => sameTarget(each, target));
        await writeNext(() => !isOnTrial() && { type: "trial", target: number });
      }),
    recordIndex: ({ target, ...event }) =>
      inTurn(async () => {
        const number = await numberOf(target);
        await writeNext(() => ({ ...event, target: number }));
      }),
    recordMigration: (migration, told) =>
      inTurn(async () => {
        const event = await migrationEvent(migration, told, numberOf);
        await writeNext(() => event);
        return recordedMigration(state, migration.next);
      }),
  };
}

function resubmittedEvent(children: RecordedJob[], [first, ...more]: Parents): Undated {
  const others = more.length > 0 ? more.map(asRecorded) : undefined;
  return { type: "resubmitted", children, ...asRecorded(first), others };
}

function asRecorded({ job, ...parent }: Parent) {
  return { job: job.id, ...parent };
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

export function newManifestId(): string {
  const letters = Array.from(
    { length: ID_LENGTH },
    () => ID_ALPHABET[randomInt(ID_ALPHABET.length)],
  );
  return letters.join("");
}

export function newHeader(now: Date, manifest = newManifestId()): JournalHeader {
  return {
    format: FORMAT_NAME,
    version: FORMAT_VERSION,
    manifest,
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
