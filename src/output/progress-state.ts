/**
 * Where the work stands, as a fold over the reports: the same reports at the same times always give
 * the same state. The display, the heartbeat of plain output and `--progress-json` read from it.
 */
import { MS_PER_SECOND } from "../clock.ts";
import type { JobReport, ProgressEvent } from "../progress.ts";
import { isMoving, type Progress, progressLine } from "./progress-lines.ts";
import type { Job } from "../manifest/job.ts";
import { isAtGemini, isQueued, needs, parseState } from "../manifest/states.ts";

/** `now` is the wall clock's, for what is recorded; `elapsedMs` only grows, for how long it took. */
export type Moment = Readonly<{ now: Date; elapsedMs: number }>;

/** `untilMs` is infinite where nobody knows. */
type Waiting = Readonly<{ why: string; sinceMs: number; untilMs: number }>;

/** Its state is one that the manifest knows. */
export type KnownJob = Omit<JobReport, "state"> & Pick<Job, "state">;

/** What is being carried: a job's bytes or rows so far. */
type InHand = Readonly<{ job: string; amount: number }>;

export type ProgressState = {
  readonly startedMs: number;
  readonly jobs: Map<string, KnownJob>;
  /** Jobs that were sent since the start, with when that was: they tell how fast it all goes. */
  readonly sentHere: Map<string, number>;
  goal: number | undefined;
  /** `recorded` and its jobs: what of the rows is known as a job by now. */
  readonly export: { rows: number; recorded: number; ended: boolean; seen: boolean };
  readonly recordedJobs: Set<string>;
  readonly batchStates: Map<string, string>;
  nextPollMs: number | undefined;
  /** By why; the one for room in the queue, whose words change, by its name. */
  readonly waits: Map<string, Waiting>;
  uploading: InHand | undefined;
  downloading: InHand | undefined;
  importing: (InHand & Readonly<{ written: number }>) | undefined;
  /** When the first and the last row of a job in hand was written. */
  writing: Readonly<{ fromMs: number; toMs: number; rows: number }> | undefined;
  /** The last line of each moving type that this fold knows nothing of. */
  readonly others: Map<string, Readonly<{ line: string; atMs: number }>>;
};

export function startProgress({ elapsedMs }: Moment): ProgressState {
  return {
    startedMs: elapsedMs,
    jobs: new Map(),
    sentHere: new Map(),
    goal: undefined,
    export: { rows: 0, recorded: 0, ended: false, seen: false },
    recordedJobs: new Set(),
    batchStates: new Map(),
    nextPollMs: undefined,
    waits: new Map(),
    uploading: undefined,
    downloading: undefined,
    importing: undefined,
    writing: undefined,
    others: new Map(),
  };
}

/** Takes one report in, in place. */
export function noteProgress(
  state: ProgressState,
  event: ProgressEvent,
  { elapsedMs }: Moment,
): void {
  switch (event.type) {
    case "job":
      return noteJob(state, event, elapsedMs);
    case "goal":
      state.goal = event.rows;
      return;
    case "exporting":
      // what was counted beforehand is being done now
      state.others.delete("planning");
      Object.assign(state.export, { rows: event.exported, ended: false, seen: true });
      return;
    case "exported":
      return noteRecorded(state, event);
    case "exportEnded":
      state.recordedJobs.clear();
      Object.assign(state.export, { rows: 0, recorded: 0, ended: true, seen: true });
      return;
    case "uploading":
      state.uploading = { job: event.job, amount: event.bytes };
      return;
    case "downloading":
      state.downloading = { job: event.job, amount: event.bytes };
      return;
    case "importing":
      return noteImporting(state, event, elapsedMs);
    case "pending":
      state.batchStates.set(event.job, event.batchState);
      return;
    case "polled":
      state.nextPollMs = elapsedMs + event.nextPollSeconds * MS_PER_SECOND;
      return;
    case "waiting":
      return noteWaiting(state, event.why, event, elapsedMs);
    case "quotaFull":
      return noteWaiting(state, QUOTA_FULL, event, elapsedMs);
    case "resumed":
      state.waits.delete(event.why);
      return;
    case "warning":
      return;
    default:
      return noteOther(state, event, elapsedMs);
  }
}

const QUOTA_FULL = "quotaFull";

function noteJob(state: ProgressState, report: JobReport, elapsedMs: number): void {
  const job: KnownJob = { ...report, state: parseState(report.state) };
  const before = state.jobs.get(job.job);
  state.jobs.set(job.job, job);
  if (before?.state === job.state) return;
  // it is drawn before the export tells the same: its rows must not count twice until then
  const isExporting = state.export.seen && !state.export.ended;
  if (before === undefined && isExporting && needs(job) === "send") noteRecorded(state, job);
  const isSent = before !== undefined && isAtGemini(job);
  if (isSent) state.sentHere.set(job.job, elapsedMs);
  // there was room for it
  if (isQueued(job)) state.waits.delete(QUOTA_FULL);
  if (needs(job) !== "poll") state.batchStates.delete(job.job);
  if (state.uploading?.job === job.job) state.uploading = undefined;
  if (state.downloading?.job === job.job) state.downloading = undefined;
  if (state.importing?.job === job.job) state.importing = undefined;
}

function noteRecorded(
  { recordedJobs, export: exporting }: ProgressState,
  { job, requests }: Pick<JobReport, "job" | "requests">,
): void {
  if (recordedJobs.has(job)) return;
  recordedJobs.add(job);
  exporting.recorded += requests;
}

function noteImporting(
  state: ProgressState,
  { job, rows, written }: Extract<ProgressEvent, { type: "importing" }>,
  elapsedMs: number,
): void {
  const { writing } = state;
  // where its results are gone through once more, what was written stays so
  const before = state.importing?.job === job ? state.importing : undefined;
  const more = before === undefined ? 0 : Math.max(0, rows - before.amount);
  state.importing = {
    job,
    amount: Math.max(rows, before?.amount ?? 0),
    written: Math.max(written, before?.written ?? 0),
  };
  state.writing = {
    fromMs: writing?.fromMs ?? elapsedMs,
    toMs: elapsedMs,
    rows: (writing?.rows ?? 0) + more,
  };
}

/** Between the end of a wait and the news of the next one. */
const WAIT_SLACK_MS = 2_000;

/** A wait for the same reason that follows at once is the same wait, still. */
function noteWaiting(
  state: ProgressState,
  subject: string,
  { why, seconds = Infinity }: Readonly<{ why: string; seconds: number | undefined }>,
  elapsedMs: number,
): void {
  const before = state.waits.get(subject);
  const goesOn = before !== undefined && elapsedMs <= before.untilMs + WAIT_SLACK_MS;
  const sinceMs = goesOn ? before.sinceMs : elapsedMs;
  state.waits.set(subject, { why, sinceMs, untilMs: elapsedMs + seconds * MS_PER_SECOND });
}

function noteOther(state: ProgressState, event: Progress, atMs: number): void {
  if (!isMoving(event)) return;
  state.others.set(event.type, { line: progressLine(event), atMs });
}
