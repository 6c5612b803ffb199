/** How well a whole `run` uses Gemini's queue, in virtual time: see quota/simulation.ts. */
import type { TokenQuota } from "../src/emulator/state/quota.ts";
import { queueWindow, jobBounds } from "../src/stages.ts";
import { OPTIONS } from "../src/settings/options.ts";
import type { Tier } from "../src/cost/tariff.ts";
import type { Figure, Row } from "./rounds.ts";
import { type Outcome, simulate, START_MS } from "./quota/simulation.ts";

const ROWS = 200_000;
/** Tokens of a row. */
export const SHORT = 60;
export const LONG = 300;
const BATCH_MS = 10 * 60_000;
/** As the bucket was seen to drain. */
const REFILL_MS = 12.5 * 60_000;
const SIZES = ["as advertised", "half of what is advertised", "halved in the middle"] as const;
const KINDS = [
  { kind: "level", word: "released at a batch's end" },
  { kind: "bucket", word: "a bucket" },
] as const;

export async function measureQuota(tier: Tier, tokensPerRow: number): Promise<Figure> {
  const rows: Row[] = [];
  for (const { kind, word } of KINDS) {
    for (const size of SIZES) {
      const outcome = await simulateTier(tier, tokensPerRow, kind, size);
      const name = `tier ${tier}, ${word}, ${size}`;
      rows.push(row(name, `${ROWS} rows of ${tokensPerRow} tokens`, outcome));
    }
  }
  const length = tokensPerRow === SHORT ? "short" : "long";
  return { name: `quota-tier-${tier}-${length}`, unit: "% of the drain", rows };
}

function simulateTier(
  tier: Tier,
  tokensPerRow: number,
  kind: TokenQuota["kind"],
  size: (typeof SIZES)[number],
): Promise<Outcome> {
  const settings = {
    tier,
    maxEnqueuedTokens: undefined,
    maxActiveJobs: OPTIONS.maxActiveJobs.default,
    model: OPTIONS.model.default,
    maxJobRows: OPTIONS.maxJobRows.default,
    maxJobTokens: undefined,
    maxJobBytes: OPTIONS.maxJobBytes.default,
  };
  const window = queueWindow(settings);
  const tokens = window.maxEnqueuedTokens;
  const drainMs = kind === "bucket" ? REFILL_MS : BATCH_MS;
  const middleMs = ((ROWS * tokensPerRow) / tokens / 2) * drainMs;
  const shrinks = size === "halved in the middle";
  const isHalf = size === "half of what is advertised";
  return simulate({
    rows: ROWS,
    tokensPerRow,
    window,
    bounds: jobBounds(settings),
    batchMs: BATCH_MS,
    quota: {
      kind,
      tokens: isHalf ? tokens / 2 : tokens,
      refillMs: REFILL_MS,
      change: shrinks ? { atMs: START_MS + middleMs, tokens: tokens / 2 } : undefined,
      cancelled: "released",
    },
  });
}

const PERCENT = 100;

function row(name: string, size: string, outcome: Outcome): Row {
  const { jobs, refused, refusedShare, uploadsWasted, hours } = outcome;
  const used = outcome.utilisation * PERCENT;
  const share = (refusedShare * PERCENT).toFixed(1);
  const unit = `% of the drain; ${refused} of ${jobs + refused} creates refused (${share}%), ${uploadsWasted} uploads wasted, ${hours.toFixed(1)} h`;
  console.error(`quota: ${name}, ${size}: ${used.toFixed(1)} ${unit}`);
  return { name, size, unit, ratio: 1, median: used, least: used, most: used };
}
