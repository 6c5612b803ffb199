/**
 * How much may be queued at once: batches a project, and tokens a model by tier, or so many as told.
 * Source of the tiers: ai.google.dev/gemini-api/docs/rate-limits, 2026-08-18.
 */
import { MS_PER_SECOND } from "../../clock.ts";
import { type BatchRecord, isActive } from "./batch-record.ts";
import type { Settings } from "../faults/emulator-options.ts";
import { quotaExceeded } from "../http/service-error.ts";
import type { State } from "./state.ts";

const ENQUEUED_TOKENS_MAX = {
  "1": 500_000,
  "2": 5_000_000,
  "3": 10_000_000,
  off: Infinity,
} as const;
const CANCELLED_HOLD_MS = 48 * 60 * 60 * 1000;

/** The tokens of one model, and what gives them back. */
export type TokenQuota = Readonly<{
  /** `level`: the end of a batch. `bucket`: time alone, a full one in `refillMs`. */
  kind: "level" | "bucket";
  tokens: number;
  refillMs: number;
  /** From some moment on it is another size. */
  change: Readonly<{ atMs: number; tokens: number }> | undefined;
  /** What a cancelled batch held comes back at once, or 48 hours after it began. */
  cancelled: "released" | "kept";
}>;

export type QueuedBatch = Pick<
  BatchRecord,
  "number" | "tokens" | "createdAtMs" | "end" | "deletedAtMs"
>;

/** Throws 429 when a batch of so many tokens would be one too many. */
export function checkQuota(
  state: State,
  wanted: Pick<BatchRecord, "project" | "model" | "tokens">,
): void {
  const own = state.batches.all().filter((batch) => batch.project === wanted.project);
  if (own.filter(isActive).length >= state.settings.activeBatchesMax) throw quotaExceeded();
  const sameModel = own.filter((batch) => batch.model === wanted.model);
  const quota = tokenQuota(state, sameModel);
  if (!hasRoom(quota, sameModel, wanted.tokens, state.time.nowMs())) throw quotaExceeded();
}

/** True when tokens must be counted at all. */
export function limitsTokens({ tier, quotaTokens }: Settings): boolean {
  return (quotaTokens ?? ENQUEUED_TOKENS_MAX[tier]) !== Infinity;
}

/** Whether a batch of so many tokens would be taken now. */
export function hasRoom(
  quota: TokenQuota,
  batches: readonly QueuedBatch[],
  tokens: number,
  nowMs: number,
): boolean {
  return enqueuedTokens(quota, batches, nowMs) + tokens <= sizeAt(quota, nowMs);
}

/** What counts as queued now, of the batches of one model that were ever created. */
export function enqueuedTokens(
  quota: TokenQuota,
  batches: readonly QueuedBatch[],
  nowMs: number,
): number {
  return quota.kind === "bucket"
    ? bucketLevel(quota, batches, nowMs)
    : batches
        .filter((batch) => holdsTokens(quota, batch, nowMs))
        .reduce((sum, batch) => sum + batch.tokens, 0);
}

export function sizeAt({ tokens, change }: TokenQuota, nowMs: number): number {
  return change !== undefined && nowMs >= change.atMs ? change.tokens : tokens;
}

function tokenQuota(state: State, batches: readonly BatchRecord[]): TokenQuota {
  const { settings, embedder } = state;
  const tokens = settings.quotaTokens ?? ENQUEUED_TOKENS_MAX[settings.tier];
  const firstMs = Math.min(...batches.map(({ createdAtMs }) => createdAtMs));
  const { quotaChangeSeconds: seconds, quotaChangeTokens } = settings;
  return {
    kind: embedder.behaviour.is("quota", "bucket") ? "bucket" : "level",
    tokens,
    refillMs: settings.quotaRefillSeconds * MS_PER_SECOND,
    change:
      seconds === undefined
        ? undefined
        : { atMs: firstMs + seconds * MS_PER_SECOND, tokens: quotaChangeTokens ?? tokens },
    cancelled: embedder.behaviour.is("cancel-quota", "released") ? "released" : "kept",
  };
}

function holdsTokens(quota: TokenQuota, batch: QueuedBatch, nowMs: number): boolean {
  if (isActive(batch)) return true;
  if (quota.cancelled === "released") return false;
  const unfinished = batch.end === undefined || batch.end.state === "CANCELLED";
  return unfinished && nowMs < batch.createdAtMs + CANCELLED_HOLD_MS;
}

/** What is in the bucket now, from everything that was ever poured in. */
function bucketLevel(quota: TokenQuota, batches: readonly QueuedBatch[], nowMs: number): number {
  let level = 0;
  let atMs = 0;
  for (const { createdAtMs, tokens } of [...batches].sort((a, b) => a.number - b.number)) {
    level = drained(level, quota, atMs, createdAtMs) + tokens;
    atMs = createdAtMs;
  }
  return drained(level, quota, atMs, nowMs);
}

function drained(level: number, quota: TokenQuota, fromMs: number, toMs: number): number {
  const changeMs = quota.change?.atMs;
  if (changeMs !== undefined && fromMs < changeMs && changeMs < toMs) {
    return drained(drained(level, quota, fromMs, changeMs), quota, changeMs, toMs);
  }
  const size = sizeAt(quota, fromMs);
  return size === Infinity ? 0 : Math.max(0, level - (size * (toMs - fromMs)) / quota.refillMs);
}
