// What has it cost so far, and what may still be sent? The figure must never be too low: a limit on
// cost rests on it. And where does each price and each limit come from?
import { describe, expect, test } from "vitest";
import {
  LIMIT_SOURCES,
  PRICES,
  PROJECT_LIMITS,
  type Provenance,
  priceOf,
  pricesOf,
  QUOTAS,
  TIERS,
} from "../../src/cost/tariff.ts";
import {
  type CostLimit,
  costOf,
  costStop,
  spentForTarget,
  spentOn,
  withinLimit,
} from "../../src/cost/cost.ts";
import { apply, emptyState, indexOf } from "../../src/manifest/fold.ts";
import type { Job } from "../../src/manifest/job.ts";
import { JobIndex } from "../../src/manifest/job-index.ts";
import { TARGET } from "../manifest/sample.ts";

const AT = "2026-11-23T08:00:00.000Z";
const PUBLISHED = pricesOf({});

/** A job as the journal tells it just after it was exported. */
function exported(changes: Partial<Job> = {}): Job {
  const state = emptyState();
  apply(state, { type: "target", at: AT, number: 0, target: TARGET });
  const file = { bytes: 1, sha256: "a".repeat(64) };
  const made = { job: "0001", target: 0, requests: 3, tokens: 1_000_000, file, attempt: 1 };
  apply(state, { type: "exported", at: AT, ...made });
  const [job] = indexOf(state).all();
  if (job === undefined) throw new Error("no job");
  return { ...job, ...changes };
}

function limit(maxUsd: number) {
  return { maxUsd, prices: PUBLISHED };
}

const sent = { submissions: 1, batch: "batches/a" };

describe("the table of prices and limits", () => {
  const provenances: Provenance[] = [
    ...Object.values(PRICES).flatMap((lanes) => Object.values(lanes)),
    ...Object.values(LIMIT_SOURCES),
  ];

  test("tells for each figure where it comes from and since when", () => {
    for (const { asOf, source } of provenances) {
      expect(asOf).toMatch(/^\d{4}-\d\d-\d\d$/);
      expect(source.length).toBeGreaterThan(10);
    }
    const figures = [...Object.keys(QUOTAS["1"]), ...Object.keys(PROJECT_LIMITS)];
    expect(Object.keys(LIMIT_SOURCES).sort()).toEqual(figures.sort());
  });

  test("gives a batch at half the interactive price, and a higher tier no less", () => {
    for (const { batch, sync } of Object.values(PRICES)) {
      expect(batch.usdPerMillionTokens).toBe(sync.usdPerMillionTokens / 2);
    }
    const queues = TIERS.map((tier) => QUOTAS[tier].enqueuedTokens["gemini-embedding-001"]);
    expect(queues).toEqual(queues.toSorted((a, b) => a - b));
  });

  test("can be overridden, by lane", () => {
    const prices = pricesOf({ price: 0.05 });
    expect(prices("gemini-embedding-2", "batch")).toBe(0.05);
    expect(prices("gemini-embedding-2", "sync")).toBe(0.2);
    expect(pricesOf({ priceSync: 0 })("gemini-embedding-001", "sync")).toBe(0);
    expect(priceOf(15_000_000, 0.075)).toBeCloseTo(1.125, 12);
  });
});

describe("a job", () => {
  test("costs its estimate until Gemini has counted, and then what Gemini counted", () => {
    expect(costOf(exported(), PUBLISHED)).toEqual({ tokens: 1e6, usd: 0.075, billedUsd: 0 });
    const billed = exported({ ...sent, state: "imported", billedTokens: 2_000_000 });
    expect(costOf(billed, PUBLISHED)).toEqual({ tokens: 2e6, usd: 0.15, billedUsd: 0.15 });
  });

  test("with a second batch costs that one too, by its estimate", () => {
    const twice = exported({ ...sent, billedTokens: 900_000, duplicateBatches: ["batches/b"] });
    const { usd, tokens, billedUsd } = costOf(twice, PUBLISHED);
    expect([usd, billedUsd, tokens]).toEqual([0.0675 + 0.075, 0.0675, 1_900_000]);
  });
});

describe("what was spent", () => {
  test.each([
    ["nothing for a job that was not sent", { state: "exported" }, 0],
    ["nothing for one whose create was refused", { state: "exported", submissions: 3 }, 0],
    ["nothing for one that was given up unsent", { state: "cancelled" }, 0],
    ["the estimate for one whose create has no answer", { state: "submitting", submissions: 1 }, 1],
    ["the estimate for one that waits at Gemini", { state: "submitted", ...sent }, 1],
    ["the estimate for one that has failed", { state: "failed", ...sent }, 1],
    ["the estimate for one that was cancelled at Gemini", { state: "cancelled", ...sent }, 1],
    ["the estimate for one given up in doubt", { state: "cancelled", unanswered: true }, 1],
    ["nothing for one given up after it was refused", { state: "cancelled", submissions: 1 }, 0],
    ["the estimate for one embedded at once and given up", { state: "cancelled", lane: "sync" }, 1],
    ["the bill for one whose vectors were taken back", { state: "rolledBack", ...sent }, 1],
  ] as const)("is %s", (_, changes, jobs) => {
    expect(spentOn([exported(changes)], PUBLISHED).tokens).toBe(jobs * 1_000_000);
  });

  test("is told for each target by itself", () => {
    const other = { ...TARGET, table: "answers" };
    const jobs = [
      exported({ ...sent, state: "submitted" }),
      exported({ ...sent, state: "submitted", target: other }),
    ];
    expect(spentOn(jobs, PUBLISHED).usd).toBe(0.15);
    expect(spentForTarget(jobs, other, PUBLISHED).usd).toBe(0.075);
  });
});

describe("a limit", () => {
  const running = exported({ ...sent, id: "0001", state: "submitted" });
  const next = exported({ id: "0002" });

  test("lets through what just reaches it, and stops what would pass it", () => {
    const jobs = [running, next];
    expect(passing(jobs, limit(0.15))).toEqual([next]);
    expect(costStop(new JobIndex(jobs), limit(0.15))).toBeUndefined();
    expect(passing(jobs, limit(0.149))).toEqual([]);
    expect(costStop(new JobIndex(jobs), limit(0.149))).toEqual({
      neededUsd: 0.15,
      spentUsd: 0.075,
      maxUsd: 0.149,
    });
  });

  test("that is below what was spent already, or nothing at all, stops everything", () => {
    expect(passing([running, next], limit(0.01))).toEqual([]);
    expect(passing([next], limit(0))).toEqual([]);
  });

  test("counts what other tables cost not at all, and is none where none is set", () => {
    const elsewhere = { ...running, target: { ...TARGET, table: "answers" } };
    expect(passing([elsewhere, next], limit(0.1))).toEqual([next]);
    expect(passing([running, running, next], undefined)).toEqual([next]);
  });
});

function passing(jobs: readonly Job[], given: CostLimit | undefined): Job[] {
  return [...withinLimit(new JobIndex(jobs), given)];
}
