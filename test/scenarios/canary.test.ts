// A setting is wrong in a way that only results show. Is the whole table paid for before anybody
// notices, and does a small run wait twice for nothing?
import { expect, test } from "vitest";
import { simulate, type Scenario } from "../../bench/quota/simulation.ts";
import { systemClock } from "../../src/clock.ts";
import { UserError } from "../../src/errors.ts";
import { openManifest } from "../../src/jobs-folder/open.ts";
import { Canary } from "../../src/quota/canary.ts";
import { isOneOf } from "../../src/row/target.ts";
import { newJob, TARGET, temporaryFolder } from "../manifest/sample.ts";

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
  const manifest = await openManifest(await temporaryFolder(), systemClock);
  const other = { ...TARGET, table: "answers" };
  for (const target of [TARGET, TARGET, other])
    await manifest.recordExported(newJob(await manifest.reserveJobId(), { target }));
  const all = { targets: [TARGET], has: isOneOf([TARGET]) };
  const mayStart = new Canary({ manifest, refuses: () => false }, all, new Set()).gate();
  expect(manifest.jobs().map(mayStart)).toEqual([true, false, true]);
  await manifest.close();
});

test("of tables that were asked for as one, the trial is of the first that takes vectors", async () => {
  const manifest = await openManifest(await temporaryFolder(), systemClock);
  const other = { ...TARGET, table: "answers" };
  for (const target of [TARGET, other, other])
    await manifest.recordExported(newJob(await manifest.reserveJobId(), { target }));
  const all = { targets: [TARGET, other], has: () => true };
  const its = { manifest, refuses: isOneOf([TARGET]) };
  const mayStart = new Canary(its, all, new Set()).gate();
  expect(manifest.jobs().map(mayStart)).toEqual([true, true, false]);
  await manifest.close();
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
