// What will it cost and how long will it take? Does `plan` say before the run what the bill says after
// it, in any script and however the service counts, and does it leave everything as it was?
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GeminiError } from "../../src/gemini/port.ts";
import { pricesOf, PROJECT_LIMITS } from "../../src/cost/tariff.ts";
import { correctionOf } from "../../src/cost/correction.ts";
import { NEW_QUOTA } from "../../src/manifest/quota/quota-log.ts";
import { JobCount } from "../../src/plan/job-count.ts";
import { batchSeconds, learnedSeconds, syncSeconds } from "../../src/quota/duration.ts";
import { usdOfRun } from "../../src/plan/lane-cost.ts";
import { plan, type PlanOptions, type PlanServices } from "../../src/plan/plan.ts";
import { planTable } from "../../src/commands/plan/plan-table.ts";
import { writingOf } from "../../src/plan/writing.ts";
import { NO_ROWS } from "../../src/row/sums.ts";
import { range, startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { sized } from "../size.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const WORDS = "river which city is the largest of all continents by mountain border name".split(
  " ",
);
const HAN = "世界上最长的河流是哪一条请问它流过几个国家";
const KANA = "にほんでいちばんたかいやまはどれですか";

/** English questions, Chinese and Japanese sentences, and lines of code, in no order. */
function mixedTexts(rows: number): string[] {
  return range(1, rows).map((n) => {
    const english = range(0, 5 + (n % 9)).map((i) => WORDS[(n * 7 + i * 3) % WORDS.length]);
    const code = `function f${n}(x) { return x.rows[${n % 50}] ?? { id: ${n}, ok: ${n % 2 === 0} }; }`;
    const kinds = [english.join(" "), HAN.slice(n % 9), KANA.slice(n % 7) + n, code, `${n}?`];
    return kinds[(n * n + 3 * n) % kinds.length] ?? "";
  });
}

function planned(
  trial: Trial,
  changes: Partial<PlanOptions> = {},
  instead: Partial<PlanServices> = {},
) {
  return trial.services({}, (services) =>
    plan(
      { ...services, ...instead },
      {
        target: trial.target,
        bounds: { maxRows: 300, maxTokens: 200_000, maxBytes: 10_000_000 },
        limit: undefined,
        onTooLong: "skip",
        countsDistinct: true,
        prices: pricesOf({}),
        tier: "1",
        maxEnqueuedTokens: 500_000,
        maxAttempts: 3,
        ...changes,
      },
    ),
  );
}

function within(percent: number, of: number) {
  return [of * (1 - percent / 100), of * (1 + percent / 100)] as const;
}

function expectWithin(value: number, [least, most]: readonly [number, number]): void {
  expect(value).toBeGreaterThanOrEqual(least);
  expect(value).toBeLessThanOrEqual(most);
}

const ROWS = sized({ quick: 1_200, full: 2_500 });
const LARGE = { maxRows: 300, maxTokens: 200_000, maxBytes: 10_000_000 };

describe.each(sized({ quick: ["bytes"], full: ["words", "characters", "bytes"] } as const))(
  "where tokens are counted by %s",
  (tokenizer) => {
    test("the plan is within 5% of the bill, in tokens and in dollars, and exact in rows and jobs", async () => {
      const trial = await startTrial(workshop, mixedTexts(ROWS), { tokenizer });
      const before = await planned(trial);
      const { requests, cost } = await trial.run({
        export: trial.exportOptions({ bounds: LARGE }),
      });
      expect(before.total).toMatchObject({ rows: requests, jobs: (await trial.jobs()).length });
      expectWithin(before.total.tokens, within(5, cost.tokens));
      expectWithin(before.total.usd, within(5, cost.usd));
      expect(before.usdSync).toBeCloseTo(before.total.usd * 2, 12);
    });
  },
);

describe("what was learned", () => {
  test("from a sample is kept, and the jobs' estimates are near their bills", async () => {
    const trial = await startTrial(workshop, mixedTexts(ROWS), { tokenizer: "bytes" });
    const { sample } = await planned(trial);
    if (sample === undefined) throw new Error("no sample");
    expect(sample).toMatchObject({ rows: 1_000 });
    await trial.services({}, ({ manifest }) => manifest.recordCounted(trial.target, sample));
    await trial.run({ export: trial.exportOptions({ bounds: LARGE }) });
    const jobs = await trial.jobs();
    const estimated = jobs.reduce((sum, job) => sum + job.tokens, 0);
    const billed = jobs.reduce((sum, job) => sum + (job.billedTokens ?? 0), 0);
    expectWithin(estimated, within(5, billed));
    expect(jobs[0]?.uncorrectedTokens).toBeLessThan((jobs[0]?.tokens ?? 0) * 0.9);
  });

  test("from bills alone corrects a plan that has no key", async () => {
    const trial = await startTrial(workshop, mixedTexts(ROWS), { tokenizer: "bytes" });
    const blind = await planned(trial, {}, { gemini: undefined });
    expect(blind.correction).toEqual({ ratio: 1, by: "nothing", tokens: 0 });
    await trial.run({ export: trial.exportOptions({ bounds: LARGE, limit: ROWS / 2 }) });
    const after = await planned(trial, {}, { gemini: undefined });
    expect(after.correction.by).toBe("bill");
    const { cost } = await trial.run({ export: trial.exportOptions({ bounds: LARGE }) });
    expectWithin(after.total.tokens, within(5, cost.tokens));
    expect(Math.abs(blind.total.tokens / 2 - cost.tokens)).toBeGreaterThan(cost.tokens * 0.1);
  });

  test("is believed by how much it rests on, and never when it cannot be", async () => {
    const trial = await startTrial(workshop, texts(20));
    await trial.run();
    const jobs = await trial.jobs();
    const large = { rows: 9, estimated: 1_000_000, counted: 2_000_000 };
    expect(correctionOf(jobs, large, trial.target)).toMatchObject({ ratio: 2, by: "count" });
    const small = { rows: 1, estimated: 5, counted: 10 };
    expect(correctionOf(jobs, small, trial.target).by).toBe("bill");
    const nonsense = { rows: 9, estimated: 1_000_000, counted: 0 };
    expect(correctionOf([], nonsense, trial.target)).toMatchObject({ ratio: 1, by: "nothing" });
    expect(correctionOf(jobs, undefined, { ...trial.target, text: "other" }).by).toBe("nothing");
  });
});

describe("the plan", () => {
  test("spends nothing and writes nothing", async () => {
    const trial = await startTrial(workshop, texts(8));
    await trial.export({ limit: 3 });
    const before = await trial.text("manifest.ndjson");
    await planned(trial);
    expect(await trial.text("manifest.ndjson")).toBe(before);
    expect(await trial.files()).toEqual(["0001.requests.jsonl", "manifest.ndjson"]);
    expect(trial.emulator.batches()).toEqual([]);
    expect(trial.emulator.embeddedNow()).toBe(0);
  });

  test("goes on without a sample where Gemini does not count, and says so", async () => {
    const trial = await startTrial(workshop, texts(8));
    workshop.events.length = 0;
    const broken = {
      ...workshop.gemini,
      countTokens: () => Promise.reject(new GeminiError("uncertain", "the service is away")),
    };
    const { correction, total } = await planned(trial, {}, { gemini: broken });
    expect([correction.by, total.rows]).toEqual(["nothing", 8]);
    expect(workshop.events.filter(({ type }) => type === "warning")).toMatchObject([
      { message: expect.stringContaining("the service is away") },
    ]);
  });

  test("counts what waits, what is sent again, what repeats itself, and what is left out", async () => {
    const long = "word ".repeat(3_000);
    const trial = await startTrial(workshop, [...texts(4), "again", "again", "", long], {
      faults: "batch-fail=1x",
    });
    await trial.untilEnded({ limit: 2 });
    await trial.export({ limit: 1 });
    const { pending, waiting, retried, total, ...rest } = await planned(trial);
    expect([pending.rows, waiting.rows, retried.rows, total.rows]).toEqual([3, 1, 2, 6]);
    expect(total.usd).toBeCloseTo(pending.usd + waiting.usd + retried.usd, 12);
    expect(rest.skipped).toEqual({
      empty: 1,
      tooLong: 1,
      inFlight: 1,
      failedBefore: 2,
      paidBefore: 0,
    });
    expect(rest.distinctTexts).toBe(2);
    expect([pending.copies, total.copies]).toEqual([1, 1]);
    expect(rest.savedTokens).toBeGreaterThan(0);
    expect(rest.spentUsd).toBeGreaterThan(0);
  });

  test("counts of failed rows those alone that are sent again", async () => {
    const trial = await startTrial(workshop, texts(4));
    await trial.export();
    await trial.services({}, async ({ manifest }) => {
      const sums = { ...NO_ROWS, requests: 4, failed: 4 };
      const outstanding = { lines: 4, retryable: 1 };
      const ended = { error: { message: "it failed" }, sums, outstanding };
      await manifest.record({ type: "cancelled", job: "0001", ...ended });
    });
    expect((await planned(trial)).retried).toMatchObject({ rows: 1, jobs: 1 });
  });

  test("of a table with nothing to do says so", async () => {
    const trial = await startTrial(workshop, []);
    const nothing = await planned(trial);
    expect(nothing.total).toEqual({ rows: 0, copies: 0, tokens: 0, jobs: 0, usd: 0 });
    expect(nothing.seconds.batch).toBe(0);
    expect(planTable(nothing, 1e12, "1")).toContain("Nothing new to send.");
  });
});

test("what Gemini counted of a sample stands beside our own estimate of it", async () => {
  const trial = await startTrial(workshop, texts(3));
  const correction = { by: "count", ratio: 1.0537, tokens: 1_677 } as const;
  expect(planTable({ ...(await planned(trial)), correction }, 1e12, "1")).toMatch(
    /with \+5\.4% from a sample that Gemini counted \(1,767 tokens; our estimate: 1,677\)$/m,
  );
});

test.each(["pending", "waiting", "retried"])(
  "with --lane auto, rows that are %s count at the price at which they go",
  (which) => {
    const none = { rows: 0, copies: 0, tokens: 0, jobs: 0, usd: 0 };
    const some = { rows: 10, copies: 0, tokens: 1_000_000, jobs: 1, usd: 0.075 };
    const portions = { pending: none, waiting: none, retried: none, [which]: some };
    const price = { batch: 0.075, sync: 0.15 };
    const usd = (syncUpToTokens: number) =>
      usdOfRun(
        { ...portions, total: some, usdSync: 0.15, price },
        { lane: "auto", syncUpToTokens },
      );
    expect([usd(1_000_000), usd(999_999)]).toEqual([0.15, 0.075]);
  },
);

describe("the time by what was learned", () => {
  const MINUTE_MS = 60_000;
  const learned = { ...NEW_QUOTA, limit: 250_000 };

  test("is not told before anything was refused, then follows the limit or the pace", () => {
    expect(learnedSeconds(1_000_000, [NEW_QUOTA], 500_000)).toBeUndefined();
    expect(learnedSeconds(1_000_000, [learned], 500_000)).toBe(batchSeconds(1_000_000, 250_000));
    expect(learnedSeconds(1_000_000, [learned], 100_000)).toBe(batchSeconds(1_000_000, 100_000));
    const bucket = { ...learned, pace: 10_000 / MINUTE_MS };
    const minutes = 75 + PROJECT_LIMITS.turnaroundMinutes;
    expect(learnedSeconds(1_000_000, [bucket], 500_000)).toBe(minutes * 60);
    expect(learnedSeconds(0, [bucket], 500_000)).toBe(0);
  });

  test("stands in the plan beside the time by tier", async () => {
    const trial = await startTrial(workshop, texts(60));
    const before = await planned(trial, { bounds: LARGE });
    expect(before.seconds.learned).toBeUndefined();
    expect(planTable(before, 1e12, "1")).not.toContain("learned from refusals");
    await trial.export({ limit: 1, bounds: LARGE });
    await trial.export({ limit: 1, bounds: LARGE });
    await trial.services({}, async ({ manifest }) => {
      const intent = { type: "submitting", displayName: "one", submission: 1, keyId: "a" } as const;
      await manifest.record({ ...intent, job: "0001" });
      const made = { batch: "batches/1", adopted: false, keyId: "a" };
      await manifest.record({ type: "submitted", job: "0001", ...made });
      await manifest.record({ ...intent, job: "0002" });
      const error = { code: 429, message: "quota" };
      await manifest.record({ type: "refused", job: "0002", error, fileGone: false });
    });
    const after = await planned(trial, { bounds: LARGE });
    expect(after.seconds.learned).toBeGreaterThan(after.seconds.batch);
    expect(planTable(after, 1e12, "1")).toMatch(/ by what was learned from refusals here/);
  });
});

function withRows(count: JobCount): JobCount {
  for (let row = 0; row < 1_000; row += 1) count.add({ rows: 1, tokens: 10, bytes: 100 });
  return count;
}

describe("the number of jobs", () => {
  test.each(sized({ quick: [], full: [true, false] }))(
    "is the run's, copies too, with rows that repeat (a canary: %s)",
    { timeout: 120_000 },
    async (canary) => {
      // most texts stand twice, and not in the same hundred
      const rows = range(1, 5_200).map((n) => `Question number ${n % 1_150}?`);
      const trial = await startTrial(workshop, rows);
      const bounds = { maxRows: 1_300, maxTokens: 1_000_000, maxBytes: 100_000_000 };
      const { pending } = await planned(trial, { bounds, canary });
      await trial.run({ export: trial.exportOptions({ bounds }), canary });
      const jobs = await trial.jobs();
      const copies = jobs.reduce((sum, job) => sum + (job.copies?.rows ?? 0), 0);
      expect(pending).toMatchObject({ rows: 5_200, jobs: jobs.length, copies });
      expect(jobs[0]?.requests).toBe(canary ? 100 : 1_300);
    },
  );

  test("counts no canary where a job of the target is on its way, as run cuts none", async () => {
    const trial = await startTrial(workshop, texts(5_200));
    await trial.export({ limit: 10 });
    const bounds = { maxRows: 1_300, maxTokens: 1_000_000, maxBytes: 100_000_000 };
    const { pending } = await planned(trial, { bounds, canary: true });
    expect(pending).toMatchObject({ rows: 5_190, jobs: 4 });
  });

  test("counts a canary that its tokens cut in two, and none where jobs are as small", () => {
    expect(
      withRows(new JobCount({ maxRows: 1_000, maxTokens: 500, maxBytes: 1e9 })).jobs(1, true),
    ).toBe(20);
    expect(
      withRows(new JobCount({ maxRows: 50, maxTokens: 1e9, maxBytes: 1e9 })).jobs(1, true),
    ).toBe(20);
  });

  test("counts the canary, which takes the first hundred rows", () => {
    const count = new JobCount({ maxRows: 1_000, maxTokens: 1e9, maxBytes: 1e9 });
    for (let row = 0; row < 2_100; row += 1) count.add({ rows: 1, tokens: 10, bytes: 100 });
    expect(count.jobs(1)).toBe(3);
    expect(count.jobs(1, true)).toBe(3);
    count.add({ rows: 1, tokens: 10, bytes: 100 });
    expect(count.jobs(1, true)).toBe(4);
  });

  test.each([
    [40, 248, 7],
    [60, 204, 4],
    [99, 1_000, 11],
  ])("counts jobs of %i rows whole: %i rows", (maxRows, rows, jobs) => {
    const count = new JobCount({ maxRows, maxTokens: 1e9, maxBytes: 1e9 });
    for (let n = 0; n < rows; n += 1) count.add({ rows: 1, tokens: 10, bytes: 200 });
    expect(count.jobs(1, true)).toBe(jobs);
  });

  test.each([
    ["rows", { maxRows: 1_000, maxTokens: 1e9, maxBytes: 1e9 }, 1, 10],
    ["tokens", { maxRows: 1e9, maxTokens: 30_000, maxBytes: 1e9 }, 1, 4],
    [
      "tokens that are more than estimated",
      { maxRows: 1e9, maxTokens: 30_000, maxBytes: 1e9 },
      2,
      7,
    ],
    ["bytes", { maxRows: 1e9, maxTokens: 1e9, maxBytes: 500_000 }, 1, 4],
    [
      "rows, fewer than are counted together",
      { maxRows: 10, maxTokens: 1e9, maxBytes: 1e9 },
      1,
      1_000,
    ],
  ])("follows %s", (_, bounds, ratio, jobs) => {
    const count = new JobCount(bounds);
    for (let n = 0; n < 10_000; n += 1) count.add({ rows: 1, tokens: 10, bytes: 200 });
    expect(count.jobs(ratio)).toBe(jobs);
  });
});

describe("the time", () => {
  const { refillMinutes, turnaroundMinutes } = PROJECT_LIMITS;

  test("is that of one batch while the queue holds all, and then of its refills", () => {
    expect(batchSeconds(0, 500_000)).toBe(0);
    expect(batchSeconds(400_000, 500_000)).toBe(turnaroundMinutes * 60);
    expect(batchSeconds(5_000_000, 500_000)).toBe((9 * refillMinutes + turnaroundMinutes) * 60);
  });

  test("through the interactive API is that of its requests or its tokens", () => {
    expect(syncSeconds(30_000, 1, "1")).toBe(600);
    expect(syncSeconds(1, 10_000_000, "1")).toBe(600);
  });

  test("of writing tells what an index and a trigger cost", async () => {
    const description = await workshop.store.describe();
    const index = { name: "by_vector", method: "hnsw", definition: "", valid: true };
    const slow = writingOf(100_000, { ...description, embeddingIndexes: [index] });
    expect(slow.annIndexes).toEqual(["by_vector"]);
    expect(slow.seconds).toBeGreaterThan(20 * slow.bareSeconds);
    expect(writingOf(100_000, description).seconds).toBe(slow.bareSeconds);
    expect(slow.rebuildSeconds).toBeLessThan(slow.seconds);
    const few = writingOf(100, { ...description, embeddingIndexes: [index] }, 1_000_000);
    expect(few.rebuildSeconds).toBeGreaterThan(few.seconds);
    expect(writingOf(100, description).rebuildSeconds).toBe(undefined);
  });
});
