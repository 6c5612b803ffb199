// I want to stop a job: what is cancelled, what becomes of its rows, and what is never given up unasked?
import { rm } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cancelJob } from "../src/cancel/cancel.ts";
import type { EmulatorOptions } from "../src/emulator/options.ts";
import { submitJob } from "../src/submit/submit-job.ts";
import { runHere } from "./command-line.ts";
import { startTrial } from "./trial.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

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
    trial.services({}, ({ manifest, gemini }) => {
      return cancelJob({ manifest, gemini: async () => gemini }, manifest.job("0001"), insist);
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
  await expect(trial.import()).rejects.toMatchObject({
    hint: expect.stringContaining("--give-up"),
  });
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
