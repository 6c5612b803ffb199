// The results file ends in the middle of a line: a broken transfer, or all that the service has?
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { importEnded, poll, submit } from "../../src/run/alone.ts";
import { exportAll } from "../../src/export/export.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop({ faults: "results-cut=1" });
  await workshop.seed([1, 2, 3].map((id) => ({ id, text: `question ${id}` })));
});
afterAll(() => workshop.close());

test("what the service tears at the same byte again costs one row", async () => {
  const { target, bounds } = workshop;
  const summary = await workshop.withServices(async (services) => {
    const options = { target, bounds, limit: undefined, onTooLong: "skip" } as const;
    await exportAll(services, options);
    const window = { maxActiveJobs: 9, maxEnqueuedTokens: 100_000 };
    await submit(services, { window, reconcileGraceMs: 0 });
    await poll(services, {
      pollIntervalMs: 1_000,
      once: false,
      timeoutMs: undefined,
      stuckAfterMs: 86_400_000,
    });
    return importEnded(services);
  });
  expect(summary).toMatchObject({ requests: 3, written: 2, failed: 1 });
  const failed = await readFile(`${workshop.folder}/0001.failed.jsonl`, "utf8");
  expect(JSON.parse(failed)).toMatchObject({ error: { class: "retryable" } });
});
