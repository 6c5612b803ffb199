/**
 * What a model's quota has shown of itself: a fold over the journal's creates, refusals and ends, so
 * that it is kept without a line of its own and is the same after a crash.
 *
 * A refusal says nothing but no, and nobody tells what gives quota back: the ends of batches, these
 * some time later, or time alone. Two guesses are kept, and both are easily given up, because
 * `src/quota/next-try.ts` makes it cheap to be wrong:
 * - the limit: so many tokens in batches that have not ended. It is what was there at a refusal. More
 *   is tried after a while, and where that goes through although a refusal was seen, there is none.
 * - the pace: so many tokens come back in a millisecond, by whatever. It is what was accepted between
 *   two refusals; it grows with each create that went through, and faster the longer none is refused.
 * After creates that went through too early or too late for the guess, jobs are sent until one is
 * refused: that tells more than any reckoning.
 */
import { MS_PER_MINUTE } from "../../clock.ts";
import type { QuotaLimit } from "../../gemini/port.ts";
import type { ModelName } from "../../row/models.ts";

export type QuotaLog = Readonly<{
  /** Tokens and number of batches that have not ended. */
  active: Readonly<{ tokens: number; batches: number }>;
  /** Most tokens that may be active; undefined until something was refused, infinite where none was found. */
  limit: number | undefined;
  /** Since when the quota was full at last, and what it has taken since; undefined until a refusal. */
  full: Readonly<{ sinceMs: number; tokens: number }> | undefined;
  /** Tokens a millisecond that come back; undefined while only the limit counts. */
  pace: number | undefined;
  /** By this share the pace grows with each create that went through when it was due. */
  growth: number;
  /** Jobs are sent until one is refused; why. */
  burst: "pastLimit" | "afterRefusals" | "beforeDue" | undefined;
  /** More than the limit is tried after so long, or after so many creates in a row. */
  probe: Readonly<{ afterMs: number; afterCreates: number }>;
  /** In a row, since the last refusal. */
  creates: number;
  /** Of these, the last ones that went through before they were due. */
  beforeDue: number;
  refusalsInRow: number;
  /** Refusals since the last create that were due by the pace. */
  dueRefusals: number;
  /** The last answer to a create, the last end, and the first end since the last create left. */
  lastTryMs: number;
  lastEndMs: number;
  firstEndMs: number | undefined;
  lastRefusalMs: number | undefined;
  /** What the service asked for at the last refusal. */
  retryAfterMs: number;
  /** Of these, the last ones with nothing active. */
  refusalsAlone: number;
  /** Tokens of a job that was refused with nothing active, more than once: smaller ones may fit. */
  tooLarge: number | undefined;
  /** Where the count of batches was refused: so many may be active. */
  batchLimit: number | undefined;
}>;

/** By model and project, as `quotaName` says it. */
export type Quotas = Map<string, QuotaLog>;

export function quotaName(model: ModelName, project: string): string {
  return `${model} ${project}`;
}

/** Of each project that something is known of. */
export function quotasOf(quotas: Quotas, model: ModelName): readonly QuotaLog[] {
  return [...quotas].filter(([name]) => name.startsWith(`${model} `)).map(([, log]) => log);
}

/** A create that was sent although the limit was reached: time may have given something back. */
export type Probe = "time";

type Create = Readonly<{ tokens: number; atMs: number; probe: Probe | undefined }>;

const FIRST_PROBE = { afterMs: 3 * MS_PER_MINUTE, afterCreates: 20 } as const;
/** A limit that held is tried so many times later, and after twice as many creates. */
const PROBE_GROWTH = 3;
/** After so long, fewer: where batches take hours, a wrong limit would cost days. */
const LATE_PROBE = { fromMs: 20 * MS_PER_MINUTE, growth: 2 } as const;
/** Refusals in a row after which the pauses hide when it came back. */
const REFUSALS_OF_UNKNOWN_TIME = 2;
/** Refusals in a row after which it is not known how much has come back when one goes through. */
const REFUSALS_TO_BURST = 3;
/** Creates in a row before they were due: the pace is too low. */
const BEFORE_DUE_TO_BURST = 4;
/** Refusals in a row that were due: it is not the pace that was wrong. */
const DUE_REFUSALS_OF_NO_PACE = 3;
/** Of what was measured: less than it is costs less than refusals. */
const MEASURED_MARGIN = 0.97;
/** What was measured by so few jobs is uncertain by one of them: the guess grows accordingly. */
const GROWTH_OF_ONE_JOB = 0.5;
const GROWTH_MIN = 0.0035;
/** After so many creates in a row the pace is thought out of date, and grows ever faster. */
const CREATES_TO_GROW_FAST = 12;
const FAST_GROWTH = 1.4;
/** Later than due by more than this: nothing was to be sent, or nobody was there to send it. */
const LATE_MS = 15 * MS_PER_MINUTE;
/** One refusal of a job alone may be another client's doing, or a batch that ended and counts still. */
const REFUSALS_OF_TOO_LARGE = 2;
/** The service's own limit of 100, estimated a little low. */
const BATCHES_NEAR_LIMIT = 95;

export const NEW_QUOTA: QuotaLog = {
  active: { tokens: 0, batches: 0 },
  limit: undefined,
  full: undefined,
  pace: undefined,
  growth: 0,
  burst: undefined,
  probe: FIRST_PROBE,
  creates: 0,
  beforeDue: 0,
  refusalsInRow: 0,
  dueRefusals: 0,
  lastTryMs: -Infinity,
  lastEndMs: -Infinity,
  firstEndMs: undefined,
  lastRefusalMs: undefined,
  retryAfterMs: 0,
  refusalsAlone: 0,
  tooLarge: undefined,
  batchLimit: undefined,
};

/** A create leaves: ends that are seen from now on are news. */
export function tried(log: QuotaLog): QuotaLog {
  return log.firstEndMs === undefined ? log : { ...log, firstEndMs: undefined };
}

export function accepted(before: QuotaLog, create: Create): QuotaLog {
  const { tokens, atMs, probe } = create;
  const log = sinceItCameBack(withoutLateness(before, create), atMs);
  const { active, full } = log;
  const next: QuotaLog = {
    ...log,
    active: { tokens: active.tokens + tokens, batches: active.batches + 1 },
    full: full && { ...full, tokens: full.tokens + tokens },
    creates: log.creates + 1,
    refusalsInRow: 0,
    refusalsAlone: 0,
    dueRefusals: 0,
    retryAfterMs: 0,
    lastTryMs: atMs,
    tooLarge: log.tooLarge !== undefined && tokens >= log.tooLarge ? undefined : log.tooLarge,
  };
  if (log.refusalsInRow >= REFUSALS_TO_BURST)
    return { ...pastLimit(next, probe), burst: "afterRefusals" };
  if (probe !== undefined) return pastLimit(next, probe);
  return log.burst === undefined ? paced(next, log, create) : next;
}

export function ended(log: QuotaLog, tokens: number, atMs: number): QuotaLog {
  const { active } = log;
  return {
    ...log,
    active: {
      tokens: Math.max(0, active.tokens - tokens),
      batches: Math.max(0, active.batches - 1),
    },
    lastEndMs: atMs,
    firstEndMs: log.firstEndMs ?? atMs,
  };
}

export function refused(
  before: QuotaLog,
  create: Create & Readonly<{ limit: QuotaLimit | undefined; retryAfterMs: number | undefined }>,
): QuotaLog {
  const log = withoutLateness(before, create);
  const next: QuotaLog = {
    ...log,
    refusalsInRow: log.refusalsInRow + 1,
    refusalsAlone: log.active.batches === 0 ? log.refusalsAlone + 1 : 0,
    lastRefusalMs: create.atMs,
    retryAfterMs: create.retryAfterMs ?? 0,
    lastTryMs: create.atMs,
  };
  const limit = create.limit ?? likelyLimit(log);
  if (limit === "jobs") return { ...next, batchLimit: Math.max(1, log.active.batches) };
  if (limit !== "tokens") return next;
  return learned({ ...next, ...tooLargeAfter(next, create.tokens) }, log, create);
}

/** When the pace has room for a job of so many tokens; in the past where there is no pace. */
export function dueMs({ full, pace }: QuotaLog, tokens: number): number {
  if (full === undefined || pace === undefined) return -Infinity;
  return full.sinceMs + (full.tokens + tokens) / pace;
}

/** Whoever sends nothing for long is not to be taken for a quota that gives nothing back. */
function withoutLateness(log: QuotaLog, { tokens, atMs, probe }: Create): QuotaLog {
  const { full, lastTryMs, lastEndMs } = log;
  if (full === undefined || probe !== undefined) return log;
  // whoever was gone for long sees the ends late, too
  const endMs = log.pace === undefined ? lastEndMs : -Infinity;
  const expectedMs = Math.max(dueMs(log, tokens), full.sinceMs, lastTryMs, endMs);
  const lateMs = atMs - expectedMs - LATE_MS;
  return lateMs > 0 ? { ...log, full: { ...full, sinceMs: full.sinceMs + lateMs } } : log;
}

/** After refusals, what goes through came back at some time since the last of them: in the middle, as far as is known. */
function sinceItCameBack(log: QuotaLog, atMs: number): QuotaLog {
  const { full, refusalsInRow, lastTryMs } = log;
  if (full === undefined || refusalsInRow < REFUSALS_OF_UNKNOWN_TIME) return log;
  const unknownMs = atMs - Math.max(full.sinceMs, lastTryMs);
  return { ...log, full: { ...full, sinceMs: full.sinceMs + unknownMs / 2 } };
}

/** More is active than at a refusal: then no limit is what was met there. */
function pastLimit(log: QuotaLog, probe: Probe | undefined): QuotaLog {
  if (probe === undefined) return log;
  const limit = log.full === undefined ? log.limit : Infinity;
  return { ...log, limit, probe: FIRST_PROBE, burst: "pastLimit" };
}

function paced(next: QuotaLog, log: QuotaLog, { tokens, atMs }: Create): QuotaLog {
  if (log.full === undefined || log.pace === undefined) return next;
  if (atMs >= dueMs(log, tokens))
    return { ...next, beforeDue: 0, pace: log.pace * (1 + growthOf(next)) };
  const beforeDue = log.beforeDue + 1;
  // what was accepted came back, but for one job, for which there may have been room at the refusal
  const shown = log.full.tokens / (atMs - log.full.sinceMs);
  const burst = beforeDue >= BEFORE_DUE_TO_BURST ? "beforeDue" : undefined;
  return { ...next, beforeDue, burst, pace: Math.max(log.pace, shown) };
}

function growthOf({ growth, creates }: QuotaLog): number {
  return Math.min(1, growth * FAST_GROWTH ** Math.max(0, creates - CREATES_TO_GROW_FAST));
}

function likelyLimit({ active }: QuotaLog): QuotaLimit {
  return active.batches >= BATCHES_NEAR_LIMIT ? "jobs" : "tokens";
}

function tooLargeAfter(next: QuotaLog, tokens: number): Pick<QuotaLog, "tooLarge"> {
  const { refusalsAlone, tooLarge } = next;
  if (refusalsAlone < REFUSALS_OF_TOO_LARGE) return { tooLarge };
  return { tooLarge: Math.min(tokens, tooLarge ?? Infinity) };
}

/** `log`: as it was at the refusal. */
function learned(counted: QuotaLog, log: QuotaLog, create: Create): QuotaLog {
  const { tokens, atMs, probe } = create;
  const next: QuotaLog = { ...counted, burst: undefined, creates: 0, beforeDue: 0 };
  const fullNow: QuotaLog = { ...next, full: { sinceMs: atMs, tokens: 0 } };
  const { active, full, burst } = log;
  if (full === undefined)
    return probe === undefined ? limitedTo(fullNow, active.tokens) : held(fullNow, active.tokens);
  const stillFull = full.tokens === 0 ? fullNow : next;
  if (probe !== undefined) return held(stillFull, log.limit ?? active.tokens);
  if (burst === undefined && atMs < dueMs(log, tokens)) return stillFull;
  if (burst === "beforeDue" && active.tokens > 0) return limitedTo(fullNow, active.tokens);
  // nothing has come back since it was full: what is active is less than the limit was thought to be
  const { limit = Infinity } = log;
  const isLower = Number.isFinite(limit) && active.tokens < limit;
  if (isLower && active.tokens > 0 && active.tokens <= full.tokens)
    return limitedTo(fullNow, active.tokens);
  if (full.tokens > 0) return { ...fullNow, ...measured(full, create) };
  const dueRefusals = log.dueRefusals + 1;
  if (dueRefusals < DUE_REFUSALS_OF_NO_PACE) return { ...fullNow, dueRefusals };
  return active.tokens > 0 ? limitedTo(fullNow, active.tokens) : { ...fullNow, dueRefusals };
}

/** The limit is what was met: it is tried later than before. */
function held(log: QuotaLog, limit: number): QuotaLog {
  const { afterMs, afterCreates } = log.probe;
  const growth = afterMs < LATE_PROBE.fromMs ? PROBE_GROWTH : LATE_PROBE.growth;
  return { ...log, limit, probe: { afterMs: afterMs * growth, afterCreates: afterCreates * 2 } };
}

/** What is active is all that fits; with nothing active, nothing is known. */
function limitedTo(log: QuotaLog, tokens: number): QuotaLog {
  if (tokens === 0) return log;
  return { ...log, limit: tokens, pace: undefined, probe: FIRST_PROBE, dueRefusals: 0 };
}

function measured(
  full: NonNullable<QuotaLog["full"]>,
  { tokens, atMs }: Create,
): Pick<QuotaLog, "pace" | "growth"> {
  const jobs = full.tokens / tokens;
  return {
    pace: (full.tokens / Math.max(1, atMs - full.sinceMs)) * MEASURED_MARGIN,
    growth: Math.max(GROWTH_OF_ONE_JOB / jobs ** 2, GROWTH_MIN),
  };
}
