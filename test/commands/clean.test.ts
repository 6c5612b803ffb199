// The disk is nearly full and the work is done: what does `clean` free, what does it never touch, and
// does everything else still work afterwards?
import { readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clean } from "../../src/commands/clean/clean.ts";
import { planCleaning } from "../../src/commands/clean/what-may-go.ts";
import type { ExportOptions } from "../../src/export/export.ts";
import { GeminiError } from "../../src/gemini/port.ts";
import type { Job } from "../../src/manifest/job.ts";
import { requireRollbackable, rollbackJob } from "../../src/commands/rollback/rollback.ts";
import { runHere } from "../command-line.ts";
import { errorLine, startTrial, texts, type Instead, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** The upload, which is deleted at the end of the batch otherwise, is still there. */
async function untilEnded(trial: Trial, changes: Partial<ExportOptions> = {}): Promise<void> {
  const gemini = { ...trial.gemini, deleteFile: unreachable };
  await trial.untilEnded(changes, { gemini });
}

function unreachable(): Promise<never> {
  return Promise.reject(new GeminiError("unreachable", "no connection"));
}

async function imported(trial: Trial): Promise<void> {
  await untilEnded(trial);
  await trial.import();
}

function cleaned(trial: Trial, keepResults = false, instead: Instead = {}) {
  return trial.services(instead, async (all) => {
    const plan = await planCleaning(all.manifest, { keepResults, now: new Date() });
    const { gemini, keyId } = all;
    const ofSender = async (job: Job) => (job.keyId === keyId ? gemini : undefined);
    return clean({ ...all, gemini: ofSender }, plan);
  });
}

function fullDisk(): Promise<never> {
  return Promise.reject(new Error("the disk is full"));
}

/** What the service says of the uploaded request file of a job. */
async function uploadStatus(trial: Trial, id: string): Promise<number> {
  const { remoteFile } = await trial.job(id);
  const url = `${trial.emulator.url}/v1beta/${remoteFile?.name}`;
  return (await fetch(url, { headers: { "x-goog-api-key": "a-key-for-tests" } })).status;
}

describe("a job that was imported", () => {
  test("loses its request and results files, here and at Gemini, and keeps what waits", async () => {
    const trial = await startTrial(workshop, texts(3));
    trial.setResults({ 2: errorLine(3) });
    await imported(trial);
    const sizes = await Promise.all(
      ["0001.requests.jsonl", "0001.results.jsonl"].map(
        async (name) => (await trial.text(name)).length,
      ),
    );
    expect(await uploadStatus(trial, "0001")).toBe(200);
    expect(await cleaned(trial)).toEqual({
      cleaned: ["0001"],
      files: 2,
      bytes: sizes.reduce((sum, size) => sum + size, 0),
      uploads: 1,
    });
    expect(await trial.files()).toEqual([
      "0001.failed.csv",
      "0001.failed.jsonl",
      "0001.rows.jsonl",
      "manifest.ndjson",
    ]);
    expect(await uploadStatus(trial, "0001")).not.toBe(200);
    expect(await trial.job("0001")).toMatchObject({
      state: "imported",
      cleaned: ["requests", "results", "upload"],
    });
  });

  test("is no damage to what comes after: rows are resubmitted, exported, imported, listed", async () => {
    const trial = await startTrial(workshop, texts(4));
    trial.setResults({ 2: errorLine(13) });
    await imported(trial);
    await cleaned(trial);
    trial.setWire((_call, send) => send());
    await trial.sql("UPDATE questions SET question_text = 'new', embedding = NULL WHERE id = 3");
    await trial.resubmit();
    expect(await trial.run()).toMatchObject({ failed: 0, remaining: 0 });
    expect(await trial.rightIds()).toEqual([1, 2, 3, 4]);
    const { stdout } = await runHere(["jobs", "--json", "--jobs-dir", trial.folder]);
    const [first, second] = JSON.parse(stdout).jobs;
    expect(first.files).toEqual({ requests: null, copies: null, results: null, failed: null });
    expect(second.files.requests).toBe("0002.requests.jsonl");
  });

  test("cannot be rolled back, and is told so", async () => {
    const trial = await startTrial(workshop, texts(2));
    await imported(trial);
    await cleaned(trial);
    const asked = trial.services({}, ({ manifest }) =>
      requireRollbackable(manifest, manifest.job("0001")),
    );
    await expect(asked).rejects.toMatchObject({
      message: expect.stringContaining("was deleted by `vecfill clean`"),
    });
  });

  test("can be rolled back once its files were restored, as it is told", async () => {
    const trial = await startTrial(workshop, texts(2));
    await imported(trial);
    const [results, requests] = ["0001.results.jsonl", "0001.requests.jsonl"];
    const backup = await Promise.all([results, requests].map((name) => readFile(trial.path(name))));
    await cleaned(trial);
    await writeFile(trial.path(results), backup[0] ?? "");
    const rollback = () =>
      trial.services({}, async (all) => {
        await requireRollbackable(all.manifest, all.manifest.job("0001"));
        return rollbackJob(all, all.manifest.job("0001"));
      });
    await expect(rollback()).rejects.toThrow("0001.requests.jsonl");
    await writeFile(trial.path(requests), backup[1] ?? "");
    expect(await rollback()).toMatchObject({ state: "rolledBack", rolledBack: 2 });
    expect(await trial.rightIds()).toEqual([]);
  });

  test("can be rolled back when its results were kept, and is then cleaned whole", async () => {
    const trial = await startTrial(workshop, texts(2));
    await imported(trial);
    expect(await cleaned(trial, true)).toMatchObject({ files: 0, uploads: 1 });
    await trial.services({}, (all) => rollbackJob(all, all.manifest.job("0001")));
    expect(await cleaned(trial, true)).toMatchObject({ files: 3, cleaned: ["0001"] });
    expect(await trial.files()).toEqual(["0001.rows.jsonl", "manifest.ndjson"]);
  });

  test("is left alone in the middle of a rollback", async () => {
    const trial = await startTrial(workshop, texts(2));
    await imported(trial);
    const file = { bytes: 1, sha256: "0".repeat(64) };
    await trial.services({}, ({ manifest }) =>
      manifest.record({ type: "rollingBack", job: "0001", rows: 2, file }),
    );
    expect(await cleaned(trial)).toMatchObject({ files: 0 });
  });
});

describe("nothing else is touched", () => {
  test("neither what is not imported, in any state, nor what failed", async () => {
    const trial = await startTrial(workshop, texts(4), { faults: "batch-fail=1x" });
    const one = { limit: 1 };
    await untilEnded(trial, one);
    await untilEnded(trial, one);
    await trial.export(one);
    await trial.submit();
    await trial.export(one);
    expect(await trial.states()).toEqual([
      "0001 failed",
      "0002 succeeded",
      "0003 submitted",
      "0004 exported",
    ]);
    const before = await trial.files();
    // the batch of 0001 has ended, and reads its upload no more
    expect(await cleaned(trial)).toEqual({ cleaned: ["0001"], files: 0, bytes: 0, uploads: 1 });
    expect(await trial.files()).toEqual(before);
    expect(await uploadStatus(trial, "0003")).toBe(200);
  });
});

describe("interrupted, repeated, or without a key", () => {
  test("what was recorded and not deleted yet is deleted by the next one", async () => {
    const trial = await startTrial(workshop, texts(2));
    await imported(trial);
    await trial.services({}, ({ manifest }) =>
      manifest.record({ type: "cleaned", job: "0001", files: ["requests", "results"] }),
    );
    expect(await cleaned(trial)).toMatchObject({ files: 2, uploads: 1 });
    const after = await trial.text("manifest.ndjson");
    expect(after.match(/"files":\["requests","results"\]/g)).toHaveLength(1);
    expect(await cleaned(trial)).toEqual({ cleaned: [], files: 0, bytes: 0, uploads: 0 });
    expect(await trial.text("manifest.ndjson")).toBe(after);
  });

  test("nothing is deleted that could not be recorded first", async () => {
    const trial = await startTrial(workshop, texts(2));
    await imported(trial);
    const before = await trial.files();
    const dies = trial.services({}, async (all) => {
      const plan = await planCleaning(all.manifest, { keepResults: false, now: new Date() });
      const gemini = async () => all.gemini;
      const manifest = { ...all.manifest, record: fullDisk };
      return clean({ ...all, manifest, gemini }, plan);
    });
    await expect(dies).rejects.toThrow("disk is full");
    expect(await trial.files()).toEqual([...before, "0001.rows.jsonl"].toSorted());
  });

  test("files sent with another key are left, and said to be", async () => {
    const trial = await startTrial(workshop, texts(2));
    await imported(trial);
    const told: string[] = [];
    const summary = await cleaned(trial, false, {
      keyId: "another",
      report: (event) => told.push(event.type === "warning" ? event.message : event.type),
    });
    expect(summary).toMatchObject({ files: 2, uploads: 0 });
    expect(told).toEqual([expect.stringContaining("another API key")]);
    expect(await uploadStatus(trial, "0001")).toBe(200);
  });

  test("a service that refuses to delete keeps nothing here from going", async () => {
    const trial = await startTrial(workshop, texts(2));
    await imported(trial);
    trial.setWire(async ({ method }, send) =>
      method === "DELETE"
        ? new Response('{"error":{"code":400,"message":"File ID too long"}}', { status: 400 })
        : send(),
    );
    const told: string[] = [];
    const report: Instead["report"] = (event) => told.push(JSON.stringify(event));
    expect(await cleaned(trial, false, { report })).toMatchObject({ files: 2, uploads: 0 });
    expect(told).toEqual([expect.stringContaining("File ID too long")]);
    expect((await trial.job("0001")).cleaned).toEqual(["requests", "results"]);
  });
});

describe("the command", () => {
  test("says what it would free, asks before it ends a rollback, and does it with --yes", async () => {
    const trial = await startTrial(workshop, texts(3));
    await imported(trial);
    const run = (...args: readonly string[]) =>
      runHere(["clean", ...args, "--jobs-dir", trial.folder]);
    const dry = JSON.parse((await run("--dry-run", "--json")).stdout);
    expect(dry).toMatchObject({ cleaned: [], wouldClean: ["0001"], files: 2, dryRun: true });
    expect(dry.bytes).toBeGreaterThan(1000);
    const asked = await run();
    expect([asked.code, asked.stderr]).toEqual([
      2,
      expect.stringContaining("cannot be rolled back"),
    ]);
    expect(await trial.files()).toContain("0001.results.jsonl");
    const done = await run("--yes");
    expect(done).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Freed .* 2 files of 1 job/),
    });
    expect(done.stderr).toContain("1 uploaded request file is left at Gemini.");
    expect(await trial.files()).toEqual(["0001.rows.jsonl", "manifest.ndjson"]);
  });

  test("has nothing to do in an empty folder, and makes none", async () => {
    const { code, stdout } = await runHere(["clean", "--jobs-dir", "/nonexistent/jobs"]);
    expect([code, stdout]).toEqual([0, expect.stringContaining("Nothing to clean")]);
  });
});
