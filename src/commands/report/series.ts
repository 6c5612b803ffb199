/** What the charts show: totals over time, from the changes of the jobs' states. */
import type { Job, JobState } from "../../manifest/job.ts";
import type { StateChange } from "../../jobs-folder/state-changes.ts";
import { isImported, isOpen, isQueued, isRolledBack } from "../../manifest/states.ts";

/** `value` from `atMs` on, until the next point. */
export type Point = Readonly<{ atMs: number; value: number }>;
export type Series = readonly Point[];

/** A stretch of a job's life in one state; until now where it has not left it. */
export type Stretch = Readonly<{ state: JobState; fromMs: number; toMs: number }>;

/** More points than a chart has pixels tell nothing. */
const MAX_POINTS = 600;

/** Rows exported for the first time, in all: those sent again are not counted twice. */
export function exportedRows(changes: readonly StateChange[], jobs: JobsById): Series {
  const seen = new Set<string>();
  return running(changes, ({ job }) => {
    // a job comes back to `exported` when its create is refused
    if (seen.has(job)) return 0;
    seen.add(job);
    const { parents, requests } = jobs.get(job) ?? NO_JOB;
    return parents.length === 0 ? requests : 0;
  });
}

/** Rows written into the column, in all; a rollback takes its rows out again. */
export function writtenRows(changes: readonly StateChange[], jobs: JobsById): Series {
  return running(changes, ({ job, state }) => {
    const { sums, rolledBack } = jobs.get(job) ?? NO_JOB;
    if (isRolledBack({ state })) return -rolledBack;
    return isImported({ state }) ? (sums?.written ?? 0) : 0;
  });
}

/** Tokens of the batches that have not ended, as they count against the quota. */
export function queuedTokens(changes: readonly StateChange[], jobs: JobsById): Series {
  const queued = new Set<string>();
  return running(changes, ({ job, state }) => {
    const was = queued.delete(job);
    const is = isQueued({ state });
    if (is) queued.add(job);
    return (Number(is) - Number(was)) * (jobs.get(job)?.tokens ?? 0);
  });
}

export function stretches(
  changes: readonly StateChange[],
  nowMs: number,
): ReadonlyMap<string, readonly Stretch[]> {
  const lives = new Map<string, Stretch[]>();
  for (const { job, state, at } of changes) {
    const life = lives.get(job) ?? [];
    const fromMs = Date.parse(at);
    const before = life.at(-1);
    if (before !== undefined) life[life.length - 1] = { ...before, toMs: fromMs };
    life.push({ state, fromMs, toMs: isOpen({ state }) ? nowMs : fromMs });
    lives.set(job, life);
  }
  return lives;
}

type JobsById = ReadonlyMap<
  string,
  Pick<Job, "parents" | "requests" | "sums" | "rolledBack" | "tokens">
>;
const NO_JOB = { parents: [], requests: 0, sums: undefined, rolledBack: 0, tokens: 0 };

function running(changes: readonly StateChange[], step: (change: StateChange) => number): Series {
  const points: Point[] = [];
  let value = 0;
  for (const change of changes) {
    const by = step(change);
    if (by === 0) continue;
    value += by;
    points.push({ atMs: Date.parse(change.at), value });
  }
  return thinned(points);
}

/** Of each stretch of time the highest point, and always the last one. */
function thinned(points: readonly Point[]): Series {
  if (points.length <= MAX_POINTS) return points;
  const size = Math.ceil(points.length / MAX_POINTS);
  const kept: Point[] = [];
  for (let at = 0; at < points.length; at += size) {
    const part = points.slice(at, at + size);
    kept.push(part.reduce((best, point) => (point.value > best.value ? point : best)));
  }
  const last = points.at(-1);
  return last === undefined || kept.at(-1) === last ? kept : [...kept, last];
}
