// A folder that an earlier version made, in the middle of its work: does this version go on with it, and pay for
// nothing twice? It has the journal's first format, keys with md5, and names of batches that tell no table.
import { createHash } from "node:crypto";
import { cp, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { olderFingerprint } from "./fingerprints.ts";
import { idOf, range, startTrial, texts, type Trial } from "./trial.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

/**
 * As version 0.1.0 left it: the two rows of 0001 failed, 0002 and 0003 were sent, 0004 was not, and the
 * last of ten rows is in no job.
 */
const FOLDER = fileURLToPath(new URL("fixtures/older-folder/", import.meta.url));
const ROWS = 10;

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** The batches that it had made are at Gemini, under its names; it never got the answer to the last create. */
async function startOlder(rows = texts(ROWS)): Promise<Trial> {
  // the key's hash stands in the journal
  const trial = await startTrial(workshop, rows, { apiKey: "k" });
  await cp(FOLDER, trial.folder, { recursive: true });
  const told = await trial.text("manifest.ndjson");
  let journal = told.replaceAll(/"2026-[^"]+Z"/g, `"${new Date().toISOString()}"`);
  for (const job of ["0002", "0003"]) {
    const displayName = /"displayName":"([^"]+)"/.exec(lineOf(journal, "submitting", job))?.[1];
    const submitted = lineOf(journal, "submitted", job);
    const batch = await createAsItDid(trial, job, displayName ?? "");
    journal = journal.replace(
      submitted,
      job === "0003" ? "" : submitted.replace(/batches\/\w+/, batch),
    );
  }
  await writeFile(trial.path("manifest.ndjson"), journal);
  return trial;
}

function lineOf(journal: string, type: string, job: string): string {
  const line = journal.match(new RegExp(`^.*"type":"${type}","job":"${job}".*\n`, "m"));
  return line?.[0] ?? "";
}

async function createAsItDid(trial: Trial, job: string, name: string): Promise<string> {
  const path = trial.path(`${job}.requests.jsonl`);
  const content = await readFile(path);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const file = { path, bytes: content.length, sha256, remoteName: name };
  const { name: input } = await trial.gemini.uploadFile(file);
  const { model } = trial.target;
  return (await trial.gemini.createBatch({ model, file: input, displayName: name })).name;
}

test("a run finishes what is under way, sends the rest, and leaves what failed to a person", async () => {
  const trial = await startOlder();
  await trial.run();
  expect(await trial.rightIds()).toEqual(range(3, ROWS));
  expect(await trial.idsIn("0001.failed.jsonl")).toEqual([1, 2]);
  expect(Object.values(await trial.paid())).toEqual(range(3, ROWS).map(() => 1));
  await trial.resubmit();
  await trial.run();
  expect(await trial.rightIds()).toEqual(range(1, ROWS));
  expect(Object.values(await trial.paid())).toEqual(range(1, ROWS).map(() => 1));
});

test("rows of its jobs are not selected again, but for those whose text has changed since they failed", async () => {
  const trial = await startOlder();
  await trial.sql("UPDATE questions SET question_text = 'Changed?' WHERE id IN (2, 4)");
  expect(await trial.export()).toMatchObject({
    exported: 2,
    skipped: { inFlight: 7, failedBefore: 1 },
  });
  expect(await trial.idsIn("0005.requests.jsonl")).toEqual([2, 10]);
});

test("its keys guard each row's text as they did", async () => {
  const trial = await startOlder();
  await trial.sql("UPDATE questions SET question_text = 'Changed?' WHERE id = 4");
  await trial.poll();
  await trial.import();
  expect((await trial.job("0002")).sums).toMatchObject({ written: 2, stale: 1 });
  await trial.run();
  expect(await trial.rightIds()).toEqual(range(3, ROWS));
});

test("what it left is the fixture that this file says", async () => {
  const trial = await startOlder();
  const [first] = await trial.lines("0004.requests.jsonl");
  expect(first).toMatchObject({ key: `8@${olderFingerprint("Question number 8?")}` });
  expect(idOf(first)).toBe(8);
  expect(await trial.states()).toEqual([
    "0001 imported",
    "0002 submitted",
    "0003 submitting",
    "0004 exported",
  ]);
});
