/**
 * How much may be queued at once: batches a project, and tokens a model by tier.
 * Source: ai.google.dev/gemini-api/docs/rate-limits, 2026-08-18.
 */
import { type BatchRecord, isActive } from "./batch-record.ts";
import { quotaExceeded } from "./service-error.ts";
import type { State } from "./state.ts";

const ENQUEUED_TOKENS_MAX = {
  "1": 500_000,
  "2": 5_000_000,
  "3": 10_000_000,
  off: Infinity,
} as const;
/** How long a full bucket takes to fill from nothing; 15 to 20 minutes were reported. */
const REFILL_MS = 20 * 60 * 1000;
const CANCELLED_HOLD_MS = 48 * 60 * 60 * 1000;

/** Throws 429 when a batch of so many tokens would be one too many. */
export function checkQuota(
  state: State,
  wanted: Pick<BatchRecord, "project" | "model" | "tokens">,
): void {
  const own = state.batches.all().filter((batch) => batch.project === wanted.project);
  if (own.filter(isActive).length >= state.settings.activeBatchesMax) throw quotaExceeded();
  const sameModel = own.filter((batch) => batch.model === wanted.model);
  if (enqueuedTokens(state, sameModel) + wanted.tokens > tokensMax(state)) throw quotaExceeded();
}

function tokensMax(state: State): number {
  return ENQUEUED_TOKENS_MAX[state.settings.tier];
}

function enqueuedTokens(state: State, batches: readonly BatchRecord[]): number {
  return state.embedder.behaviour.is("quota", "bucket")
    ? bucketLevel(batches, tokensMax(state), state.time.nowMs())
    : batches
        .filter((batch) => holdsTokens(state, batch))
        .reduce((sum, { tokens }) => sum + tokens, 0);
}

function holdsTokens(state: State, batch: BatchRecord): boolean {
  if (isActive(batch)) return true;
  if (state.embedder.behaviour.is("cancel-quota", "released")) return false;
  const unfinished = batch.end === undefined || batch.end.state === "CANCELLED";
  return unfinished && state.time.nowMs() < batch.createdAtMs + CANCELLED_HOLD_MS;
}

/** What is in the bucket now, from everything that was ever poured in. */
function bucketLevel(batches: readonly BatchRecord[], size: number, nowMs: number): number {
  let level = 0;
  let atMs = 0;
  for (const { createdAtMs, tokens } of [...batches].sort((a, b) => a.number - b.number)) {
    level = drained(level, createdAtMs - atMs, size) + tokens;
    atMs = createdAtMs;
  }
  return drained(level, nowMs - atMs, size);
}

function drained(level: number, ms: number, size: number): number {
  return size === Infinity ? 0 : Math.max(0, level - (size * ms) / REFILL_MS);
}
