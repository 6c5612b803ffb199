// Lines leave a failed file together with the event that gives them to a new job: where is a row
// when the process dies between any two of these steps? And what may a person do to the file?
import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { FailedLine } from "../../src/row/failed-line.ts";
import {
  prepareReplacement,
  readFailedLines,
  takeReplacement,
  writeFailedFile,
} from "../../src/jobs-folder/failed-file.ts";
import { jobFiles } from "../../src/manifest/file-names.ts";
import { openManifest, readManifest } from "../../src/jobs-folder/open.ts";
import { newJob, temporaryFolder } from "../manifest/sample.ts";

function failedLine(id: number): FailedLine {
  return {
    key: `${id}@0123456789abcdef0123456789abcdef`,
    request: { content: { parts: [{ text: `text ${id}` }] }, outputDimensionality: 768 },
    job: "0001",
    attempt: 1,
    error: { class: id % 2 === 0 ? "permanent" : "retryable", reason: "service", message: "no" },
  };
}

/** A manifest with one dead job, whose three rows are in its failed file. */
async function deadJob() {
  const folder = await temporaryFolder();
  const files = jobFiles(folder, "0001");
  const manifest = await openManifest(folder, systemClock);
  const job = await manifest.reserveJobId();
  await manifest.recordExported(newJob(job));
  await manifest.record({ type: "submitting", job, displayName: "d", submission: 1 });
  await manifest.record({ type: "submitted", job, batch: "batches/b", adopted: false, keyId: "k" });
  const failed = await writeFailedFile(files, [1, 2, 3].map(failedLine));
  const sums = { requests: 3, written: 0, failed: 3, stale: 0, filled: 0, gone: 0 };
  await manifest.record({ type: "failed", job, error: { message: "dead" }, sums, ...failed });
  return { folder, files, manifest };
}

type Dead = Awaited<ReturnType<typeof deadJob>>;

async function ids(path: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of readFailedLines(path)) found.push(key.replace(/@.*/, ""));
  return found;
}

/** The first two lines go to a new job; `steps` says how far it comes before the process dies. */
async function resubmitting(
  { files, manifest }: Dead,
  staying: readonly number[],
  steps: "prepared" | "recorded" | "csv" | "done",
): Promise<void> {
  const child = await manifest.reserveJobId();
  const prepared = await prepareReplacement(files, staying.map(failedLine), child);
  const children = [newJob(child, { parents: ["0001"], attempt: 2 })];
  const parent = { job: manifest.job("0001"), ...prepared };
  if (steps !== "prepared") await manifest.recordResubmitted(children, [parent]);
  if (steps === "csv") await rename(`${files.failedCsv}.next`, files.failedCsv);
  if (steps === "done") await takeReplacement(files, prepared);
  await manifest.close();
}

/** As the next command finds it. */
async function afterwards({ folder, files }: Dead) {
  const manifest = await openManifest(folder, systemClock);
  const jobs = manifest.jobs().map(({ id }) => id);
  await manifest.close();
  const names = (await readdir(folder)).toSorted();
  const waiting = names.includes("0001.failed.jsonl") ? await ids(files.failed) : [];
  const csv = names.includes("0001.failed.csv") ? await readFile(files.failedCsv, "utf8") : "";
  const inCsv = csv.split("\n").slice(1, -1);
  return { jobs, waiting, inCsv: inCsv.map((line) => line.replace(/,.*/, "")), names };
}

const PARTLY = ["0001.failed.csv", "0001.failed.jsonl", "manifest.ndjson"];

describe("dying while some lines are resubmitted", () => {
  test("before it is recorded: all lines wait, and there is no new job", async () => {
    const dead = await deadJob();
    await resubmitting(dead, [3], "prepared");
    expect(await afterwards(dead)).toEqual({
      jobs: ["0001"],
      waiting: ["1", "2", "3"],
      inCsv: ["1", "2", "3"],
      names: PARTLY,
    });
  });

  test.each(["recorded", "csv", "done"] as const)(
    "once it is recorded (%s): the new job has them, the others wait",
    async (steps) => {
      const dead = await deadJob();
      await resubmitting(dead, [3], steps);
      expect(await afterwards(dead)).toEqual({
        jobs: ["0001", "0002"],
        waiting: ["3"],
        inCsv: ["3"],
        names: PARTLY,
      });
      const { outstanding } = (await readManifest(dead.folder)).job("0001");
      expect(outstanding).toEqual({ lines: 1, retryable: 1 });
    },
  );
});

describe("dying while all lines are resubmitted", () => {
  test("before it is recorded: all lines wait", async () => {
    const dead = await deadJob();
    await resubmitting(dead, [], "prepared");
    expect(await afterwards(dead)).toMatchObject({ jobs: ["0001"], waiting: ["1", "2", "3"] });
  });

  test.each(["recorded", "done"] as const)(
    "once it is recorded (%s): no file is left",
    async (steps) => {
      const dead = await deadJob();
      await resubmitting(dead, [], steps);
      const { jobs, names } = await afterwards(dead);
      expect(jobs).toEqual(["0001", "0002"]);
      expect(names).toEqual(["manifest.ndjson"]);
    },
  );
});

test("what two crashes in a row leave is put right as well", async () => {
  const dead = await deadJob();
  await resubmitting(dead, [2, 3], "recorded");
  const again = { ...dead, manifest: await openManifest(dead.folder, systemClock) };
  await resubmitting(again, [3], "csv");
  expect(await afterwards(dead)).toMatchObject({
    jobs: ["0001", "0002", "0003"],
    waiting: ["3"],
    inCsv: ["3"],
    names: PARTLY,
  });
});

test("what a second resubmission prepared and never recorded takes the place of nothing", async () => {
  const dead = await deadJob();
  await resubmitting(dead, [2, 3], "done");
  const again = { ...dead, manifest: await openManifest(dead.folder, systemClock) };
  await resubmitting(again, [3], "prepared");
  expect(await afterwards(dead)).toMatchObject({
    jobs: ["0001", "0002"],
    waiting: ["2", "3"],
    inCsv: ["2", "3"],
    names: PARTLY,
  });
});

test("a failed file that a person has edited stays as it is", async () => {
  const dead = await deadJob();
  await resubmitting(dead, [2, 3], "done");
  const edited = `${JSON.stringify({ ...failedLine(3), attempt: undefined })}\n`;
  await writeFile(dead.files.failed, edited);
  await afterwards(dead);
  expect(await readFile(dead.files.failed, "utf8")).toBe(edited);
});

describe("a failed file that a person puts back after all its lines were resubmitted", () => {
  test.each(["before", "after"])("stays, %s the next command", async (when) => {
    const dead = await deadJob();
    const lines = await readFile(dead.files.failed, "utf8");
    await resubmitting(dead, [], "done");
    if (when === "after") await afterwards(dead);
    await writeFile(dead.files.failed, lines);
    expect(await afterwards(dead)).toMatchObject({ waiting: ["1", "2", "3"] });
    expect(await afterwards(dead)).toMatchObject({ waiting: ["1", "2", "3"] });
  });

  test("stays where a crash keeps it from being resubmitted again", async () => {
    const dead = await deadJob();
    const lines = await readFile(dead.files.failed, "utf8");
    await resubmitting(dead, [], "done");
    await writeFile(dead.files.failed, lines);
    const again = { ...dead, manifest: await openManifest(dead.folder, systemClock) };
    await resubmitting(again, [], "prepared");
    expect(await afterwards(dead)).toMatchObject({
      jobs: ["0001", "0002"],
      waiting: ["1", "2", "3"],
    });
  });
});

describe("a file of failed lines", () => {
  test("tells how many lines wait, and how many may succeed when sent again", async () => {
    const files = jobFiles(await temporaryFolder(), "0001");
    const written = await writeFailedFile(files, [1, 2, 3, 4, 5].map(failedLine));
    expect(written.outstanding).toEqual({ lines: 5, retryable: 3 });
    expect(written.failedFile?.bytes).toBe((await readFile(files.failed)).length);
  });

  test("reads back as it was written, empty lines aside", async () => {
    const files = jobFiles(await temporaryFolder(), "0001");
    await writeFailedFile(files, [1, 2].map(failedLine));
    await writeFile(files.failed, `\n${await readFile(files.failed, "utf8")}\n`);
    expect(await Array.fromAsync(readFailedLines(files.failed))).toEqual([1, 2].map(failedLine));
  });

  test.each([
    ["is no JSON", "{"],
    ["has no key", '{"request":{}}'],
    ["has a member nobody knows", JSON.stringify({ ...failedLine(1), note: "mine" })],
    ["was torn", JSON.stringify(failedLine(1)).slice(0, -9)],
  ])("with a line that %s is refused with the line's number", async (_, line) => {
    const path = `${await temporaryFolder()}/by-hand.jsonl`;
    await writeFile(path, `${JSON.stringify(failedLine(1))}\n\n${line}\n`);
    await expect(Array.fromAsync(readFailedLines(path))).rejects.toMatchObject({
      name: "UserError",
      exit: "usage",
      message: expect.stringContaining("Line 3 of"),
    });
  });
});
