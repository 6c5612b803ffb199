/**
 * Which failures of a database pass, and how long to wait for that. Every call of a store may be
 * repeated (see `port.ts`), so this is the one place that repeats what failed for a while.
 */
import { type Clock, MS_PER_SECOND } from "../clock.ts";
import { UserError } from "../errors.ts";
import type { Report } from "../progress.ts";
import { failureCode } from "./failure.ts";
import type { Store } from "./port.ts";

/** Delays double from `firstMs` to `maxMs`; each is shortened by up to half, at random. */
type RetryPolicy = Readonly<{ attempts: number; firstMs: number; maxMs: number }>;

/** Other transactions finish within moments. */
const CONTENTION: RetryPolicy = { attempts: 20, firstMs: 100, maxMs: 2_000 };
/** A restart or failover, or a network that comes back: about eight minutes in all. */
const OUTAGE: RetryPolicy = { attempts: 14, firstMs: 1_000, maxMs: 60_000 };
/** Load may have been the reason, but it may also be too slow for good. */
const SLOWNESS: RetryPolicy = { attempts: 3, firstMs: 5_000, maxMs: 30_000 };
/** Before the first answer, the address is more likely wrong than the server away. */
const FIRST_CONTACT: RetryPolicy = { attempts: 3, firstMs: 500, maxMs: 2_000 };
/** It ends, and there is nothing else to do: a day and more. */
const BUILDING: RetryPolicy = { attempts: 3_000, firstMs: 1_000, maxMs: 60_000 };

type Rule = Readonly<{ why: string; policy: RetryPolicy }>;

/** By SQLSTATE, by class of SQLSTATE, by network code, or by PostgREST's code or its gateway's status. */
export const RETRIES: Readonly<Partial<Record<string, Rule>>> = {
  "40001": { why: "another transaction was in the way", policy: CONTENTION },
  "40P01": { why: "a deadlock was broken up", policy: CONTENTION },
  "55P03": { why: "other transactions held what it needs for too long", policy: CONTENTION },
  INDEX_UNDER_WAY: { why: "the server is still building the index", policy: BUILDING },
  "57014": { why: "the server stopped a slow statement", policy: SLOWNESS },
  QUERY_TIMEOUT: { why: "a statement had no answer in time", policy: SLOWNESS },
  "53300": { why: "the server has no connection left", policy: OUTAGE },
  "53200": { why: "the server is short of memory", policy: SLOWNESS },
  "57P01": { why: "the server is shutting down", policy: OUTAGE },
  "57P02": { why: "the server crashed and restarts", policy: OUTAGE },
  "57P03": { why: "the server is starting up", policy: OUTAGE },
  "57P05": { why: "the server closed an idle session", policy: OUTAGE },
  "08": { why: "the connection failed", policy: OUTAGE },
  CONNECTION_LOST: { why: "the connection was lost", policy: OUTAGE },
  CONNECT_TIMEOUT: { why: "the server does not answer", policy: OUTAGE },
  ECONNRESET: { why: "the connection was reset", policy: OUTAGE },
  EPIPE: { why: "the connection was closed", policy: OUTAGE },
  ETIMEDOUT: { why: "the connection timed out", policy: OUTAGE },
  ECONNREFUSED: { why: "nothing listens at the server's address", policy: OUTAGE },
  EHOSTUNREACH: { why: "there is no way to the server", policy: OUTAGE },
  ENETUNREACH: { why: "there is no network to the server", policy: OUTAGE },
  EAI_AGAIN: { why: "name lookups fail", policy: OUTAGE },
  ENOTFOUND: { why: "the server's name is not known", policy: OUTAGE },
  PGRST000: { why: "the API has lost its database", policy: OUTAGE },
  PGRST001: { why: "the API has lost its database", policy: OUTAGE },
  PGRST002: { why: "the API is starting up", policy: OUTAGE },
  PGRST003: { why: "the API has no connection left", policy: OUTAGE },
  HTTP_408: { why: "the API was too slow", policy: SLOWNESS },
  HTTP_429: { why: "the API has had too many requests", policy: OUTAGE },
  HTTP_500: { why: "the API failed", policy: SLOWNESS },
  HTTP_502: { why: "the API cannot be reached behind its gateway", policy: OUTAGE },
  HTTP_503: { why: "the API is not available", policy: OUTAGE },
  HTTP_504: { why: "the API was too slow for its gateway", policy: SLOWNESS },
  HTTP_520: { why: "the API failed behind its gateway", policy: OUTAGE },
  HTTP_521: { why: "the API is down behind its gateway", policy: OUTAGE },
  HTTP_522: { why: "the API does not answer its gateway", policy: OUTAGE },
  HTTP_524: { why: "the API was too slow for its gateway", policy: SLOWNESS },
};

const SQLSTATE_CLASS_LENGTH = 2;

export type RetryOptions = Readonly<{
  clock: Clock;
  report: Report;
  /** Ends the waiting; rejects with its reason. */
  signal?: AbortSignal;
  /** From 0 to below 1. */
  random?: () => number;
}>;

/** After the last attempt the work's own UserError comes out, with the number of attempts. */
export function repeating(options: RetryOptions) {
  let reached = false;
  return async <T>(work: () => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const result = await work();
        reached = true;
        return result;
      } catch (error) {
        await pause(error, { attempt, reached }, options);
      }
    }
  };
}

export function withRetry(store: Store, options: RetryOptions): Store {
  const again = repeating(options);
  const { indexes, nearest, oldestPending, changedTexts } = store;
  return {
    indexes: indexes && {
      read: (every) => again(() => indexes.read(every)),
      drop: (name) => again(() => indexes.drop(name)),
      build: (index, signal) => again(() => indexes.build(index, signal)),
      // asked again soon anyway
      progress: () => indexes.progress(),
    },
    nearest: nearest && ((asked) => again(() => nearest(asked))),
    changedTexts: changedTexts && (() => again(() => changedTexts())),
    oldestPending: oldestPending && ((column) => again(() => oldestPending(column))),
    describe: () => again(() => store.describe()),
    readPending: (page) => again(() => store.readPending(page)),
    apply: (rows, hold) => again(() => store.apply(rows, hold)),
    tryWrite: (except) => again(() => store.tryWrite(except)),
    count: () => again(() => store.count()),
    look: (window) => again(() => store.look(window)),
    compare: (rows) => again(() => store.compare(rows)),
    clear: (rows, hold) => again(() => store.clear(rows, hold)),
    close: () => store.close(),
  };
}

/** Waits before the next attempt, or throws where there is none. */
async function pause(
  error: unknown,
  past: Readonly<{ attempt: number; reached: boolean }>,
  { clock, report, signal, random = Math.random }: RetryOptions,
): Promise<void> {
  const rule = ruleFor(error);
  if (rule === undefined) throw error;
  const unproven = !past.reached && !provesTheAddress(error);
  const policy = rule.policy === OUTAGE && unproven ? FIRST_CONTACT : rule.policy;
  if (past.attempt >= policy.attempts) throw exhausted(error, past.attempt);
  const ms = delayMs(policy, past.attempt, random());
  report({ type: "waiting", why: rule.why, seconds: ms / MS_PER_SECOND });
  await clock.sleep(ms, signal);
}

/** A server that is full, or PostgREST whose database is away, says it itself: the address is right, and it is an outage. */
export function provesTheAddress(error: unknown): error is Error {
  return /^(?:53300|PGRST00[0-3])$/.test(failureCode(error) ?? "");
}

function ruleFor(error: unknown): Rule | undefined {
  const code = failureCode(error) ?? "";
  return RETRIES[code] ?? RETRIES[code.slice(0, SQLSTATE_CLASS_LENGTH)];
}

function delayMs(policy: RetryPolicy, attempt: number, random: number): number {
  const full = Math.min(policy.maxMs, policy.firstMs * 2 ** (attempt - 1));
  return Math.round((full * (1 + random)) / 2);
}

function exhausted(error: unknown, attempts: number): unknown {
  if (!(error instanceof UserError)) return error;
  const { message, hint, exit } = error;
  return new UserError(`${message} Tried ${attempts} times.`, { hint, exit, cause: error });
}
