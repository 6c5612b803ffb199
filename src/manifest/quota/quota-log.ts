/**
 * What a model's quota has shown of itself: a fold over the journal's creates, refusals and ends, so
 * that it is kept without a line of its own and is the same after a crash.
 *
 * A refusal says nothing but no. Two things can give quota back, and either can be all there is:
 * - `ends`, as published: so many tokens in all batches that have not ended. What was queued at a
 *   refusal is the limit; much later it is tried again whether there is more.
 * - `time`, as often seen: a bucket that drains at its own pace, whatever becomes of the batches.
 *   The pace is what was accepted between two refusals; in between it is assumed a little higher
 *   with each create, so that the bucket is never empty for long. Between two refusals close to each
 *   other next to nothing is accepted where the bucket has become smaller, and what is above its
 *   brim drains first: so they cut the pace by so much and no more, as a pace that is too low takes
 *   long to be found out.
 * Ends are believed until they are contradicted: by a refusal of no more than did fit before, at a
 * moment when a bucket that took all that was accepted could be full; or by a create that was accepted
 * although everything was full, which is tried when the bucket would have room. Where not even a
 * bucket could be full, the limit has become smaller, and is halved at once: one refusal is worse than
 * too little for some time. Time is believed until it gives nothing back through several waits.
 */
import type { QuotaLimit } from "../../gemini/port.ts";

/** What gives quota back. */
type Release = "ends" | "time";

export type QuotaLog = Readonly<{
  release: Release;
  /** Most tokens that fit at once; undefined until something was refused. */
  limit: number | undefined;
  /** The limit before more was tried and did fit, until that is refused. */
  proven: number | undefined;
  /** Tokens and number of batches that have not ended. */
  active: Readonly<{ tokens: number; batches: number }>;
  /** Most tokens that were active. */
  peak: number;
  /** Where the count of batches was refused: so many may be active. */
  batchLimit: number | undefined;
  /** What went into the bucket last, and with it all before; or its level, where time gives back. */
  poured: Poured | undefined;
  /** Tokens a millisecond that leave the bucket, as far as known. */
  drain: number | undefined;
  /** The same at the last refusal, when the bucket was full: not assumed higher since. */
  pace: number | undefined;
  /** Since the last refusal, or since it is known that time gives quota back. */
  accepted: Readonly<{ sinceMs: number; creates: number; tokens: number }>;
  refusalsInRow: number;
  /** After so many creates in a row a little more than the limit is tried. */
  probeAfter: number;
  /** When a create was last refused that was sent because the bucket would have had room. */
  timeRefutedAtMs: number | undefined;
}>;

/**
 * Chained, so that a create adds one without a copy of those before: a long journal has many. All of
 * them stay in memory, 40 bytes each, and the last 200 are looked at.
 */
type Poured = Readonly<{ atMs: number; tokens: number; before: Poured | undefined }>;

/** A create that was sent against the books, to learn from its answer. */
export type Probe = "time";

/** 15 to 20 minutes were reported; slower than it is costs less than refusals. */
const REFILL_MS = 20 * 60 * 1000;
/** A bucket that is faster or slower is not believed in. */
const FASTEST_REFILL_MS = 8 * 60 * 1000;
const SLOWEST_REFILL_MS = 60 * 60 * 1000;
/** What is older has drained. */
const POURED_KEPT_MS = 60 * 60 * 1000;
/** Twice as many as may be active. */
const POURED_KEPT = 200;
/** The bucket is kept this full: room for errors above, and never empty below. */
export const BUCKET_TARGET = 0.6;
const FIRST_PROBE_AFTER = 25;
const PROBE_AFTER_MAX = 400;
/** Of what did fit, where it fits no more: half, as one refusal costs more than some room for a while. */
const DECREASE = 0.5;
/** At most, where less than a full bucket was accepted since the last refusal. */
const DRAIN_DECREASE = 0.6;
const SIZE_DECREASE = 0.6;
/** With waits from one minute to eight in between. */
const REFUSALS_OF_NO_BUCKET = 4;
/** Half of that takes twice as long to find a bucket again that became faster; twice is refused often. */
const DRAIN_GROWTH = 1.01;
const MEASURED_MARGIN = 0.95;
/** The service's own limit of 100, estimated a little low. */
const BATCHES_NEAR_LIMIT = 95;

export const NEW_QUOTA: QuotaLog = {
  release: "ends",
  limit: undefined,
  proven: undefined,
  active: { tokens: 0, batches: 0 },
  peak: 0,
  batchLimit: undefined,
  poured: undefined,
  drain: undefined,
  pace: undefined,
  accepted: { sinceMs: 0, creates: 0, tokens: 0 },
  refusalsInRow: 0,
  probeAfter: FIRST_PROBE_AFTER,
  timeRefutedAtMs: undefined,
};

type Create = Readonly<{ tokens: number; atMs: number; probe: Probe | undefined }>;

export function accepted(log: QuotaLog, create: Create): QuotaLog {
  const { tokens, atMs } = create;
  const { accepted: before } = log;
  const active = { tokens: log.active.tokens + tokens, batches: log.active.batches + 1 };
  const next: QuotaLog = {
    ...log,
    active,
    peak: Math.max(log.peak, active.tokens),
    poured: pouredWith(log, tokens, atMs),
    accepted: { ...before, creates: before.creates + 1, tokens: before.tokens + tokens },
    refusalsInRow: 0,
  };
  if (create.probe === "time") return releasedByTime(next, log.limit ?? log.active.tokens, atMs);
  return log.release === "ends" ? grown(next) : faster(next, log, create);
}

export function ended(log: QuotaLog, tokens: number): QuotaLog {
  const { active } = log;
  return {
    ...log,
    active: {
      tokens: Math.max(0, active.tokens - tokens),
      batches: Math.max(0, active.batches - 1),
    },
  };
}

export function refused(
  log: QuotaLog,
  create: Create & Readonly<{ limit: QuotaLimit | undefined }>,
): QuotaLog {
  const limit = create.limit ?? likelyLimit(log);
  if (limit === "jobs") return { ...log, batchLimit: Math.max(1, log.active.batches) };
  if (limit !== "tokens") return log;
  const next: QuotaLog = {
    ...log,
    accepted: { sinceMs: create.atMs, creates: 0, tokens: 0 },
    refusalsInRow: log.refusalsInRow + 1,
  };
  if (create.probe === "time") return { ...next, timeRefutedAtMs: create.atMs };
  return log.release === "ends"
    ? refusedByEnds(next, log, create)
    : refusedByTime(next, log, create);
}

/**
 * Tokens in the bucket; `size` is taken for the drain where that is not known. What seems to lie
 * ahead, after the clock was set back, does not count: one refusal puts the books right.
 */
export function bucketLevel(log: QuotaLog, size: number, nowMs: number): number {
  const drain = log.drain ?? size / REFILL_MS;
  let level = 0;
  let atMs = 0;
  for (const { atMs: pouredAtMs, tokens } of recent(log.poured)) {
    if (pouredAtMs > nowMs) continue;
    level = Math.max(0, level - drain * Math.max(0, pouredAtMs - atMs)) + tokens;
    atMs = pouredAtMs;
  }
  return Math.max(0, level - drain * Math.max(0, nowMs - atMs));
}

/** Milliseconds until the bucket, left alone, holds no more than `level`. */
export function untilLevelMs(log: QuotaLog, size: number, level: number, nowMs: number): number {
  const drain = log.drain ?? size / REFILL_MS;
  const excess = bucketLevel(log, size, nowMs) - Math.max(0, level);
  return excess < 1 ? 0 : Math.ceil(excess / drain);
}

/** How much may be active with the next job, where the ends of batches give it back. */
export function allowedTokens(log: QuotaLog, most: number, job: number): number {
  if (log.limit === undefined) return most;
  const isProbing = log.accepted.creates >= log.probeAfter;
  return Math.min(most, isProbing ? log.limit + job : log.limit);
}

/** The most tokens that one job may have for there ever to be room for it, as far as was learned. */
export function largestJob({ release, limit = Infinity }: QuotaLog): number {
  return Math.floor(release === "time" ? BUCKET_TARGET * limit : limit);
}

/**
 * A bucket that is known is a level: it may well have held something for more than an hour, and what
 * has drained from it is not to be reckoned anew at each pace that is assumed later.
 */
function pouredWith(log: QuotaLog, tokens: number, atMs: number): Poured {
  if (log.release === "ends") return { atMs, tokens, before: log.poured };
  const level = bucketLevel(log, log.limit ?? 0, atMs);
  return { atMs, tokens: level + tokens, before: undefined };
}

/** Of the hour before the last of them, oldest first. */
function recent(last: Poured | undefined): readonly Poured[] {
  const found: Poured[] = [];
  let seen = 0;
  for (let each = last; each !== undefined && seen < POURED_KEPT; each = each.before) {
    if ((last?.atMs ?? 0) - each.atMs < POURED_KEPT_MS) found.push(each);
    seen += 1;
  }
  return found.toReversed();
}

function likelyLimit({ active }: QuotaLog): QuotaLimit {
  return active.batches >= BATCHES_NEAR_LIMIT ? "jobs" : "tokens";
}

/** More fits than was known: the next creates try still more. */
function grown(log: QuotaLog): QuotaLog {
  if (log.limit === undefined || log.active.tokens <= log.limit) return log;
  return { ...log, limit: log.active.tokens, proven: log.proven ?? log.limit, probeAfter: 1 };
}

/** Only creates that had to wait for the bucket say that it may be faster. */
function faster(next: QuotaLog, log: QuotaLog, { tokens, atMs }: Create): QuotaLog {
  const { limit = 0, drain = limit / REFILL_MS } = log;
  const level = bucketLevel(log, limit, atMs);
  if (level + 2 * tokens < BUCKET_TARGET * limit) return next;
  return { ...next, drain: drain * DRAIN_GROWTH };
}

/** The slowest pace that explains what was accepted is nearly the pace, where the bucket was full. */
function releasedByTime(log: QuotaLog, limit: number, atMs: number): QuotaLog {
  const usual = limit / REFILL_MS;
  const slowest = slowestDrain(recent(log.poured), limit);
  const drain = Math.min(limit / FASTEST_REFILL_MS, Math.max(usual, slowest * MEASURED_MARGIN));
  return {
    ...log,
    release: "time",
    limit,
    proven: undefined,
    drain,
    pace: drain,
    accepted: { sinceMs: atMs, creates: 0, tokens: 0 },
  };
}

function refusedByEnds(next: QuotaLog, log: QuotaLog, { tokens, atMs }: Create): QuotaLog {
  const { limit, proven, active } = log;
  if (limit !== undefined && active.tokens > 0 && active.tokens + tokens > limit) {
    return { ...next, probeAfter: Math.min(PROBE_AFTER_MAX, log.probeAfter * 2) };
  }
  // it may have fitted only as a batch had ended that nobody had looked at since
  if (
    limit !== undefined &&
    proven !== undefined &&
    active.tokens + tokens > proven &&
    proven < limit
  ) {
    return { ...next, limit: proven, proven: undefined, probeAfter: 2 * FIRST_PROBE_AFTER };
  }
  const unproven = { ...next, proven: undefined };
  const fitted = limit ?? log.peak;
  const didFit = active.tokens + tokens <= fitted;
  if (didFit && couldBeFull(log, fitted, tokens, atMs)) {
    return full(releasedByTime(next, fitted, atMs), tokens, atMs);
  }
  // a job alone: only a smaller one can tell how much fits
  if (active.tokens === 0) return { ...unproven, limit: Math.ceil(tokens / 2) };
  const lower = { ...unproven, limit: active.tokens, probeAfter: FIRST_PROBE_AFTER };
  if (!didFit) return lower;
  // nor would a try be of use that is made because a bucket had room
  const half = Math.min(active.tokens, DECREASE * fitted);
  return { ...lower, limit: half, timeRefutedAtMs: atMs };
}

/** Whether a bucket of that size, at the pace at which all that was accepted did fit, has no room. */
function couldBeFull(log: QuotaLog, size: number, tokens: number, atMs: number): boolean {
  const drain = slowestDrain(recent(log.poured), size);
  return bucketLevel({ ...log, drain }, size, atMs) + tokens > size;
}

/** What was accepted between two moments and is more than fits has drained between them. */
function slowestDrain(poured: readonly Poured[], size: number): number {
  let drain = size / SLOWEST_REFILL_MS;
  for (const [first, { atMs: fromMs }] of poured.entries()) {
    let tokens = 0;
    for (const { atMs, tokens: more } of poured.slice(first)) {
      tokens += more;
      if (atMs > fromMs) drain = Math.max(drain, (tokens - size) / (atMs - fromMs));
    }
  }
  return drain;
}

function refusedByTime(next: QuotaLog, log: QuotaLog, { tokens, atMs }: Create): QuotaLog {
  const { limit = tokens, drain = limit / REFILL_MS, accepted: since, active } = log;
  // by now a bucket would have had room
  if (log.refusalsInRow >= REFUSALS_OF_NO_BUCKET && active.tokens > 0) {
    const timeRefutedAtMs = atMs;
    return {
      ...next,
      release: "ends",
      limit: active.tokens,
      timeRefutedAtMs,
      probeAfter: FIRST_PROBE_AFTER,
    };
  }
  const measured = since.tokens / Math.max(1, atMs - since.sinceMs);
  const slower = Math.min(drain, measured) * MEASURED_MARGIN;
  const least = since.tokens < limit ? drain * DRAIN_DECREASE : 0;
  const pace = Math.max(slower, least, limit / SLOWEST_REFILL_MS);
  return full(
    {
      ...next,
      drain: pace,
      pace,
      limit: log.refusalsInRow === 0 ? limit : Math.max(tokens, SIZE_DECREASE * limit),
    },
    tokens,
    atMs,
  );
}

/** Refused, so there was no room for it: the books begin anew with that. */
function full(log: QuotaLog, tokens: number, atMs: number): QuotaLog {
  return { ...log, poured: { atMs, tokens: Math.max(log.limit ?? 0, tokens), before: undefined } };
}
