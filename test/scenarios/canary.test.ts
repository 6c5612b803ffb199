// A setting is wrong in a way that only results show. Is the whole table paid for before anybody
// notices, and does a small run wait twice for nothing?
import { expect, test } from "vitest";
import { simulate, type Scenario } from "../../bench/quota/simulation.ts";
import { UserError } from "../../src/errors.ts";
import { Canary } from "../../src/quota/canary.ts";
import { isOneOf } from "../../src/row/target.ts";
import { emptyManifest, newJob, TARGET } from "../manifest/sample.ts";

const BATCH_MS = 600_000;
const BIG: Scenario = {
  rows: 6_000,
  tokensPerRow: 10,
  window: { maxActiveJobs: 90, maxEnqueuedTokens: 500_000, isAdvertised: true },
  bounds: { maxRows: 1_500, maxTokens: 50_000, maxBytes: 10_000_000 },
  quota: {
    kind: "level",
    tokens: 500_000,
    refillMs: 750_000,
    change: undefined,
    cancelled: "released",
  },
  batchMs: BATCH_MS,
  canary: true,
};

test("a hundred rows are in the column before the rest is sent, and then it goes at once", async () => {
  const { batches, written } = await simulate(BIG);
  expect(batches.map(({ requests }) => requests)).toEqual([100, 1_500, 1_500, 1_500, 1_400]);
  const [first, second, ...others] = batches.map(({ atMs }) => atMs);
  expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(BATCH_MS);
  expect((others.at(-1) ?? 0) - (second ?? 0)).toBeLessThan(BATCH_MS);
  expect(written).toBe(6_000);
});

test("jobs of other tables do not wait for the trial of one", async () => {
  const manifest = await emptyManifest();
  const other = { ...TARGET, table: "answers" };
  for (const target of [TARGET, TARGET, other])
    await manifest.recordExported(newJob(await manifest.reserveJobId(), { target }));
  const all = { targets: [TARGET], has: isOneOf([TARGET]) };
  const mayStart = new Canary({ manifest, refuses: () => false }, all, new Set()).gate();
  expect(manifest.jobs().map(mayStart)).toEqual([true, false, true]);
});

test.each([
  { failed: 50, isThrough: true },
  { failed: 51, isThrough: false },
])("a trial of 100 rows of which $failed fail: through is $isThrough", async (its) => {
  const manifest = await emptyManifest();
  const job = await manifest.reserveJobId();
  const file = { bytes: 1, sha256: "b".repeat(64) };
  const { failed } = its;
  await manifest.recordExported(newJob(job, { requests: 100 }));
  await manifest.record({ type: "submitting", job, displayName: "d", submission: 1 });
  await manifest.record({ type: "submitted", job, batch: "batches/b", adopted: false, keyId: "k" });
  await manifest.record({ type: "succeeded", job, resultsName: "files/r" });
  await manifest.record({ type: "downloaded", job, file });
  await manifest.record({
    type: "imported",
    job,
    sums: { requests: 100, written: 100 - failed, failed, stale: 0, filled: 0, gone: 0 },
    outstanding: { lines: failed, retryable: 0 },
    failedFile: file,
  });
  const all = { targets: [TARGET], has: isOneOf([TARGET]) };
  const canary = new Canary({ manifest, refuses: () => false }, all, new Set());
  expect([canary.isThrough, canary.hasFallen()]).toEqual([its.isThrough, !its.isThrough]);
});

test("of tables that were asked for as one, the trial is of the first that takes vectors", async () => {
  const manifest = await emptyManifest();
  const other = { ...TARGET, table: "answers" };
  for (const target of [TARGET, other, other])
    await manifest.recordExported(newJob(await manifest.reserveJobId(), { target }));
  const all = { targets: [TARGET, other], has: () => true };
  const its = { manifest, refuses: isOneOf([TARGET]) };
  const mayStart = new Canary(its, all, new Set()).gate();
  expect(manifest.jobs().map(mayStart)).toEqual([true, true, false]);
});

test("vectors of the wrong width: the run ends there, and says what to do", async () => {
  const failed = await simulate({ ...BIG, dimensionsGiven: 64 }).catch((error: unknown) => error);
  if (!(failed instanceof UserError)) throw failed;
  expect(failed.exit).toBe("fatal");
  expect(failed.message).toMatch(
    /first 100 rows.*job 0001.*100 failed: .*64.*Nothing else was sent/,
  );
  expect(failed.hint).toMatch(/vecfill jobs 0001.*--no-canary/);
});

test.each([
  { why: "few rows cost little", changes: { rows: 4_000 } },
  { why: "with --no-canary", changes: { canary: false } },
])("$why: all goes at once", async ({ changes }) => {
  const { batches } = await simulate({ ...BIG, ...changes });
  expect(batches[0]?.requests).toBe(1_500);
  const times = batches.map(({ atMs }) => atMs);
  expect(Math.max(...times) - Math.min(...times)).toBeLessThan(BATCH_MS);
});
