/**
 * Whether there is room for a job at Gemini, by our own books: before a file is uploaded and a
 * create request leaves. What was learned from refusals is in the manifest, see quota-log.ts.
 */
import type { Job } from "../manifest/job.ts";
import {
  allowedTokens,
  BUCKET_TARGET,
  bucketLevel,
  NEW_QUOTA,
  type Probe,
  type QuotaLog,
  untilLevelMs,
} from "../manifest/quota/quota-log.ts";
import { isQueued } from "../manifest/states.ts";

/** What may be queued at Gemini at once. */
export type Window = Readonly<{
  maxActiveJobs: number;
  maxEnqueuedTokens: number;
  /** The tokens are what Gemini advertises, which it may be tried to exceed; not a person's wish. */
  isAdvertised?: boolean;
}>;

export type Room =
  | Readonly<{ hasRoom: true; probe: Probe | undefined }>
  | Readonly<{
      hasRoom: false;
      limit: "jobs" | "tokens";
      /** What counts as queued, and what may. */
      queued: number;
      allowed: number;
      /** When time alone makes room; infinite where a batch has to end. */
      inMs: number;
    }>;

/** A full queue is tried when, were it a bucket, this share of it were left, and at most once a day. */
const TIME_PROBE_LEVEL = 0.4;
const TIME_PROBE_REST_MS = 24 * 60 * 60 * 1000;

/**
 * A job alone is let through whatever its size, as only the service can say that it is too large;
 * but not into a bucket that has not drained yet.
 */
export function roomFor(
  job: Job,
  jobs: readonly Job[],
  window: Window,
  log: QuotaLog = NEW_QUOTA,
  nowMs = 0,
): Room {
  const active = jobs.filter(isQueued);
  const most = Math.min(window.maxActiveJobs, log.batchLimit ?? Infinity);
  if (active.length >= most && active.length > 0) {
    return { hasRoom: false, limit: "jobs", queued: active.length, allowed: most, inMs: Infinity };
  }
  const own = active.filter((each) => each.target.model === job.target.model);
  const tokens = own.reduce((sum, each) => sum + each.tokens, 0);
  return log.release === "ends"
    ? roomByEnds(job, own.length === 0 ? undefined : tokens, window, log, nowMs)
    : roomByTime(job, tokens, window, log, nowMs);
}

/** `queued`: undefined where nothing is. */
function roomByEnds(
  job: Job,
  queued: number | undefined,
  window: Window,
  log: QuotaLog,
  nowMs: number,
): Room {
  const { maxEnqueuedTokens } = window;
  const allowed = allowedTokens(log, maxEnqueuedTokens, job.tokens);
  if (queued === undefined || queued + job.tokens <= allowed) return ROOM;
  const inMs = window.isAdvertised === true ? untilTimeProbeMs(job, allowed, log, nowMs) : Infinity;
  if (inMs <= 0) return { hasRoom: true, probe: "time" };
  return { hasRoom: false, limit: "tokens", queued, allowed, inMs };
}

const ROOM: Room = { hasRoom: true, probe: undefined };

/** Were the quota a bucket, it would have drained by then. */
function untilTimeProbeMs(job: Job, size: number, log: QuotaLog, nowMs: number): number {
  const restMs = (log.timeRefutedAtMs ?? -Infinity) + TIME_PROBE_REST_MS - nowMs;
  const drainedMs = untilLevelMs(log, size, TIME_PROBE_LEVEL * size - job.tokens, nowMs);
  return Math.max(restMs, drainedMs, 0);
}

function roomByTime(job: Job, active: number, window: Window, log: QuotaLog, nowMs: number): Room {
  const { maxEnqueuedTokens: most, isAdvertised } = window;
  const size = Math.min(most, log.limit ?? most);
  const allowed = BUCKET_TARGET * size;
  // what a person set holds for what has not ended, too
  if (isAdvertised !== true && active > 0 && active + job.tokens > most) {
    return { hasRoom: false, limit: "tokens", queued: active, allowed: most, inMs: Infinity };
  }
  const inMs = untilLevelMs(log, size, allowed - job.tokens, nowMs);
  if (inMs <= 0) return ROOM;
  const queued = Math.round(bucketLevel(log, size, nowMs));
  return { hasRoom: false, limit: "tokens", queued, allowed: Math.round(allowed), inMs };
}
