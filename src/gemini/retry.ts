/**
 * Which calls are made again, how often and how soon; nowhere else is anything retried. `createBatch`
 * is not in the table: made again, it is another batch and another bill. Nor is `openResults`: what
 * it has yielded is with its reader, who alone can start again.
 */
import type { Clock } from "../clock.ts";
import { isUnanswered } from "./port.ts";
import { type Gemini, GeminiError, type GeminiErrorKind } from "./port.ts";
import type { Report } from "../progress.ts";

export type RetriedCall = Exclude<keyof Gemini, "createBatch" | "openResults">;

export type RetryRule = Readonly<{
  /** Counts the first one. */
  attempts: number;
  /** Each delay is twice the one before it, up to `maxDelayMs`. */
  firstDelayMs: number;
  maxDelayMs: number;
  /** The part of a delay that is left to chance, so that what failed together does not come back together. */
  jitter?: number;
  /** How often it may stay without an answer: what has left may be charged. */
  unansweredAttempts?: number;
}>;

export const RETRIES: Readonly<Record<RetriedCall, RetryRule>> = {
  // It goes on inside a session by itself; here it begins anew, and finds what is already there.
  uploadFile: { attempts: 4, firstDelayMs: 2_000, maxDelayMs: 30_000 },
  // An uncertain submission cannot be settled without it, and hundreds of pages must all succeed.
  findBatches: { attempts: 7, firstDelayMs: 1_000, maxDelayMs: 30_000 },
  // Polled for hours: a minute without network, as when a laptop wakes up, is no reason to stop.
  getBatch: { attempts: 7, firstDelayMs: 1_000, maxDelayMs: 30_000 },
  // Paid for, and perhaps a gigabyte: begun anew each time, since resuming is not documented.
  downloadResults: { attempts: 6, firstDelayMs: 1_000, maxDelayMs: 30_000 },
  // Asked before a job may be sent again, like the list.
  hasFile: { attempts: 4, firstDelayMs: 1_000, maxDelayMs: 8_000 },
  isOtherFile: { attempts: 7, firstDelayMs: 1_000, maxDelayMs: 30_000 },
  // Somebody waits at the keyboard.
  cancelBatch: { attempts: 4, firstDelayMs: 1_000, maxDelayMs: 8_000 },
  // Asked before something else, which goes on without an answer.
  listModels: { attempts: 2, firstDelayMs: 1_000, maxDelayMs: 1_000 },
  countTokens: { attempts: 4, firstDelayMs: 1_000, maxDelayMs: 8_000 },
  // Tidying up: what is left over is found again next time, and the service drops it in the end.
  deleteBatch: { attempts: 3, firstDelayMs: 1_000, maxDelayMs: 4_000 },
  deleteFile: { attempts: 3, firstDelayMs: 1_000, maxDelayMs: 4_000 },
  // Its quota is by the minute, so it takes a minute to come back; several calls are under way.
  embedNow: {
    attempts: 8,
    firstDelayMs: 2_000,
    maxDelayMs: 60_000,
    jitter: 1,
    unansweredAttempts: 3,
  },
};

const RETRIED_KINDS: readonly GeminiErrorKind[] = ["unreachable", "uncertain", "quota"];

/** A service that asks for a longer wait than this is left to the caller, at once. */
const MAX_RETRY_AFTER_MS = 120_000;

/** The same port; the last attempt's error is thrown. Each wait is reported before it begins. */
export function retryingGemini(gemini: Gemini, clock: Clock, report?: Report): Gemini {
  const retry = async <T>(call: RetriedCall, make: () => Promise<T>, signal?: AbortSignal) => {
    let unanswered = 0;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await make();
      } catch (caught) {
        if (!(caught instanceof GeminiError)) throw caught;
        if (isUnanswered(caught)) unanswered += 1;
        const delayMs = delayBeforeNext(RETRIES[call], attempt, unanswered, caught);
        if (delayMs === undefined) throw caught;
        report?.({ type: "waiting", why: caught.message, seconds: delayMs / 1000 });
        await clock.sleep(delayMs, signal);
      }
    }
  };
  return {
    createBatch: (request) => gemini.createBatch(request),
    openResults: (file, options) => gemini.openResults(file, options),
    uploadFile: (file, signal) =>
      retry("uploadFile", () => gemini.uploadFile(file, signal), signal),
    findBatches: (prefix, signal) =>
      retry("findBatches", () => gemini.findBatches(prefix, signal), signal),
    downloadResults: (file, path, options) =>
      retry("downloadResults", () => gemini.downloadResults(file, path, options), options.signal),
    isOtherFile: (name, file, signal) =>
      retry("isOtherFile", () => gemini.isOtherFile(name, file, signal), signal),
    getBatch: (name, signal) => retry("getBatch", () => gemini.getBatch(name, signal), signal),
    cancelBatch: (name) => retry("cancelBatch", () => gemini.cancelBatch(name)),
    deleteBatch: (name) => retry("deleteBatch", () => gemini.deleteBatch(name)),
    deleteFile: (name) => retry("deleteFile", () => gemini.deleteFile(name)),
    hasFile: (name, signal) => retry("hasFile", () => gemini.hasFile(name, signal), signal),
    listModels: (signal) => retry("listModels", () => gemini.listModels(signal), signal),
    countTokens: (model, texts) => retry("countTokens", () => gemini.countTokens(model, texts)),
    embedNow: (request, signals) =>
      retry("embedNow", () => gemini.embedNow(request, signals), signals?.stop),
  };
}

/** Undefined when there is to be no next attempt. */
function delayBeforeNext(
  rule: RetryRule,
  attempt: number,
  unanswered: number,
  error: GeminiError,
): number | undefined {
  if (attempt >= rule.attempts || !RETRIED_KINDS.includes(error.kind)) return undefined;
  if (unanswered >= (rule.unansweredAttempts ?? Infinity)) return undefined;
  // it is full until something is deleted
  if (error.limit === "storage") return undefined;
  const asked = error.retryAfterMs ?? 0;
  if (asked > MAX_RETRY_AFTER_MS) return undefined;
  return Math.max(
    asked,
    jittered(Math.min(rule.firstDelayMs * 2 ** (attempt - 1), rule.maxDelayMs), rule.jitter),
  );
}

/** Half of each delay, unless the rule says otherwise. */
const JITTER = 0.5;

function jittered(delayMs: number, jitter = JITTER): number {
  return Math.round(delayMs * (1 - Math.random() * jitter));
}
