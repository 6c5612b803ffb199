/**
 * The state as a pure fold over the journal: the same events always give the same jobs. Nothing
 * else decides what state a job is in.
 */
import type { Target } from "../row/target.ts";
import { afterIndexEvent, type DroppedIndexes } from "./dropped-index.ts";
import {
  byParent,
  type JobEvent,
  type JournalEvent,
  parentsOf,
  type Resubmitted,
} from "./event.ts";
import type { Job, JobState, NewJob, TokenCount } from "./job.ts";
import {
  accepted,
  ended as quotaEnded,
  NEW_QUOTA,
  type QuotaLog,
  quotaName,
  type Quotas,
  refused,
  tried,
} from "./quota/quota-log.ts";
import {
  afterMigrationEvent,
  commitMigration,
  type RecordedMigration,
} from "./migration/table-migration.ts";
import { move } from "./transitions.ts";
import { DEFAULT_PROJECT } from "../row/project.ts";
import { type Limits, withLimits } from "./quota/set-limits.ts";
import { JobIndex } from "./job-index.ts";
import { needs } from "./states.ts";

export type ManifestState = {
  readonly targets: Target[];
  /** The last sample of each target that was counted. */
  readonly counts: Map<Target, TokenCount>;
  readonly jobs: Map<string, Job>;
  indexes: DroppedIndexes;
  /** The last one of each table, by its name. */
  readonly migrations: Map<string, RecordedMigration>;
  /** The highest job number given out. */
  lastJob: number;
  /** Undefined while a journal is read, in which no one asks. */
  index: JobIndex | undefined;
  /** What the quota of each model in each project has shown of itself. */
  readonly quotas: Quotas;
  limits: Limits;
  /** Targets whose first job goes through before others are sent. */
  readonly trials: Set<Target>;
  /** By key: its project, as it was called when it was used first. */
  readonly keys: Map<string, string>;
  /** By key: whether Gemini refuses a create whose input file was deleted. */
  readonly fences: Map<string, boolean>;
};

export function emptyState(): ManifestState {
  return {
    targets: [],
    counts: new Map(),
    jobs: new Map(),
    indexes: new Map(),
    migrations: new Map(),
    lastJob: 0,
    index: undefined,
    quotas: new Map(),
    limits: {},
    trials: new Set(),
    keys: new Map(),
    fences: new Map(),
  };
}

/** What an event makes or changes, as it is after it; of indexes all, where it is about one. */
export type Change = Readonly<{
  jobs?: readonly Job[];
  targets?: readonly Target[];
  counts?: readonly (readonly [Target, TokenCount])[];
  indexes?: DroppedIndexes;
  migration?: RecordedMigration;
  quota?: readonly [string, QuotaLog] | undefined;
  key?: readonly [string, string] | undefined;
  fences?: readonly (readonly [string, boolean])[];
  limits?: Limits;
  trial?: Target;
}>;

/**
 * Applies one event in place. Throws, and changes nothing, where it does not fit what came before. Only for a state whose
 * jobs nobody has seen yet: they change under the eyes of who holds them. Copies would take most of the time of a long journal.
 */
export function apply(state: ManifestState, event: JournalEvent): void {
  const before = "job" in event ? state.jobs.get(event.job) : undefined;
  if (before === undefined || !("job" in event) || makesJobs(event)) {
    return commit(state, changeOf(state, event));
  }
  const moved = move(event.job, before.state, event.type);
  const quota = quotaChange(state, before, { event, moved });
  advance(before, event, moved);
  state.index = undefined;
  commit(state, { quota, key: sentKey(event), fences: fencesOf(event) });
}

type Making = Extract<JobEvent, { type: "exported" | "recovered" }>;
type Changing = Exclude<JobEvent, Making>;

function makesJobs(event: JobEvent): event is Making | Resubmitted {
  return ["exported", "recovered", "resubmitted"].includes(event.type);
}

/** What the event comes to; changes nothing. Throws where it does not fit what came before. */
export function changeOf(state: ManifestState, event: JournalEvent): Change {
  if (event.type === "target") return { targets: [newTarget(state, event)] };
  if (event.type === "counted") return { counts: [newCount(state, event)] };
  if (event.type === "limited") return { limits: withLimits(state.limits, event) };
  if (event.type === "trial") return { trial: targetOf(state, event.target, event.type) };
  if (event.type === "migration") return { migration: afterMigrationEvent(state, event) };
  if (!("job" in event)) {
    const target = targetOf(state, event.target, event.type);
    return { indexes: afterIndexEvent(state.indexes, target, event) };
  }
  if (event.type === "resubmitted") return { jobs: resubmission(state, event) };
  const before = state.jobs.get(event.job);
  const after = next(state, before, event);
  const quota = before && quotaChange(state, before, { event, moved: after.state });
  return { jobs: [after], quota, key: sentKey(event), fences: fencesOf(event) };
}

function sentKey(event: JobEvent): readonly [string, string] | undefined {
  const isSent = event.type === "submitting" || event.type === "recovered";
  return isSent && event.keyId !== undefined ? [event.keyId, projectIn(event)] : undefined;
}

function isAboutQueue(event: JobEvent) {
  return event.type === "uploaded" || event.type === "submitting" || event.type === "submitted";
}

function projectIn({ project = DEFAULT_PROJECT }: Readonly<{ project?: string | undefined }>) {
  return project;
}

function fencesOf(event: JobEvent): readonly (readonly [string, boolean])[] {
  const isKnown = event.type === "revoking" && event.fences !== undefined;
  return isKnown ? [[event.keyId, event.fences]] : [];
}

export function commit(
  state: ManifestState,
  { jobs = [], targets = [], counts = [], indexes = state.indexes, ...learned }: Change,
): void {
  const { quota, key, fences = [], limits = state.limits, trial, migration } = learned;
  state.limits = limits;
  if (trial !== undefined) state.trials.add(trial);
  if (migration !== undefined) {
    commitMigration(state, migration);
    state.index = undefined;
  }
  for (const [keyId, fence] of fences) state.fences.set(keyId, fence);
  if (key !== undefined && !state.keys.has(key[0])) state.keys.set(...key);
  if (quota !== undefined) state.quotas.set(...quota);
  state.targets.push(...targets);
  for (const [target, count] of counts) state.counts.set(target, count);
  state.indexes = indexes;
  for (const job of jobs) {
    state.index?.change(state.jobs.get(job.id), job);
    state.jobs.set(job.id, job);
    state.lastJob = Math.max(state.lastJob, Number(job.id));
  }
}

export function indexOf(state: ManifestState): JobIndex {
  state.index ??= new JobIndex(state.jobs.values());
  return state.index;
}

function targetOf(state: ManifestState, number: number, who: string): Target {
  const target = state.targets[number];
  if (target === undefined) throw new Error(`${who} names the unknown target ${number}`);
  return target;
}

const TOO_MANY = 429;

/** A create that was answered, or a batch that is active no more. */
function quotaChange(
  state: ManifestState,
  before: Job,
  { event, moved }: Readonly<{ event: JobEvent; moved: JobState }>,
): readonly [string, QuotaLog] | undefined {
  const name = quotaName(before.target.model, projectIn(isAboutQueue(event) ? event : before));
  const log = state.quotas.get(name) ?? NEW_QUOTA;
  const createSent = () => ({
    tokens: before.tokens,
    atMs: Date.parse(event.at),
    probe: before.probe,
  });
  if (event.type === "submitting") return [name, tried(log)];
  if (event.type === "submitted") return [name, accepted(log, createSent())];
  if (event.type === "refused" && event.error.code === TOO_MANY) {
    const { limit, retryAfterMs } = event;
    return [name, refused(log, { ...createSent(), limit, retryAfterMs })];
  }
  const hasEnded = needs(before) === "poll" && needs({ state: moved }) !== "poll";
  return hasEnded ? [name, quotaEnded(log, before.tokens, Date.parse(event.at))] : undefined;
}

function newTarget(
  state: ManifestState,
  { number, target }: Extract<JournalEvent, { type: "target" }>,
): Target {
  if (number !== state.targets.length) throw new Error(`target ${number} is out of order`);
  return target;
}

function newCount(
  state: ManifestState,
  { target: number, rows, estimated, counted }: Extract<JournalEvent, { type: "counted" }>,
): [Target, TokenCount] {
  const target = state.targets[number];
  if (target === undefined) throw new Error(`a count names the unknown target ${number}`);
  return [target, { rows, estimated, counted }];
}

function resubmission(state: ManifestState, event: Resubmitted): Job[] {
  const parents = byParent(event).map((own) => next(state, state.jobs.get(own.job), own));
  const children = event.children.map((child) => {
    move(child.job, state.jobs.get(child.job)?.state, "exported");
    return created(state, child, event.at);
  });
  const jobs = [...parents, ...children];
  const ids = new Set(jobs.map(({ id }) => id));
  if (ids.size !== jobs.length) throw new Error("a job stands twice in one event");
  return jobs;
}

function next(state: ManifestState, before: Job | undefined, event: JobEvent): Job {
  const moved = move(event.job, before?.state, event.type);
  if (event.type === "exported") return created(state, event, event.at);
  if (event.type === "recovered") return recovered(state, event);
  if (before === undefined) throw new Error(`job ${event.job} is not known at "${event.type}"`);
  const after = { ...before };
  advance(after, event, moved);
  return after;
}

/** Nobody who works on the job relies on what these change. */
const ASIDE: readonly JobEvent["type"][] = ["cleaned", "duplicate", "writtenAgain"];

type Draft = { -readonly [Member in keyof Job]: Job[Member] };

/** Makes of the job what it is after the event. Throws, and changes nothing, where that cannot be. */
function advance(job: Draft, event: Changing, moved: JobState): void {
  change(job, event);
  job.state = moved;
  if (isAboutQueue(event)) job.project = projectIn(event);
  if (ASIDE.includes(event.type)) return;
  job.seq += 1;
  job.updatedAt = event.at;
}

function change(job: Draft, event: Changing): void {
  switch (event.type) {
    case "uploaded":
      job.remoteFile = { expiresAt: undefined, ...event.remoteFile };
      return;
    case "submitting":
      job.displayName = event.displayName;
      job.submissions = event.submission;
      job.keyId = event.keyId;
      job.probe = event.probe;
      job.unanswered = true;
      job.revoking = undefined;
      return;
    case "refused":
      job.error = { code: undefined, ...event.error };
      job.unanswered = false;
      if (event.fileGone) job.remoteFile = undefined;
      return;
    case "revoking":
      job.revoking = { keyId: event.keyId, fences: event.fences };
      return;
    case "absent":
      return absent(job);
    case "submitted":
      return submitted(job, event);
    case "duplicate":
      job.duplicateBatches = [...job.duplicateBatches, event.batch];
      return;
    case "succeeded":
      job.resultsName = event.resultsName;
      return;
    case "downloaded":
      job.resultsFile = event.file;
      return;
    case "rowsFound":
      return foundRows(job, event);
    case "failed":
    case "expired":
    case "cancelled":
      endJob(job, event);
      job.error = { code: undefined, ...event.error };
      return;
    case "imported":
      endJob(job, event);
      job.billedTokens = event.tokens;
      return;
    case "resubmitted":
      job.outstanding = event.outstanding;
      job.failedFile = event.failedFile;
      job.sums = event.sums ?? job.sums;
      job.resultsFile = event.results ?? job.resultsFile;
      job.children = [...job.children, ...event.children.map((child) => child.job)];
      return;
    case "rollingBack":
      job.rollback = { rows: event.rows, file: event.file };
      return;
    case "rolledBack":
      job.rolledBack = event.rows;
      return;
    case "cleaned":
      return cleaned(job, event);
    case "embedding":
      job.lane = "sync";
      job.error = undefined;
      return;
    case "writtenAgain":
      return;
  }
}

function foundRows(
  job: Draft,
  { requests, copies: rows, file }: Extract<JobEvent, { type: "rowsFound" }>,
): void {
  job.rowsFile = file;
  job.requests = requests;
  job.copies = rows === 0 ? undefined : { rows, file };
}

function cleaned(job: Draft, { files, rows: file }: Extract<JobEvent, { type: "cleaned" }>): void {
  job.cleaned = [...new Set([...job.cleaned, ...files])];
  job.rowsFile = file ?? job.rowsFile;
}

function absent(job: Draft): void {
  job.wasAbsent = true;
  job.unanswered = false;
  // a create that comes late must find none: the next submission has a file of its own
  job.remoteFile = undefined;
  job.revoking = undefined;
  job.error = undefined;
}

function submitted(job: Draft, event: Extract<JobEvent, { type: "submitted" }>): void {
  // a batch that was found needs none: the manifest may have been restored from a backup
  if (job.submissions === 0 && !event.adopted)
    throw new Error(`job ${job.id} has a batch without intent`);
  job.batch = event.batch;
  job.revoking = undefined;
  job.keyId = event.keyId;
  job.submittedAt = event.at;
  job.error = undefined;
}

function endJob(
  job: Draft,
  event: Extract<JobEvent, { type: "failed" | "expired" | "cancelled" | "imported" }>,
): void {
  job.sums = event.sums;
  job.outstanding = event.outstanding;
  job.failedFile = event.failedFile;
}

function recovered(
  state: ManifestState,
  { createdAt, ...event }: Extract<JobEvent, { type: "recovered" }>,
): Job {
  const { batch, displayName, keyId } = event;
  const job = created(state, { ...event, file: NO_FILE, attempt: 1 }, event.at);
  const project = projectIn(event);
  const sent = { submissions: 1, batch, displayName, project, keyId, submittedAt: createdAt };
  return { ...job, ...sent, state: move(event.job, undefined, event.type), recovered: true };
}

const NO_FILE = { bytes: 0, sha256: "" };

/** A new job as it stands in the journal: its target by number. */
export type RecordedJob = Omit<NewJob, "target" | "parents"> & {
  readonly target: number;
  readonly parent?: string | undefined;
  parents?: string[] | undefined;
};

function created(state: ManifestState, job: RecordedJob, at: string): Job {
  const target = targetOf(state, job.target, `job ${job.job}`);
  return {
    id: job.job,
    seq: 1,
    state: "exported",
    lane: "batch",
    target,
    requests: job.requests,
    tokens: job.tokens,
    uncorrectedTokens: job.uncorrected ?? job.tokens,
    requestFile: job.file,
    copies: job.copies,
    recovered: false,
    rowsFile: undefined,
    parents: parentsOf(job),
    attempt: job.attempt,
    digest: job.digest,
    createdAt: at,
    updatedAt: at,
    submissions: 0,
    unanswered: false,
    wasAbsent: false,
    displayName: undefined,
    revoking: undefined,
    probe: undefined,
    remoteFile: undefined,
    batch: undefined,
    project: undefined,
    keyId: undefined,
    submittedAt: undefined,
    duplicateBatches: [],
    resultsName: undefined,
    resultsFile: undefined,
    sums: undefined,
    billedTokens: undefined,
    outstanding: { lines: 0, retryable: 0 },
    failedFile: undefined,
    rollback: undefined,
    rolledBack: 0,
    cleaned: [],
    children: [],
    error: undefined,
  };
}
