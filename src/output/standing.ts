/** What the state comes to in figures, at a moment: pure, for whoever shows it. */
import { MS_PER_SECOND } from "../clock.ts";
import type { Outcomes } from "../progress.ts";
import { type KnownJob, type Moment, type ProgressState } from "./progress-state.ts";
import { isAtGemini, isBack, isOpen, isToSend, needs } from "../manifest/states.ts";

type Stage = Readonly<{ jobs: number; rows: number }>;

export type Standing = Readonly<{
  /** Rows to fill in all; exact once everything has been exported. */
  total: number | undefined;
  isTotalExact: boolean;
  exported: number;
  /** Exported, and not yet sent. */
  waiting: Stage;
  atGemini: Stage & Readonly<{ oldest: string | undefined; oldestSeconds: number }>;
  /** Results that are there and not in the column. */
  ready: Stage;
  /** Rows that have their outcome. */
  settled: number;
  outcomes: Outcomes;
  tokens: number;
  usd: number;
  elapsedSeconds: number;
  /** Undefined where it would mean nothing yet. */
  rowsPerSecond: number | undefined;
  etaSeconds: number | undefined;
  nextPollSeconds: number | undefined;
  /** The longest first; undefined where nobody knows when it is tried again. */
  waits: readonly Readonly<{
    why: string;
    sinceSeconds: number;
    againSeconds: number | undefined;
  }>[];
}>;

export function standing(state: ProgressState, moment: Moment): Standing {
  const jobs = [...state.jobs.values()];
  const inHand = state.importing;
  const ended = endedRows(jobs);
  const outcomes = { ...ended, written: ended.written + (inHand?.written ?? 0) };
  const settled = rowsOf(ended) + (inHand?.amount ?? 0);
  const total = totalOf(state, jobs, settled);
  const elapsedMs = moment.elapsedMs - state.startedMs;
  const rate = rateOf(state, jobs, moment);
  const left = total === undefined ? undefined : Math.max(0, total - settled);
  return {
    total,
    isTotalExact: state.export.ended || state.goal === undefined,
    exported: exportedRows(state, jobs),
    waiting: stage(jobs.filter(isToSend)),
    atGemini: { ...stage(jobs.filter(isAtGemini)), ...oldest(jobs, moment.now) },
    ready: stage(jobs.filter(isBack)),
    settled,
    outcomes,
    tokens: sumBy(jobs, ({ usd, tokens }) => (usd > 0 ? tokens : 0)),
    usd: sumBy(jobs, ({ usd }) => usd),
    elapsedSeconds: elapsedMs / MS_PER_SECOND,
    rowsPerSecond: rate,
    etaSeconds: rate === undefined || left === undefined ? undefined : left / rate,
    nextPollSeconds: secondsUntil(state.nextPollMs, moment),
    waits: openWaits(state, moment),
  };
}

function stage(jobs: readonly KnownJob[]): Stage {
  return { jobs: jobs.length, rows: sumBy(jobs, ({ requests }) => requests) };
}

/** A row that was sent again is counted in its last job. */
function ownRows({ requests, passedOn }: KnownJob): number {
  return requests - passedOn;
}

function endedRows(jobs: readonly KnownJob[]): Outcomes {
  const ended = jobs.filter((job) => !isOpen(job));
  return {
    written: sumBy(ended, ({ written }) => written),
    failed: sumBy(ended, ({ failed, passedOn }) => failed - passedOn),
    stale: sumBy(ended, ({ stale }) => stale),
    filled: sumBy(ended, ({ filled }) => filled),
    gone: sumBy(ended, ({ gone }) => gone),
  };
}

function rowsOf({ written, failed, stale, filled, gone }: Outcomes): number {
  return written + failed + stale + filled + gone;
}

function exportedRows(state: ProgressState, jobs: readonly KnownJob[]): number {
  const inHand = Math.max(0, state.export.rows - state.export.recorded);
  return sumBy(jobs, ownRows) + inHand;
}

function totalOf(
  state: ProgressState,
  jobs: readonly KnownJob[],
  settled: number,
): number | undefined {
  const known = exportedRows(state, jobs);
  if (state.goal === undefined) return state.export.seen && !state.export.ended ? undefined : known;
  return state.export.ended ? known : Math.max(state.goal, known, settled);
}

function oldest(jobs: readonly KnownJob[], now: Date) {
  const waiting = jobs.filter((job) => needs(job) === "poll");
  const [first] = waiting.toSorted((a, b) => sentMs(a) - sentMs(b));
  const ageMs = first === undefined ? 0 : now.getTime() - sentMs(first);
  return { oldest: first?.job, oldestSeconds: Math.max(0, ageMs / MS_PER_SECOND) };
}

function sentMs({ submittedAt }: KnownJob): number {
  return submittedAt === undefined ? Infinity : Date.parse(submittedAt);
}

/** Fewer jobs, or less time, say nothing about the rest. */
const JOBS_TO_JUDGE_BY = 2;
const MS_TO_JUDGE_BY = 30_000;

/**
 * Rows a second. Where batches are waited for, only jobs that were sent here and have come back tell
 * how fast the whole goes: results of an earlier run would be flattering. Where there is only
 * something to write, the writing tells.
 */
function rateOf(
  state: ProgressState,
  jobs: readonly KnownJob[],
  { elapsedMs }: Moment,
): number | undefined {
  if (state.sentHere.size > 0) return turnover(state, elapsedMs);
  const { writing } = state;
  const onlyWrites = jobs.length > 0 && !jobs.some(isAway);
  if (writing === undefined || !onlyWrites) return undefined;
  const ms = elapsedMs - writing.fromMs;
  return ms < MS_TO_JUDGE_BY || writing.rows === 0 ? undefined : perSecond(writing.rows, ms);
}

/** Without results yet. */
function isAway(job: KnownJob): boolean {
  return isToSend(job) || isAtGemini(job);
}

function turnover({ sentHere, jobs }: ProgressState, elapsedMs: number): number | undefined {
  const sent = [...sentHere.keys()].flatMap((id) => jobs.get(id) ?? []);
  const back = sent.filter((job) => !isOpen(job));
  const ms = elapsedMs - Math.min(...sentHere.values());
  if (back.length < JOBS_TO_JUDGE_BY || ms < MS_TO_JUDGE_BY) return undefined;
  const rows = sumBy(back, ownRows);
  return rows === 0 ? undefined : perSecond(rows, ms);
}

function perSecond(rows: number, ms: number): number {
  return rows / (ms / MS_PER_SECOND);
}

function secondsUntil(ms: number | undefined, { elapsedMs }: Moment): number | undefined {
  return ms === undefined ? undefined : Math.max(0, (ms - elapsedMs) / MS_PER_SECOND);
}

/** What has run out was over without anybody saying so. */
function openWaits({ waits }: ProgressState, { elapsedMs }: Moment): Standing["waits"] {
  return [...waits.values()]
    .filter(({ untilMs }) => untilMs >= elapsedMs)
    .toSorted((a, b) => a.sinceMs - b.sinceMs)
    .map(({ why, sinceMs, untilMs }) => ({
      why,
      sinceSeconds: (elapsedMs - sinceMs) / MS_PER_SECOND,
      againSeconds: Number.isFinite(untilMs) ? (untilMs - elapsedMs) / MS_PER_SECOND : undefined,
    }));
}

function sumBy<T>(items: readonly T[], figure: (item: T) => number): number {
  return items.reduce((total, item) => total + figure(item), 0);
}
