// Read this one first. How does a question get its vector? One row's way through the four stages,
// and what can be seen after each: in the jobs folder, at Gemini, in the table.
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { importEnded, poll, submit } from "../src/run/alone.ts";
import { fingerprint } from "./fingerprints.ts";
import { exportAll } from "../src/export/export.ts";
import { readManifest } from "../src/jobs-folder/open.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

const WINDOW = { maxActiveJobs: 90, maxEnqueuedTokens: 500_000 };
const POLL = { pollIntervalMs: 1_000, once: false, timeoutMs: undefined, stuckAfterMs: 86_400_000 };
const QUESTIONS = [
  { id: 1, text: "Which planet has rings?" },
  { id: 2, text: "Who wrote the Odyssey?" },
  { id: 3, text: "   " },
  { id: 4, text: "How many legs has a spider?" },
  { id: 5, text: null },
];

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop({ faults: "shuffle" });
  await workshop.seed(QUESTIONS);
});
afterAll(() => workshop.close());

function exportOptions() {
  const { target, bounds } = workshop;
  return { target, bounds, limit: undefined, onTooLong: "skip" } as const;
}

async function jobState() {
  return (await readManifest(workshop.folder)).job("0001").state;
}

test("export writes a request file with a line for each row that has a text and no vector", async () => {
  const summary = await workshop.withServices((services) => exportAll(services, exportOptions()));
  expect(summary).toMatchObject({
    exported: 3,
    jobs: ["0001"],
    skipped: { empty: 2, inFlight: 0 },
  });
  expect(await jobState()).toBe("exported");

  const lines = (await readFile(`${workshop.folder}/0001.requests.jsonl`, "utf8"))
    .trim()
    .split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    {
      // the row's id, and the database's fingerprint of the text below
      key: `1@${fingerprint("Which planet has rings?")}`,
      request: {
        content: { parts: [{ text: "Which planet has rings?" }] },
        taskType: "RETRIEVAL_DOCUMENT",
        outputDimensionality: 128,
      },
    },
    expect.objectContaining({ key: expect.stringMatching(/^2@[0-9a-f]{32}$/) }),
    expect.objectContaining({ key: expect.stringMatching(/^4@[0-9a-f]{32}$/) }),
  ]);
});

test("a second export finds nothing: the rows are on their way", async () => {
  const summary = await workshop.withServices((services) => exportAll(services, exportOptions()));
  expect(summary).toMatchObject({ exported: 0, jobs: [], skipped: { empty: 2, inFlight: 3 } });
});

test("submit uploads the file and starts one batch, named after the job", async () => {
  const summary = await workshop.withServices((services) =>
    submit(services, { window: WINDOW, reconcileGraceMs: 0 }),
  );
  expect(summary).toMatchObject({ submitted: ["0001"], adopted: [], waiting: [] });
  const { id } = await readManifest(workshop.folder);
  expect(workshop.emulator.batches()).toMatchObject([
    {
      displayName: expect.stringMatching(`^vecfill-${id}-0001-1-[0-9a-f]{8}$`),
      model: "gemini-embedding-001",
      requests: 3,
    },
  ]);
  expect(await jobState()).toBe("submitted");
});

test("a second submit sends nothing", async () => {
  const summary = await workshop.withServices((services) =>
    submit(services, { window: WINDOW, reconcileGraceMs: 0 }),
  );
  expect(summary).toMatchObject({ submitted: [], waiting: [] });
  expect(workshop.emulator.batches()).toHaveLength(1);
});

test("poll waits until the batch has ended", async () => {
  const summary = await workshop.withServices((services) => poll(services, POLL));
  expect(summary).toEqual({ ended: ["0001"], pending: [] });
  expect(await jobState()).toBe("succeeded");
});

test("import downloads the results and fills the column with the right unit vectors", async () => {
  const summary = await workshop.withServices((services) => importEnded(services));
  expect(summary).toMatchObject({ imported: ["0001"], requests: 3, written: 3, failed: 0 });
  expect(await workshop.rightIds()).toEqual([1, 2, 4]);
  expect(await workshop.emptyIds()).toEqual([3, 5]);
  expect(await jobState()).toBe("imported");
  expect((await readManifest(workshop.folder)).job("0001").billedTokens).toBeGreaterThan(0);
});

test("everything once more changes nothing, and nothing was paid for twice", async () => {
  const before = await readFile(`${workshop.folder}/manifest.ndjson`, "utf8");
  await workshop.withServices(async (services) => {
    await exportAll(services, exportOptions());
    await submit(services, { window: WINDOW, reconcileGraceMs: 0 });
    await poll(services, POLL);
    await importEnded(services);
  });
  expect(await readFile(`${workshop.folder}/manifest.ndjson`, "utf8")).toBe(before);
  expect([...(await workshop.emulator.billing()).values()]).toEqual([1, 1, 1]);
});
