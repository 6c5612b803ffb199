// Whoever takes over the batches of a lost folder may be killed at any step, and meet any fault: is every row
// filled in the end, and no line paid for twice?
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importEnded, poll, submit } from "../../src/run/alone.ts";
import { exportAll } from "../../src/export/export.ts";
import { connectGemini } from "../../src/gemini/client.ts";
import { retryingGemini } from "../../src/gemini/retry.ts";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import { readManifest } from "../../src/jobs-folder/open.ts";
import { isOpen } from "../../src/manifest/states.ts";
import { targetMark } from "../../src/jobs-folder/batch-names.ts";
import { failureOf } from "../../src/output/failure.ts";
import { pricesOf } from "../../src/cost/tariff.ts";
import type { Job } from "../../src/manifest/job.ts";
import { run } from "../../src/run/run.ts";
import { balanced } from "../../src/row/sums.ts";
import { createSqlStore } from "../../src/store/postgres/sql-store.ts";
import { withRetry } from "../../src/store/retry.ts";
import { recoverable, recoverBatches } from "../../src/submit/recover.ts";
import { borderDisk } from "./faults/border-disk.ts";
import { Border, borderDatabase, borderFetch, type Fault, underTest } from "./faults/outside.ts";
import {
  API_KEY,
  hastyClock,
  openWorkshop,
  type Workshop,
  type WorkshopServices,
} from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());
borderDisk();

/** The third has the text of the first, the last that of the second. */
const TEXTS = ["one", "two", "one", "three", "four", "five", "two"];
const HOUR_MS = 3_600_000;
const TICK_MS = 20;
const ROOM = { maxActiveJobs: 90, maxEnqueuedTokens: 500_000 };
const LASTS = { stuckAfterMs: 24 * HOUR_MS, timeoutMs: undefined };

type Services = WorkshopServices & Readonly<{ targetMarkOf: () => Promise<string> }>;

/** As one process has them; what leaves it goes over the border. */
function withServices<T>(emulator: Emulator, work: (services: Services) => Promise<T>): Promise<T> {
  const { target, database } = workshop;
  const client = { apiKey: API_KEY, baseUrl: emulator.url, fetch: borderFetch };
  const clock = hastyClock;
  const gemini = retryingGemini(connectGemini(client), clock);
  const open = createSqlStore(borderDatabase(database), target, { where: undefined });
  const store = withRetry(open, { clock, report: () => {} });
  const signal = underTest.getStore()?.death ?? new AbortController().signal;
  const targetMarkOf = async () => targetMark("here", target);
  const instead = { gemini, store, storeOf: async () => store, clock, signal, targetMarkOf };
  return workshop.withServices((services) => work({ ...services, ...instead }), clock);
}

const isRecovered = ({ recovered }: Job) => recovered;

async function recover(services: Services): Promise<void> {
  const { target } = workshop;
  const its = { ...services, now: services.clock.now() };
  const batches = await recoverable(its, await services.targetMarkOf());
  await recoverBatches(services, batches, target);
  await poll(services, { ...LASTS, pollIntervalMs: 5, once: true });
  await importEnded(services, isRecovered);
}

function exportOptions(limit?: number) {
  const { target, bounds } = workshop;
  const small = { ...bounds, maxRows: 2 };
  return { target, bounds: small, limit, onTooLong: "skip" } as const;
}

function runAll(services: Services): Promise<unknown> {
  return run(services, {
    ...LASTS,
    export: exportOptions(),
    window: ROOM,
    prices: pricesOf({}),
    reconcileGraceMs: 20,
    quotaWaitMs: 20,
    pollIntervalMs: 5,
    maxAttempts: 3,
  });
}

/** Batches that have ended, others under way, and no folder. */
async function loseFolder(emulator: Emulator): Promise<void> {
  await workshop.seed(TEXTS.map((text, index) => ({ id: index + 1, text })));
  for (const limit of [3, undefined]) {
    await withServices(emulator, async (services) => {
      await exportAll(services, exportOptions(limit));
      await submit(services, { window: ROOM, reconcileGraceMs: 20 });
    });
    if (limit !== undefined) await emulator.advance(HOUR_MS);
  }
  await rm(workshop.folder, { recursive: true, force: true });
}

/** Names of the calls that went wrong. */
async function underFault(fault: Fault): Promise<readonly string[]> {
  const emulator = await startEmulator({ frozen: true, batchSeconds: 60, tier: "off" });
  try {
    await loseFolder(emulator);
    const border = new Border([fault]);
    let bug: string | undefined;
    // what the emulator does is none of the process
    const pass = () => underTest.exit(() => emulator.advance(HOUR_MS));
    const end = async () => {
      await withServices(emulator, recover);
      await pass();
      const ticking = setInterval(() => void pass(), TICK_MS);
      await withServices(emulator, runAll).finally(() => clearInterval(ticking));
    };
    await underTest.run(border, () =>
      end().catch((error: unknown) => {
        if (!border.isDead && failureOf(error).bug) bug = failureOf(error).stack;
      }),
    );
    await border.quiet();
    await letLockGo();
    expect(bug, JSON.stringify(fault)).toBeUndefined();
    await end();
    await checkBooks(emulator, fault);
    return border.hits;
  } finally {
    await emulator.close();
  }
}

/** As the system does of a process that is dead. */
async function letLockGo(): Promise<void> {
  const names = await readdir(workshop.folder).catch(() => []);
  for (const name of names.filter((each) => each.startsWith("manifest.lock")))
    await rm(join(workshop.folder, name), { force: true });
}

async function checkBooks(emulator: Emulator, fault: Fault): Promise<void> {
  const jobs = (await readManifest(workshop.folder)).jobs();
  const unbalanced = jobs.filter(
    ({ sums, requests }) => !(sums && balanced(sums) && sums.requests === requests),
  );
  const bill = [...(await emulator.billing())];
  expect({
    fault,
    open: jobs.filter(isOpen).length,
    unbalanced,
    twice: bill.filter(([, times]) => times > 1),
    batches: new Set(jobs.map(({ batch }) => batch)).size,
    right: (await workshop.rightIds()).length,
  }).toEqual({
    fault,
    open: 0,
    unbalanced: [],
    twice: [],
    batches: emulator.batches().length,
    right: TEXTS.length,
  });
}

describe.each(["before", "after"] as const)("a call that fails %s it took effect", (when) => {
  test.each([
    ["database", 3],
    ["gemini", 1],
    ["file", 17],
  ] as const)("%s", { timeout: 600_000 }, async (kind, step) => {
    for (const how of ["kill", "error"] as const) {
      const hits: string[] = [];
      for (let nth = 1; ; nth += step) {
        const its = await underFault({ when, how, kind, nth });
        if (its.length === 0) break;
        hits.push(...its);
      }
      expect(hits.length).toBeGreaterThan(5);
    }
  });
});
