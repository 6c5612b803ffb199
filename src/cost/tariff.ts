/**
 * What the service charges and how much it takes at once: the one table of it. None of it is a
 * promise: prices change, published limits have been seen not to hold, and what no page prints any
 * more is said to be so. Everything that is computed from it is an estimate and called one. Prices
 * and limits can be overridden: `--price`, `--price-sync`, `--tier`, `--max-enqueued-tokens`,
 * `--max-active-jobs`.
 */
import type { JobLane } from "../manifest/job.ts";
import type { ModelName } from "../row/models.ts";

/** Where a figure comes from, and when it stood there. */
export type Provenance = Readonly<{ asOf: string; source: string }>;

/** US dollars for a million input tokens. What comes back is free. */
type Price = Readonly<{ usdPerMillionTokens: number }> & Provenance;

const PRICING_PAGE = {
  asOf: "2026-11-22",
  source: "https://ai.google.dev/gemini-api/docs/pricing",
} as const;

export const PRICES: Readonly<Record<ModelName, Readonly<Record<JobLane, Price>>>> = {
  "gemini-embedding-001": {
    batch: { usdPerMillionTokens: 0.075, ...PRICING_PAGE },
    sync: { usdPerMillionTokens: 0.15, ...PRICING_PAGE },
  },
  "gemini-embedding-2": {
    batch: {
      usdPerMillionTokens: 0.1,
      asOf: PRICING_PAGE.asOf,
      source: "half of the interactive price, as catalogues of other vendors list it",
    },
    sync: { usdPerMillionTokens: 0.2, ...PRICING_PAGE },
  },
};

export const TIERS = ["1", "2", "3"] as const;
export type Tier = (typeof TIERS)[number];

type Quota = Readonly<{
  /** Input tokens of all batches of one model that have not ended. */
  enqueuedTokens: Readonly<Record<ModelName, number>>;
  /** A call counts as a request for each text in it. */
  interactiveRequestsPerMinute: number;
  interactiveTokensPerMinute: number;
}>;

/** Whether both models draw on one quota is not published; each is taken to have its own. */
function sameForBoth(tokens: number): Quota["enqueuedTokens"] {
  return { "gemini-embedding-001": tokens, "gemini-embedding-2": tokens };
}

/** By the project's tier. Free projects have no Batch API. */
export const QUOTAS: Readonly<Record<Tier, Quota>> = {
  "1": {
    enqueuedTokens: sameForBoth(500_000),
    interactiveRequestsPerMinute: 3_000,
    interactiveTokensPerMinute: 1_000_000,
  },
  "2": {
    enqueuedTokens: sameForBoth(5_000_000),
    interactiveRequestsPerMinute: 5_000,
    interactiveTokensPerMinute: 5_000_000,
  },
  "3": {
    enqueuedTokens: sameForBoth(10_000_000),
    interactiveRequestsPerMinute: 10_000,
    interactiveTokensPerMinute: 10_000_000,
  },
};

/** Of a project, whatever its tier. */
export const PROJECT_LIMITS = {
  /** Batches that have not ended. */
  activeBatches: 100,
  /** All files, uploaded and made by batches. */
  storageBytes: 20_000_000_000,
  fileBytes: 2_000_000_000,
  /** In which the quota of enqueued tokens, once used up, was seen to come back. */
  refillMinutes: 12.5,
  /** From the creation of a batch to its end on a quiet day; the service aims at 24 hours. */
  turnaroundMinutes: 10,
} as const;

const LIMITS_PAGE = {
  asOf: "2026-08-18",
  source: "https://ai.google.dev/gemini-api/docs/rate-limits",
} as const;

/** Where each limit above comes from. */
export const LIMIT_SOURCES: Readonly<
  Record<keyof Quota | keyof typeof PROJECT_LIMITS, Provenance>
> = {
  enqueuedTokens: LIMITS_PAGE,
  activeBatches: LIMITS_PAGE,
  storageBytes: LIMITS_PAGE,
  fileBytes: LIMITS_PAGE,
  interactiveRequestsPerMinute: {
    asOf: "2025-12-01",
    source: "the same page before it stopped to print them; AI Studio shows a project's own",
  },
  interactiveTokensPerMinute: {
    asOf: "2025-12-01",
    source: "the same page before it stopped to print them; AI Studio shows a project's own",
  },
  refillMinutes: {
    asOf: "2026-11-22",
    source: "published runs: 10 to 20 minutes were reported, the service says nothing",
  },
  turnaroundMinutes: {
    asOf: "2026-11-22",
    source: "recorded batches: 1.5 to 6 minutes for a few rows, and some more for many",
  },
};

/** US dollars for a million tokens, by model and lane. */
export type Prices = (model: ModelName, lane: JobLane) => number;

/** The table's prices; one that is given stands in place of the table's, for every model. */
export function pricesOf(
  given: Readonly<{ price?: number | undefined; priceSync?: number | undefined }>,
): Prices {
  const own = { batch: given.price, sync: given.priceSync };
  return (model, lane) => own[lane] ?? PRICES[model][lane].usdPerMillionTokens;
}

const TOKENS_PER_PRICE = 1_000_000;

/** In US dollars. */
export function priceOf(tokens: number, usdPerMillionTokens: number): number {
  return (tokens / TOKENS_PER_PRICE) * usdPerMillionTokens;
}
