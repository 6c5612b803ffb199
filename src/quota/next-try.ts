/**
 * When the next create is tried, by our own books: before a file is uploaded and a request leaves.
 *
 * Whatever the quota log says (`src/manifest/quota/quota-log.ts`), with a job waiting a create is tried
 * - with nothing of ours at Gemini, at the latest a pause after the last try or the last end,
 * - with something there, at the latest a pause after the first end since the last try,
 * and after a refusal not before the pause is over, unless a batch has ended since the first one. The
 * pause is that of `--quota-wait`, doubles with each refusal up to a quarter of an hour, is at least
 * what the service asks for, and starts anew with each create that is accepted. So a wrong belief
 * costs a refusal or a few minutes, never an hour of an empty queue.
 *
 * Two things alone go before that: a limit that a person has set, and the number of batches.
 */
import type { Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { dueMs, NEW_QUOTA, type Probe, type QuotaLog } from "../manifest/quota/quota-log.ts";
import { isHeld } from "../jobs-folder/input-file.ts";
import { isQueued } from "../manifest/states.ts";

/** What may be queued at Gemini at once. */
export type Window = Readonly<{
  maxActiveJobs: number;
  maxEnqueuedTokens: number;
  /** The tokens are what Gemini advertises, which it may be tried to exceed; not a person's wish. */
  isAdvertised?: boolean;
}>;

/** As those who share the manifest have it, where one of them has said so. */
export function windowNow(
  { limits }: Pick<ManifestView, "limits">,
  { maxActiveJobs: ownJobs, ...own }: Window,
): Window {
  const { maxActiveJobs = ownJobs, maxEnqueuedTokens } = limits() ?? {};
  return { maxActiveJobs, ...(maxEnqueuedTokens === undefined ? own : { maxEnqueuedTokens }) };
}

/** `atMs` is in the past where a job may be sent now, and infinite where a batch has to end first. */
export type NextTry = Readonly<{
  atMs: number;
  probe: Probe | undefined;
  /** What it waits for: a batch's end, as so much is queued; or time, after a refusal or by the pace. */
  waitsFor: "jobs" | "tokens" | "pause" | "pace";
  /** What is queued, and what may be; in jobs or in tokens. */
  queued: number;
  allowed: number;
}>;

type Asked = Readonly<{ window: Window; log?: QuotaLog; quotaWaitMs: number; nowMs: number }>;

const PAUSE_GROWTH = 2;
const MAX_PAUSE_MS = 15 * 60 * 1000;
/** What the service asks for is believed up to here: the day's quota comes back after a day. */
const MAX_ASKED_MS = 24 * 60 * 60 * 1000;

export function nextTry(
  job: Pick<Job, "tokens" | "target">,
  asked: Asked & Readonly<{ jobs: readonly Job[] }>,
): NextTry {
  // whatever may still come of a held one: a queue that nobody set must not stand still for two days
  const counts = (each: Job) =>
    isQueued(each) && !(asked.window.isAdvertised === true && isHeld(each));
  const active = asked.jobs.filter(counts);
  const own = active.filter((each) => each.target.model === job.target.model);
  const tokens = own.reduce((sum, each) => sum + each.tokens, 0);
  return nextTryOf(job.tokens, { batches: active.length, own: own.length, tokens }, asked);
}

/** `own`: batches of the same model, which hold so many tokens. */
export type Queue = Readonly<{ batches: number; own: number; tokens: number }>;

export function nextTryOf(tokens: number, queue: Queue, asked: Asked): NextTry {
  const { window, log = NEW_QUOTA } = asked;
  const most = Math.min(window.maxActiveJobs, log.batchLimit ?? Infinity);
  if (queue.batches >= most && queue.batches > 0) return never("jobs", queue.batches, most);
  return byTokens(tokens, queue, asked);
}

/** How long to wait after so many refusals in a row. */
export function pauseMs(log: QuotaLog, quotaWaitMs: number): number {
  const grown = quotaWaitMs * PAUSE_GROWTH ** Math.max(0, log.refusalsInRow - 1);
  const usual = Math.min(grown, Math.max(MAX_PAUSE_MS, quotaWaitMs));
  return Math.max(usual, Math.min(log.retryAfterMs, MAX_ASKED_MS));
}

function byTokens(tokens: number, queue: Queue, asked: Asked): NextTry {
  const { window, log = NEW_QUOTA } = asked;
  const { maxEnqueuedTokens: most } = window;
  const wanted = queue.tokens + tokens;
  if (window.isAdvertised !== true && queue.own > 0 && wanted > most) {
    return never("tokens", queue.tokens, most);
  }
  const allowed = log.limit ?? most;
  const isFull = queue.own > 0 && wanted > allowed && log.burst === undefined;
  const wantedMs = isFull ? probeMs(log) : dueMs(log, tokens);
  const atMs = withinPause(log.burst === undefined ? wantedMs : -Infinity, queue, asked);
  const probe = queue.own > 0 && wanted > allowed ? "time" : undefined;
  const waitsFor = isFull ? "tokens" : log.refusalsInRow > 0 ? "pause" : "pace";
  return { atMs, probe, waitsFor, queued: queue.tokens, allowed };
}

/** The promise of this file: not before a pause is over, and not much later than one, whatever is wanted. */
function withinPause(wantedMs: number, { own }: Queue, asked: Asked): number {
  const { log = NEW_QUOTA, quotaWaitMs, nowMs } = asked;
  // after the clock was set back, what seems to lie ahead is over
  if (Math.max(log.lastTryMs, log.lastEndMs) > nowMs) return nowMs;
  const pause = pauseMs(log, quotaWaitMs);
  const { lastTryMs, lastEndMs, firstEndMs, refusalsInRow } = log;
  const endedSinceFirst = refusalsInRow === 1 && firstEndMs !== undefined && log.retryAfterMs === 0;
  const rests = refusalsInRow > 0 && !endedSinceFirst;
  const afterEndMs = firstEndMs === undefined ? Infinity : Math.max(firstEndMs, lastTryMs) + pause;
  const afterIdleMs = own === 0 ? Math.max(lastEndMs, lastTryMs) + pause : Infinity;
  return Math.min(
    Math.max(wantedMs, rests ? lastTryMs + pause : -Infinity),
    afterEndMs,
    afterIdleMs,
  );
}

/** When more than the limit is tried. */
function probeMs({ probe, creates, lastTryMs, lastRefusalMs = lastTryMs }: QuotaLog): number {
  return creates >= probe.afterCreates ? -Infinity : lastRefusalMs + probe.afterMs;
}

function never(waitsFor: "jobs" | "tokens", queued: number, allowed: number): NextTry {
  return { atMs: Infinity, probe: undefined, waitsFor, queued, allowed };
}
