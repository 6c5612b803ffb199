/** One full run with one fault in it, then runs without until the work is done; then the books. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { connectGemini } from "../../src/gemini/client.ts";
import { retryingGemini } from "../../src/gemini/retry.ts";
import { readManifest } from "../../src/job/manifest.ts";
import { run } from "../../src/run/run.ts";
import { createSqlStore } from "../../src/store/sql-store.ts";
import { withRetry } from "../../src/store/retry.ts";
import { balanced } from "../../src/sums.ts";
import { API_KEY, hastyClock, type Workshop } from "../workshop.ts";
import { Border, borderDatabase, borderFetch, type Fault, underTest } from "./outside.ts";

const ROWS = 7;
const ROWS_PER_JOB = 3;
const MAX_RECOVERIES = 4;

export type SweptRun = Readonly<{ hit: string | undefined; calls: number }>;

/** Throws where a promise was broken; the message names the fault. */
export async function runWithFault(
  workshop: Workshop,
  fault: Fault,
  reconcileGraceMs = 20,
): Promise<SweptRun> {
  // texts of their own, so that what is billed can be told apart from other faults' runs
  const texts = Array.from({ length: ROWS }, (_, index) => `${JSON.stringify(fault)} row ${index}`);
  await workshop.seed(texts.map((text, index) => ({ id: index + 1, text })));
  const border = new Border(fault);
  await underTest.run(border, () => tryToRun(workshop, reconcileGraceMs)).catch(() => {});
  await border.quiet();
  // what a dead process holds is let go by the system; here it is let go by hand
  await rm(join(workshop.folder, "manifest.lock"), { force: true });
  await recover(workshop, fault, reconcileGraceMs);
  await checkTheBooks(workshop, fault, texts);
  return { hit: border.hit, calls: border.calls };
}

async function recover(workshop: Workshop, fault: Fault, graceMs: number): Promise<void> {
  for (let attempt = 0; attempt < MAX_RECOVERIES; attempt++) {
    const summary = await tryToRun(workshop, graceMs);
    if (summary.pending.length === 0 && summary.remaining === 0) return;
  }
  expect.fail(`not finished after ${MAX_RECOVERIES} runs, ${JSON.stringify(fault)}`);
}

function tryToRun(workshop: Workshop, reconcileGraceMs: number) {
  const { target, emulator } = workshop;
  const options = { apiKey: API_KEY, baseUrl: emulator.url, fetch: borderFetch };
  const gemini = retryingGemini(connectGemini(options), hastyClock);
  const store = withRetry(
    createSqlStore(borderDatabase(workshop.database), target, { where: undefined }),
    { clock: hastyClock, report: () => {} },
  );
  return workshop.withServices((services) =>
    run(
      { ...services, gemini, store, clock: hastyClock, storeOf: async () => store },
      {
        export: {
          target,
          bounds: { ...workshop.bounds, maxRows: ROWS_PER_JOB },
          limit: undefined,
          onTooLong: "skip",
          dryRun: false,
        },
        window: { maxActiveJobs: 90, maxEnqueuedTokens: 500_000 },
        reconcileGraceMs,
        quotaWaitMs: 20,
        pollIntervalMs: 5,
        maxAttempts: 3,
        timeoutMs: undefined,
      },
    ),
  );
}

async function checkTheBooks(
  { emulator, folder, ...workshop }: Workshop,
  fault: Fault,
  texts: readonly string[],
): Promise<void> {
  const where = JSON.stringify(fault);
  const billing = await emulator.billing();
  const manifest = await readManifest(folder);
  expect(await workshop.rightIds(), where).toEqual(texts.map((_, index) => index + 1));
  const keys = await workshop.keys();
  expect(
    keys.map((key) => billing.get(key)),
    where,
  ).toEqual(texts.map(() => 1));
  expect(manifest.warnings, where).toEqual([]);
  for (const job of manifest.jobs()) {
    expect(job, where).toMatchObject({ state: "imported", duplicateBatches: [] });
    expect(job.sums !== undefined && balanced(job.sums), where).toBe(true);
  }
}
