// I want to stop a job: what is cancelled, what becomes of its rows, and what is never given up unasked?
import { rename, rm } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cancelJob } from "../../src/commands/cancel/cancel.ts";
import type { EmulatorOptions } from "../../src/emulator/faults/emulator-options.ts";
import { submitJob } from "../../src/submit/submit-job.ts";
import { runHere } from "../command-line.ts";
import { startTrial, texts as manyTexts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const texts = ["one", "two", "three"];

async function exported(options: EmulatorOptions = {}) {
  const trial = await startTrial(workshop, texts, options);
  await trial.export();
  const cancel = (insist = false) =>
    trial.services({}, ({ manifest, gemini, report }) => {
      return cancelJob(
        { manifest, gemini: async () => gemini, report },
        manifest.job("0001"),
        insist,
      );
    });
  return { trial, cancel };
}

test("a job that was not submitted is given up, and its rows are exported again", async () => {
  const { trial, cancel } = await exported();
  expect(await cancel()).toBe("givenUp");
  expect(await trial.job("0001")).toMatchObject({ state: "cancelled", outstanding: { lines: 0 } });
  expect(await trial.export()).toMatchObject({ exported: 3, jobs: ["0002"] });
  expect(trial.emulator.batches()).toEqual([]);
});

test("a batch is cancelled at Gemini; poll sees it, and its rows can be resubmitted", async () => {
  const { trial, cancel } = await exported({ batchSeconds: 3_600, frozen: true });
  await trial.submit();
  expect(await cancel()).toBe("asked");
  expect((await trial.job("0001")).state).toBe("submitted");
  await trial.poll();
  expect(await trial.job("0001")).toMatchObject({ state: "cancelled", outstanding: { lines: 3 } });
});

describe("a job whose submission is uncertain", () => {
  test("is not given up unasked, since its batch may exist", async () => {
    const { trial, cancel } = await exported({ faults: "create-reset=1x" });
    await trial.services({}, (all) => submitJob(all, all.manifest.job("0001")));
    expect((await trial.job("0001")).state).toBe("submitting");
    await expect(cancel()).rejects.toMatchObject({ hint: expect.stringContaining("--reconcile") });
    expect((await trial.job("0001")).state).toBe("submitting");
    expect(await cancel(true)).toBe("givenUp");
    expect((await trial.job("0001")).state).toBe("cancelled");
  });
});

test("a job without its request file is given up only when a person insists", async () => {
  const { trial, cancel } = await exported();
  await trial.submit();
  await trial.poll();
  await rm(trial.path("0001.requests.jsonl"));
  await expect(cancel()).rejects.toMatchObject({ exit: "usage" });
  expect(await cancel(true)).toBe("givenUp");
  expect(await trial.export()).toMatchObject({ exported: 3, jobs: ["0002"] });
});

test("a job that has ended is refused, and stays as it is", async () => {
  const { trial, cancel } = await exported();
  await trial.submit();
  await trial.poll();
  await trial.import();
  await expect(cancel()).rejects.toMatchObject({ exit: "usage" });
  expect((await trial.job("0001")).state).toBe("imported");
});

test("several at once: each once, and one that was cancelled before is nothing to do", async () => {
  const { trial } = await exported();
  const run = async (...args: readonly string[]) => {
    const ended = await runHere(["cancel", ...args, "--json", "--jobs-dir", trial.folder]);
    return { code: ended.code, ...JSON.parse(ended.stdout) };
  };
  const unchanged = await trial.text("manifest.ndjson");
  expect(await run("0001", "--dry-run")).toMatchObject({ code: 0, wouldCancel: ["0001"] });
  expect(await run("0001", "0009")).toMatchObject({ code: 2, error: {} });
  expect(await trial.text("manifest.ndjson")).toBe(unchanged);
  expect(await run("0001", "0001")).toMatchObject({ code: 0, givenUp: ["0001"], before: [] });
  const done = { code: 0, cancelled: [], givenUp: [], before: ["0001"] };
  expect(await run("0001")).toMatchObject(done);
  expect(await run("0001", "--dry-run")).toMatchObject({
    code: 0,
    wouldCancel: [],
    before: ["0001"],
  });
});

async function dryRun(trial: Trial, ...flags: readonly string[]) {
  const args = ["cancel", "0001", "--dry-run", ...flags, "--jobs-dir", trial.folder];
  const before = await trial.text("manifest.ndjson");
  const { stdout } = await runHere(args);
  expect(await trial.text("manifest.ndjson")).toBe(before);
  return stdout.trimEnd().split("\n");
}

/** The sync lane was answered for so many of its rows. */
async function halfEmbedded(rows: number, calls: number) {
  const trial = await exportedWhole(rows);
  await halfEmbed(trial, calls);
  return trial;
}

async function exportedWhole(rows: number) {
  const trial = await startTrial(workshop, manyTexts(rows));
  await trial.export({ bounds: { ...workshop.bounds, maxRows: rows } });
  return trial;
}

async function halfEmbed(trial: Trial, calls: number): Promise<void> {
  let left = calls;
  trial.setWire(async ({ url }, send) => {
    if (!url.pathname.endsWith(":batchEmbedContents") || (left -= 1) >= 0) return send();
    return new Response("{}", { status: 403 });
  });
  await expect(trial.embed()).rejects.toThrow("Embedding job 0001 at once failed");
}

describe("--dry-run says what would become of a job", () => {
  test("that was not sent", async () => {
    const { trial } = await exported();
    expect(await dryRun(trial)).toEqual([
      "Would cancel 1 job:",
      "  0001 (no batch is known), 3 rows: to be given up",
    ]);
  });

  test("whose batch is at Gemini", async () => {
    const { trial } = await exported({ batchSeconds: 3_600, frozen: true });
    await trial.submit();
    const [batch] = trial.emulator.batches();
    expect(await dryRun(trial)).toEqual(["Would cancel 1 job:", `  0001 (${batch?.name}), 3 rows`]);
  });

  test("that is half embedded at once: what was answered is kept", async () => {
    const trial = await halfEmbedded(150, 1);
    expect(await dryRun(trial)).toEqual([
      "Would cancel 1 job:",
      "  0001 (embedded at once: 100 of 150 requests answered, which would be kept), 150 rows",
    ]);
  });

  test("that is embedded at once to the last request, and not recorded so", async () => {
    const trial = await halfEmbedded(150, 1);
    await rename(trial.path("0001.sync.jsonl"), trial.path("0001.results.jsonl"));
    expect(await dryRun(trial)).toContainEqual(expect.stringContaining("100 of 150 requests"));
  });

  test("that a manifest put back from a backup calls exported, though it was answered", async () => {
    const trial = await exportedWhole(150);
    await trial.forgetting(() => halfEmbed(trial, 1));
    expect(await dryRun(trial)).toEqual([
      "Would cancel 1 job:",
      "  0001 (embedded at once: 100 of 150 requests answered, which would be kept), 150 rows",
    ]);
  });

  test("that was begun at once and never answered", async () => {
    const trial = await halfEmbedded(3, 0);
    expect(await dryRun(trial)).toEqual([
      "Would cancel 1 job:",
      "  0001 (embedded at once: nothing answered yet), 3 rows: to be given up",
    ]);
  });

  test("whose request file is lost, with --give-up", async () => {
    const trial = await halfEmbedded(150, 1);
    await rm(trial.path("0001.requests.jsonl"));
    expect(await dryRun(trial, "--give-up")).toEqual([
      "Would cancel 1 job:",
      "  0001 (a file of it is lost or doubted), 150 rows: to be given up",
    ]);
  });
});
