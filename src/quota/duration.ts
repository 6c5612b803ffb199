/**
 * How long a fill takes: a model, not a promise. The quota of enqueued tokens is taken for a bucket
 * that refills at an even pace, as published runs suggest; what does not fit at first goes in as it
 * refills, and the last batch takes its turn at Gemini. Whatever waits in Gemini's queue for other
 * reasons, up to its aim of 24 hours, comes on top.
 */
import { MS_PER_MINUTE } from "../clock.ts";
import type { ModelName } from "../row/models.ts";
import type { QuotaLog } from "../manifest/quota/quota-log.ts";
import { PROJECT_LIMITS, QUOTAS, type Tier } from "../cost/tariff.ts";

const SECONDS_A_MINUTE = 60;

/** Undefined tokens at once: nothing limits. Zero for nothing to do. */
export function batchSeconds(tokens: number, tokensAtOnce: number): number {
  if (tokens === 0) return 0;
  const refills = Math.max(0, tokens / tokensAtOnce - 1);
  const { refillMinutes, turnaroundMinutes } = PROJECT_LIMITS;
  return Math.ceil((refills * refillMinutes + turnaroundMinutes) * SECONDS_A_MINUTE);
}

/** By what refusals told of the model's quota in each project; undefined until there was one. */
export function learnedSeconds(
  tokens: number,
  quotas: readonly QuotaLog[],
  tokensAtOnce: number,
): number | undefined {
  if (quotas.every(({ limit, pace }) => limit === undefined && pace === undefined))
    return undefined;
  if (tokens === 0) return 0;
  const { refillMinutes, turnaroundMinutes } = PROJECT_LIMITS;
  const limitOf = ({ limit = Infinity }: QuotaLog) => Math.min(limit, tokensAtOnce);
  const paceOf = (quota: QuotaLog) =>
    (quota.pace ?? limitOf(quota) / (refillMinutes * MS_PER_MINUTE)) * MS_PER_MINUTE;
  const sumOver = (of: (quota: QuotaLog) => number) =>
    quotas.reduce((sum, quota) => sum + of(quota), 0);
  const drainMinutes = Math.max(0, tokens - sumOver(limitOf)) / sumOver(paceOf);
  return Math.ceil((drainMinutes + turnaroundMinutes) * SECONDS_A_MINUTE);
}

/** Through the interactive API: as many requests and tokens a minute as the tier allows. */
export function syncSeconds(rows: number, tokens: number, tier: Tier): number {
  const { interactiveRequestsPerMinute, interactiveTokensPerMinute } = QUOTAS[tier];
  const minutes = Math.max(
    rows / interactiveRequestsPerMinute,
    tokens / interactiveTokensPerMinute,
  );
  return Math.ceil(minutes * SECONDS_A_MINUTE);
}

export function tierTokens(tier: Tier, model: ModelName): number {
  return QUOTAS[tier].enqueuedTokens[model];
}
