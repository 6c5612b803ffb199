// A folder that an earlier version made, in the middle of its work: does this version go on with it, and pay for
// nothing twice? It has the journal's first format, keys with md5, and names of batches that tell no table.
import { createHash } from "node:crypto";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MD5_TWINS, olderFingerprint } from "../fingerprints.ts";
import { MAX_TEXT_CHARS } from "../../src/row/question.ts";
import { idOf, range, startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

/**
 * As version 0.1.0 left it: the two rows of 0001 failed, 0002 and 0003 were sent, 0004 was not, and the
 * last of ten rows is in no job.
 */
const FOLDER = fileURLToPath(new URL("../fixtures/older-folder", import.meta.url));
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

test("a row of its jobs and one of ours that go again together are found again together", async () => {
  const [same = ""] = texts(1);
  const trial = await startOlder([...texts(ROWS), same]);
  trial.emulator.setFaults("retryable=1");
  await trial.export();
  await trial.submit();
  await trial.poll();
  await trial.import();
  trial.emulator.setFaults("");
  const made = await trial.resubmit();
  expect(made.map(({ digest }) => digest)).toEqual([undefined]);
  const [{ id } = { id: "" }] = made;
  expect(await trial.idsIn(`${id}.requests.jsonl`)).toEqual(expect.arrayContaining([1, 11]));
  await trial.submit();
  await rm(trial.path(`${id}.requests.jsonl`));
  await trial.run();
  expect(await trial.rightIds()).toEqual(range(1, ROWS + 1));
  expect(Object.values(await trial.paid())).toEqual(range(1, ROWS + 1).map(() => 1));
});

test("a row that waits in it with a text too long to be kept whole is not sent by itself", async () => {
  const long = `${"long ".repeat(MAX_TEXT_CHARS)}2`;
  const trial = await startOlder();
  await trial.sql(`UPDATE questions SET question_text = '${long}' WHERE id = 2`);
  const [from, to] = ["Question number 2?", long].map(olderFingerprint);
  const failed = (await trial.text("0001.failed.jsonl")).replace(from ?? "", to ?? "");
  const journal = (await trial.text("manifest.ndjson")).replace(
    /("failedFile":\{[^}]*"sha256":)"\w+"/,
    `$1"${createHash("sha256").update(failed).digest("hex")}"`,
  );
  await writeFile(trial.path("0001.failed.jsonl"), failed);
  await writeFile(trial.path("manifest.ndjson"), journal);
  const { skipped } = await trial.export({ onTooLong: "truncate" });
  expect(skipped).toMatchObject({ failedBefore: 2 });
});

test("a line that names no job is refused under its older key while the row is on its way", async () => {
  const trial = await startOlder();
  await trial.export();
  const [line = ""] = (await trial.text("0005.requests.jsonl")).split("\n");
  const older = `10@${olderFingerprint("Question number 10?")}`;
  await writeFile(trial.path("mended.jsonl"), `${line.replace(/10@\w+/, older)}\n`);
  expect(await trial.resubmit(trial.path("mended.jsonl"))).toEqual([]);
});

test("of a batch whose requests are lost no row gets a vector by its md5 alone", async () => {
  const [one, other] = MD5_TWINS;
  const trial = await startOlder([...texts(ROWS), one]);
  await trial.sql(`UPDATE questions SET question_text = '${one}' WHERE id = 4`);
  const renamed = (text: string) =>
    text.replace(olderFingerprint("Question number 4?"), olderFingerprint(one));
  trial.setWire(async ({ url }, send) => {
    const answer = await send();
    if (!url.pathname.endsWith(":download")) return answer;
    return new Response(renamed(await answer.text()));
  });
  await rm(trial.path("0002.requests.jsonl"));
  await trial.sql(`UPDATE questions SET question_text = '${other}' WHERE id = 11`);
  await trial.poll();
  await trial.import();
  expect(await trial.emptyIds()).toContain(11);
});
