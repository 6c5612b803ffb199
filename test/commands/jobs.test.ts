/**
 * I come back after a weekend: what does `vecfill jobs` tell me about my jobs, and what do I type
 * next? And does my script, or my spreadsheet, get every figure safely?
 */
import { EventEmitter } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { pricesOf } from "../../src/cost/tariff.ts";
import type { Job, JobHistoryEntry } from "../../src/manifest/job.ts";
import { openManifest, readManifest } from "../../src/jobs-folder/open.ts";
import { jobsCsv } from "../../src/commands/jobs/jobs-csv.ts";
import { listedJob } from "../../src/commands/jobs/listed-job.ts";
import { nextCommand } from "../../src/manifest/states.ts";
import { jobsTable } from "../../src/commands/jobs/jobs-table.ts";
import { timelineOf } from "../../src/commands/jobs/timeline.ts";
import { eventNote } from "../../src/words/event-note.ts";
import { runHere } from "../command-line.ts";
import { newJob, temporaryFolder } from "../manifest/sample.ts";

const RESULTS = { bytes: 29_000, sha256: "b".repeat(64) };
const PRICES = pricesOf({});
const FAILED = { bytes: 700, sha256: "c".repeat(64) };

let folder: string;
let jobs: readonly Job[];

/** One job imported with failures, one whose batch failed, one at Gemini, one exported. */
beforeAll(async () => {
  folder = await temporaryFolder();
  const manifest = await openManifest(folder, systemClock);
  const submit = async (job: string, requests: number) => {
    await manifest.recordExported(newJob(job, { requests, tokens: requests * 10 }));
    const displayName = `vecfill-test-${job}-1`;
    await manifest.record({ type: "submitting", job, displayName, submission: 1 });
    const batch = `batches/of-${job}`;
    await manifest.record({ type: "submitted", job, batch, adopted: false, keyId: "0".repeat(12) });
  };
  await submit("0001", 50_000);
  await manifest.record({ type: "succeeded", job: "0001", resultsName: "files/batch-1" });
  await manifest.record({ type: "downloaded", job: "0001", file: RESULTS });
  await manifest.record({
    type: "imported",
    job: "0001",
    tokens: 1_234_567,
    sums: { requests: 50_000, written: 49_990, failed: 4, stale: 3, filled: 2, gone: 1 },
    outstanding: { lines: 4, retryable: 3 },
    failedFile: FAILED,
  });
  await submit("0002", 7);
  await manifest.record({
    type: "failed",
    job: "0002",
    error: { code: 9, message: '=HYPERLINK("http://x"), and "more"' },
    sums: { requests: 7, written: 0, failed: 7, stale: 0, filled: 0, gone: 0 },
    outstanding: { lines: 7, retryable: 7 },
    failedFile: FAILED,
  });
  await submit("0003", 20);
  await manifest.recordExported(newJob("0004"));
  await manifest.close();
  jobs = (await readManifest(folder)).jobs();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const inFolder = (...args: readonly string[]) => runHere(["jobs", ...args, "--jobs-dir", folder]);

describe("the table", () => {
  it("has a line for each job, figures right-aligned, and what they come to", async () => {
    const { stdout, code } = await inFolder();
    const lines = stdout.split("\n").map((line) => line.replace(/\d{4}-\d\d-\d\d \d\d:\d\d/, "…"));
    expect(lines).toEqual([
      "job   state        rows  written  failed  other  tokens  updated (UTC)          cost  batch            error",
      "0001  imported   50,000   49,990       4      6   1.2 M  …  $0.092593  batches/of-0001",
      '0002  failed          7        0       7             70  …  $0.000005  batches/of-0002  =HYPERLINK("http://x"), and "more"',
      "0003  submitted      20        -       -            200  …  $0.000015  batches/of-0003",
      "0004  exported        3        -       -             30  …          -",
      "",
      "other: rows whose text changed, filled by someone else, deleted, or rolled back",
      "4 jobs, 50,030 requests: 49,990 written, 11 failed, 3 stale, 2 filled, 1 gone, 23 on the way",
      "about $0.092613 for 1,234,837 tokens, $0.092593 of it as counted by Gemini",
      "",
    ]);
    expect(code).toBe(0);
  });

  it("fits 80 columns when every figure is as large as it gets", () => {
    const [first] = jobs;
    if (first === undefined) throw new Error("no job");
    const rows = 200_000;
    const sums = { requests: rows, written: rows, failed: rows, stale: rows, filled: 0, gone: 0 };
    const widest = { ...first, id: "12345", state: "downloaded", requests: rows, sums } as const;
    const table = jobsTable([{ ...widest, billedTokens: 10_000_000 }], PRICES, 80);
    const [titles = "", line = ""] = table.split("\n");
    expect(Math.max(titles.length, line.length)).toBeLessThanOrEqual(80);
  });
});

it("failed rows that went on into another job count there: each column adds up to the sum", () => {
  const [first] = jobs;
  if (first === undefined) throw new Error("no job");
  const none = { stale: 0, filled: 0, gone: 0 };
  const parent = {
    ...first,
    requests: 10,
    sums: { requests: 10, written: 4, failed: 6, ...none },
    outstanding: { lines: 1, retryable: 0 },
  };
  const child = {
    ...first,
    id: "0002",
    requests: 5,
    sums: { requests: 5, written: 3, failed: 2, ...none },
    outstanding: { lines: 2, retryable: 2 },
  };
  const lines = jobsTable([parent, child], PRICES, 100).split("\n");
  expect(lines.slice(0, 3).map((line) => line.split(/ {2,}/).slice(2, 6))).toEqual([
    ["rows", "written", "failed", "again"],
    ["10", "4", "1", "5"],
    ["5", "3", "2", "1.2 M"],
  ]);
  expect(lines).toContain("2 jobs, 10 requests: 7 written, 3 failed");
  expect(lines).toContain("again: failed rows that were sent again: they count in their new job");
});

it("of a job that was rolled back the line adds up, and the sum names what was", () => {
  const [first] = jobs;
  if (first?.sums === undefined) throw new Error("no job");
  const rolledBack = { ...first, state: "rolledBack", rolledBack: 49_000 } as const;
  const [, line = "", ...more] = jobsTable([rolledBack], PRICES, 200).split("\n");
  expect(more).toContain(
    "1 job, 50,000 requests: 990 written, 4 failed, 3 stale, 2 filled, 1 gone, 49,000 rolled back",
  );
  expect(listedJob(rolledBack, PRICES)).toMatchObject({ written: 49_990, rolledBack: 49_000 });
  const [rows, written, failed, other] = line
    .split(/ {2,}/)
    .slice(2)
    .map((figure) => Number(figure.replaceAll(",", "")));
  expect([written, failed, other]).toEqual([990, 4, 49_006]);
  expect(rows).toBe(990 + 4 + 49_006);
});

function fill(n: number, from: Job): Job[] {
  const message = "a message that goes on and on, as the service words it\nand on";
  return Array.from({ length: n }, (_, index) => ({
    ...from,
    id: String(index + 1).padStart(4, "0"),
    error: { code: 3, message },
  }));
}

describe("a width", () => {
  it.each([20, 30, 40, 60, 79, 80, 100, 132, 200, 300])("of %i is never passed", (width) => {
    const lines = jobsTable(
      jobs.flatMap((job) => fill(3, job)),
      PRICES,
      width,
    ).split("\n");
    expect(lines.filter((line) => line.length > width && width >= 40)).toEqual([]);
    expect(lines.slice(0, 13).filter((line) => line.length > width)).toEqual([]);
    expect(lines[0]).toMatch(/^job +state/);
  });

  it("has sums of all jobs, also where there is room for some only", () => {
    const [first] = jobs;
    const table = jobsTable(first === undefined ? [] : [first], PRICES, 80, jobs);
    expect(table.split("\n").filter((line) => /^\d{4} /.test(line))).toHaveLength(1);
    expect(table).toContain("4 jobs, 50,030 requests");
  });

  it("with room tells more: what a job cost, its batch, its error", () => {
    expect(jobsTable(jobs, PRICES, 80)).not.toContain("batches/of-0003");
    const wide = jobsTable(jobs, PRICES, 200);
    expect(wide).toContain("batches/of-0003");
    expect(wide.split("\n")[0]).toMatch(/updated \(UTC\) +cost +batch +error$/);
  });

  it("names each column that would tell something and for which there is no room", () => {
    const again = jobs.map((job, place) => ({ ...job, attempt: place + 1 }));
    expect(jobsTable(again, PRICES, 75)).toContain("\nNo room for: cost, try, batch, error.\n");
    expect(jobsTable(jobs.slice(2), PRICES, 80)).toContain("\nNo room for: batch.\n");
    expect(jobsTable(again, PRICES)).not.toContain("No room for");
  });
});

describe("--state", () => {
  it("lists those jobs only, in every format, with what they come to", async () => {
    const { stdout } = await inFolder("--state", "failed,exported");
    expect(stdout).toContain("2 jobs, 10 requests:");
    expect(stdout).not.toMatch(/^0001/m);
    const json = JSON.parse((await inFolder("--state", "failed", "--json")).stdout);
    expect(json.jobs.map(({ id }: { id: string }) => id)).toEqual(["0002"]);
  });

  it("says so when there is none, and which states there are", async () => {
    const none = await inFolder("--state", "expired,rolledBack");
    expect(none.code).toBe(0);
    expect(none.stdout).toMatch(/^None of 4 jobs is expired or rolledBack\.\nRows failed in 0001 /);
    const wrong = await inFolder("--state", "failed,done");
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringContaining("done is not one of exported, "),
    ]);
  });
});

describe("--watch", () => {
  it("tells each job once, ends by itself when all have ended, and then shows the list", async () => {
    const own = await temporaryFolder();
    const manifest = await openManifest(own, systemClock);
    const cancel = (id: string) =>
      manifest.record({
        type: "cancelled",
        job: id,
        error: { message: "given up" },
        sums: { requests: 3, written: 0, failed: 3, stale: 0, filled: 0, gone: 0 },
        outstanding: { lines: 0, retryable: 0 },
      });
    await manifest.recordExported(newJob("0001"));
    await manifest.recordExported(newJob("0002"));
    await cancel("0001");
    const watching = runHere(["jobs", "--watch", "--jobs-dir", own]);
    await systemClock.sleep(500);
    await cancel("0002");
    const { code, stdout } = await watching;
    await manifest.close();
    await rm(own, { recursive: true, force: true });
    expect(code).toBe(0);
    const [moves = "", list = ""] = stdout.split(/^(?=job +state)/m);
    const told = moves
      .trimEnd()
      .split("\n")
      .map((line) => line.split("  ").slice(1, 3));
    expect(told).toEqual([
      ["0001", "cancelled"],
      ["0002", "exported"],
      ["0002", "cancelled"],
    ]);
    expect(list).toContain("2 jobs");
  });

  it("is ended by Ctrl-C, with 130", async () => {
    const signals = new EventEmitter();
    const watching = runHere(["jobs", "--watch", "--jobs-dir", folder], { signals });
    while (signals.listenerCount("SIGINT") === 0) await systemClock.sleep(5);
    signals.emit("SIGINT");
    expect((await watching).code).toBe(130);
  });
});

describe("the next command", () => {
  it("is named, for all jobs and for one", async () => {
    expect((await inFolder()).stderr).toBe(`next: vecfill run --jobs-dir ${folder}\n`);
    expect((await inFolder("0002")).stderr).toBe(
      `next: vecfill resubmit ${join(folder, "0002.failed.jsonl")} --jobs-dir ${folder}\n`,
    );
    expect((await inFolder("0004")).stderr).toBe(`next: vecfill run --jobs-dir ${folder}\n`);
  });

  it("is the nearest to the column, and none when nothing is left", () => {
    const [first] = jobs;
    if (first === undefined) throw new Error("no job");
    const none = { ...first, outstanding: { lines: 0, retryable: 0 } };
    const inState = (state: Job["state"]): Job => ({ ...none, state });
    expect(nextCommand([])).toBeUndefined();
    expect(nextCommand([inState("imported"), inState("rolledBack")])).toBeUndefined();
    expect(nextCommand([first, inState("exported")])).toBe("submit");
    expect(nextCommand([inState("submitting"), inState("submitted")])).toBe("poll");
    expect(nextCommand([inState("submitted"), inState("downloaded")])).toBe("import");
  });
});

describe("--json", () => {
  it("holds exactly the promised fields", async () => {
    const { stdout } = await inFolder("--json");
    const printed = JSON.parse(stdout);
    expect(printed).toMatchObject({ schemaVersion: 1, command: "jobs" });
    expect(printed.jobs).toHaveLength(4);
    expect(printed.jobs[0]).toEqual({
      id: "0001",
      state: "imported",
      lane: "batch",
      copies: 0,
      requests: 50_000,
      written: 49_990,
      failed: 4,
      stale: 3,
      filled: 2,
      gone: 1,
      rolledBack: 0,
      tokens: 1_234_567,
      usd: "0.092593",
      project: "default",
      batch: "batches/of-0001",
      parent: null,
      parents: [],
      attempt: 1,
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
      updatedAt: expect.stringMatching(/^\d{4}-.*Z$/),
      files: {
        requests: "0001.requests.jsonl",
        copies: null,
        results: "0001.results.jsonl",
        failed: "0001.failed.jsonl",
      },
      error: null,
      heldUntil: null,
    });
    expect(printed.jobs[3]).toMatchObject({
      batch: null,
      written: 0,
      files: { requests: "0004.requests.jsonl", results: null, failed: null },
    });
  });

  it("is the same as --format json", async () => {
    expect((await inFolder("--format", "json")).stdout).toBe((await inFolder("--json")).stdout);
  });
});

describe("--format csv", () => {
  it("is safe to open in a spreadsheet", async () => {
    const { stdout } = await inFolder("--format", "csv");
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(5);
    expect(lines[0]).toBe(
      "id,state,requests,written,failed,stale,filled,gone,tokens,batch,parent,attempt,createdAt,updatedAt,requestsFile,resultsFile,failedFile,errorCode,errorMessage,usd,lane,copies,copiesFile,parents,rolledBack,project",
    );
    expect(lines[2]).toContain(`,9,"'=HYPERLINK(""http://x""), and ""more"""`);
  });

  it("has its titles also when there are no jobs", () => {
    expect(jobsCsv([])).toMatch(
      /^id,state,.*,errorMessage,usd,lane,copies,copiesFile,parents,rolledBack,project$/,
    );
  });
});

function at(second: number): string {
  return `2026-11-22T10:00:${String(second).padStart(2, "0")}.000Z`;
}

function entry(second: number, event: string, state: Job["state"]): JobHistoryEntry {
  return { at: at(second), event, state, note: undefined };
}

describe("one job", () => {
  it("is shown with its target, files, error and history", async () => {
    const { stdout, code } = await inFolder("0002");
    expect(code).toBe(0);
    expect(stdout).toContain(
      "target        public.questions.embedding, key id, text question_text",
    );
    expect(stdout).toContain("batch         batches/of-0002");
    expect(stdout).toContain("still failed  7 rows, of which 7 may succeed if sent again");
    expect(stdout).toContain('error         =HYPERLINK("http://x"), and "more" (code 9)');
    expect(stdout).toContain(`failed file   ${join(folder, "0002.failed.jsonl")}, 700 B`);
    const history = stdout.slice(stdout.indexOf("history (UTC)")).trimEnd().split("\n").slice(1);
    expect(history.map((line) => line.trim().split(/\s+/)[2])).toEqual([
      "exported",
      "submitting",
      "submitted",
      "failed",
    ]);
  });

  it("has a timeline: how long it was in each state, and is in the last one", async () => {
    const { stdout } = await inFolder("0003");
    const lines =
      stdout.slice(stdout.indexOf("timeline (UTC)")).split("\n\n")[0]?.split("\n") ?? [];
    expect(lines.slice(1).map((line) => line.trim().split(/ {2,}/).slice(1))).toEqual([
      ["exported", expect.stringMatching(/ s$/)],
      ["submitting", expect.stringMatching(/ s$/)],
      ["submitted", expect.stringMatching(/ so far$/)],
    ]);
    const history = [
      entry(0, "exported", "exported"),
      entry(1, "uploaded", "exported"),
      entry(5, "submitting", "submitting"),
      entry(4, "refused", "exported"),
      entry(30, "failed", "failed"),
    ];
    const stays = timelineOf(history, false, new Date(at(59)));
    expect(stays.map(({ state, seconds }) => [state, seconds])).toEqual([
      ["exported", 5],
      ["submitting", 0],
      ["exported", 26],
      ["failed", undefined],
    ]);
  });

  it("has a history that counts as people do", () => {
    const its = { job: "0001", at: at(0) };
    expect(eventNote({ type: "writtenAgain", ...its, rows: 1 })).toBe(
      "1 row that had lost its vector, at no cost",
    );
    expect(eventNote({ type: "rolledBack", ...its, rows: 1_234 })).toBe("1,234 rows");
  });

  it("carries its history in --json too", async () => {
    const printed = JSON.parse((await inFolder("0003", "--json")).stdout);
    expect(printed.jobs).toHaveLength(1);
    expect(printed.history.at(-1)).toMatchObject({ event: "submitted", note: "batches/of-0003" });
  });

  it("is refused by name when there is none, with those there are", async () => {
    const { code, stderr, stdout } = await inFolder("0009");
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("There is no job 0009; there are 0001 to 0004.");
  });
});

describe("an empty folder", () => {
  it("is no error, and says how to begin", async () => {
    const empty = await temporaryFolder();
    const env = { DATABASE_URL: "pglite:memory" };
    const { code, stdout, stderr } = await runHere(["jobs", "--jobs-dir", empty], { env });
    await rm(empty, { recursive: true });
    expect([code, stdout]).toEqual([0, `There are no jobs in ${empty} yet.\n`]);
    expect(stderr).toBe(`next: vecfill plan --jobs-dir ${empty}\n`);
  });
});

describe("a job without figures", () => {
  it("counts nothing before it has ended", () => {
    const [, , submitted] = jobs;
    if (submitted === undefined) throw new Error("no job");
    expect(listedJob(submitted, PRICES)).toMatchObject({
      written: 0,
      failed: 0,
      tokens: 200,
      files: { requests: "0003.requests.jsonl", results: null, failed: null },
    });
  });
});
