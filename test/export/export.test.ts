// Which rows does export send, cut into which jobs, with exactly which text? And what is left on
// disk when it is stopped, or when the database fails under it?
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fingerprint } from "../fingerprints.ts";
import { exportAll } from "../../src/export/export.ts";
import { readManifest } from "../../src/jobs-folder/open.ts";
import { loadConfiguration } from "../../src/settings/config.ts";
import { exportFromSettings } from "../../src/composition/stages.ts";
import { nextLimit } from "../../src/jobs-folder/pending-pages.ts";
import { screen, truncate } from "../../src/export/screen.ts";
import type { Store } from "../../src/store/port.ts";
import { createSqlStore } from "../../src/store/postgres/sql-store.ts";
import type { Target } from "../../src/row/target.ts";
import { KeySet } from "../../src/row/key-table.ts";
import { estimateTokens } from "../../src/row/tokens.ts";
import { TARGET } from "../manifest/sample.ts";
import { errorLine, range, startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

function textOf(line: unknown): string {
  const text = JSON.stringify(line);
  const parsed: { request: { content: { parts: [{ text: string }] } } } = JSON.parse(text);
  return parsed.request.content.parts[0].text;
}

/** Every row in the request files of all jobs, in the order of jobs and lines. */
async function exportedIds(trial: Trial): Promise<number[]> {
  const jobs = await trial.jobs();
  const ids = await Promise.all(jobs.map((job) => trial.idsIn(`${job.id}.requests.jsonl`)));
  return ids.flat();
}

describe("a row without a text", () => {
  test("is counted and left out, also when it holds nothing but white space", async () => {
    const trial = await startTrial(workshop, ["a", "", " \t\n\u00a0\u2003", null, "b"]);
    expect(await trial.export()).toMatchObject({ exported: 2, skipped: { empty: 3, tooLong: 0 } });
    expect(await trial.idsIn("0001.requests.jsonl")).toEqual([1, 5]);
  });

  test("is no reason for a job where there is no other row", async () => {
    const trial = await startTrial(workshop, ["", null]);
    expect(await trial.export()).toMatchObject({ exported: 0, jobs: [], jobCount: 0 });
    expect(await trial.files()).toEqual(["manifest.ndjson"]);
  });
});

describe("a text that is longer than the model takes", () => {
  const LONG = "word ".repeat(3_000);
  /** Nine tenths of a token for each half: the limit falls between two halves. */
  const EMOJI = "😀".repeat(3_000);
  const none = new KeySet();
  const NONE_TAKEN = { inFlight: none, failedBefore: none, inFlightIds: none, failedIds: none };

  test("is left out and listed by default, the others go", async () => {
    const trial = await startTrial(workshop, ["a", LONG, "b"]);
    const summary = await trial.export();
    expect(summary).toMatchObject({ exported: 2, skipped: { tooLong: 1 } });
    expect(summary.tooLongFile).toBe(trial.path("too-long.jsonl"));
    expect(await trial.lines("too-long.jsonl")).toEqual([
      { id: "2", tokens: expect.any(Number), action: "skipped" },
    ]);
    expect(await exportedIds(trial)).toEqual([1, 3]);
  });

  test("stops the export with `fail`: the row is named, nothing of this job stays", async () => {
    const trial = await startTrial(workshop, ["a", LONG, "b"]);
    await expect(trial.export({ onTooLong: "fail" })).rejects.toMatchObject({
      name: "UserError",
      exit: "usage",
      message: expect.stringContaining("row 2"),
    });
    expect(await trial.files()).toEqual(["manifest.ndjson"]);
    expect(await trial.jobs()).toEqual([]);
  });

  test("is cut with `truncate`, keeps the key of its whole text, and is listed", async () => {
    const trial = await startTrial(workshop, [EMOJI, LONG]);
    const summary = await trial.export({ onTooLong: "truncate" });
    expect(summary).toMatchObject({ exported: 2, skipped: { tooLong: 0 } });
    const [emoji, long] = await trial.lines("0001.requests.jsonl");
    expect(emoji).toMatchObject({ key: `1@${fingerprint(EMOJI)}` });
    expect(textOf(emoji)).toMatch(/^(😀){100,}$/u);
    expect(LONG.startsWith(textOf(long))).toBe(true);
    expect(await trial.lines("too-long.jsonl")).toMatchObject([
      { id: "1", action: "truncated" },
      { id: "2", action: "truncated" },
    ]);
  });

  test("that begins with more white space than the model takes is left out, not cut", async () => {
    const trial = await startTrial(workshop, [`${"\n\n".repeat(8_000)}text`]);
    const summary = await trial.export({ onTooLong: "truncate" });
    expect(summary).toMatchObject({ exported: 0, skipped: { tooLong: 1 } });
    expect(await trial.lines("too-long.jsonl")).toMatchObject([{ id: "1", action: "skipped" }]);
  });

  test("is cut to the longest start that fits, in whole characters", () => {
    for (const text of [LONG, EMOJI, `a${EMOJI}`, "é".repeat(9_000), "漢字".repeat(3_000)]) {
      const cut = truncate(text, 2_048);
      expect(text.startsWith(cut)).toBe(true);
      expect(cut.isWellFormed()).toBe(true);
      expect(estimateTokens(cut)).toBeLessThanOrEqual(2_048);
      const [next = ""] = text.slice(cut.length);
      expect(estimateTokens(cut + next)).toBeGreaterThan(2_048);
    }
  });

  test("is cut by what the service counts, where that is known to be more than the estimate", () => {
    const question = { id: "1", text: LONG, fingerprint: fingerprint(LONG) };
    const verdict = screen(question, TARGET, NONE_TAKEN, "truncate", 2);
    const tokens = "take" in verdict ? estimateTokens(verdict.take.text) * 2 : 0;
    expect(tokens).toBeGreaterThan(2_040);
    expect(tokens).toBeLessThanOrEqual(2_048);
  });
});

describe("--limit and --dry-run", () => {
  test("a limit takes so many rows, and the next export the rest", async () => {
    const trial = await startTrial(workshop, texts(7));
    expect(await trial.export({ limit: 3 })).toMatchObject({ exported: 3, jobs: ["0001"] });
    expect(await trial.export({ limit: 3 })).toMatchObject({ exported: 3, jobs: ["0002"] });
    expect(await trial.export()).toMatchObject({ exported: 1, jobs: ["0003"] });
    expect(await exportedIds(trial)).toEqual(range(1, 7));
  });

  test("a dry run counts as the export does, and writes and records nothing", async () => {
    const trial = await startTrial(workshop, [
      "",
      "word ".repeat(3_000),
      ...texts(23),
      "Question number 23?",
    ]);
    await trial.export({ limit: 2 });
    const before = { files: await trial.files(), manifest: await trial.text("manifest.ndjson") };
    const dry = await dryExport(trial);
    expect(await trial.files()).toEqual(before.files);
    expect(await trial.text("manifest.ndjson")).toBe(before.manifest);
    expect(dry.jobs).toEqual([]);
    const wet = await trial.export();
    const skipped = { empty: 1, tooLong: 1, inFlight: 2, failedBefore: 0 };
    expect(wet).toMatchObject({ exported: 22, jobCount: 3, copies: 1, skipped });
    expect({ ...dry, jobs: wet.jobs, tooLongFile: wet.tooLongFile }).toEqual(wet);
  });
});

async function dryExport(trial: Trial) {
  const flags = {
    "dry-run": true,
    "jobs-dir": trial.folder,
    dimensions: "128",
    "max-job-rows": "10",
  };
  const configuration = await loadConfiguration({ flags, env: {}, folder: trial.folder });
  return trial.services({}, ({ store, manifest: _manifest, ...around }) =>
    exportFromSettings({
      ...around,
      settings: configuration.settings,
      services: {
        store: async () => store,
        manifest: () => expect.unreachable("takes no lock"),
        setLimits: async () => {},
        view: () => readManifest(trial.folder),
        crew: async () => undefined,
        gemini: async () => trial.gemini,
        redact: String,
        keys: async () => ({ gemini: trial.gemini, keyId: "" }),
        targetMarkOf: async () => undefined,
      },
    }),
  );
}

describe("one export is cut into jobs", () => {
  const roomy = { maxRows: 1_000, maxTokens: 1_000_000, maxBytes: 1_000_000 };

  test("by rows", async () => {
    const trial = await startTrial(workshop, texts(25));
    await trial.export({ bounds: { ...roomy, maxRows: 10 } });
    expect((await trial.jobs()).map((job) => job.requests)).toEqual([10, 10, 5]);
    expect(await exportedIds(trial)).toEqual(range(1, 25));
  });

  test("by tokens: the estimates of a job's rows come to no more", async () => {
    const trial = await startTrial(workshop, texts(25));
    const summary = await trial.export({ bounds: { ...roomy, maxTokens: 40 } });
    const jobs = await trial.jobs();
    expect(jobs.length).toBeGreaterThan(2);
    expect(jobs.every((job) => job.tokens <= 40)).toBe(true);
    expect(jobs.reduce((sum, job) => sum + job.tokens, 0)).toBe(summary.tokens);
    expect(await exportedIds(trial)).toEqual(range(1, 25));
  });

  test("by bytes: what is recorded is what is on disk", async () => {
    const trial = await startTrial(workshop, texts(25));
    await trial.export({ bounds: { ...roomy, maxBytes: 900 } });
    const jobs = await trial.jobs();
    expect(jobs.length).toBeGreaterThan(2);
    for (const job of jobs) {
      const text = await trial.text(`${job.id}.requests.jsonl`);
      const sha256 = createHash("sha256").update(text).digest("hex");
      expect(job.requestFile).toEqual({ bytes: Buffer.byteLength(text), sha256 });
      expect(job.requestFile.bytes).toBeLessThanOrEqual(900);
    }
    expect(await exportedIds(trial)).toEqual(range(1, 25));
  });

  test("a row larger than a whole job has one to itself", async () => {
    const trial = await startTrial(workshop, ["a", "long ".repeat(300), "b"]);
    await trial.export({ bounds: { ...roomy, maxBytes: 300 } });
    expect((await trial.jobs()).map((job) => job.requests)).toEqual([1, 1, 1]);
  });
});

describe("a row that is on its way or has failed", () => {
  test("is not exported again while its job is unfinished, unless its text changed", async () => {
    const trial = await startTrial(workshop, texts(4));
    await trial.export();
    await trial.sql("UPDATE questions SET question_text = 'changed' WHERE id = 2");
    expect(await trial.export()).toMatchObject({ exported: 1, skipped: { inFlight: 3 } });
    expect(await trial.lines("0002.requests.jsonl")).toMatchObject([
      { key: `2@${fingerprint("changed")}` },
    ]);
  });

  test("is not exported again by another recipe for its text either: the first one's vector will be there", async () => {
    const trial = await startTrial(workshop, texts(4));
    await trial.export({ limit: 3 });
    const target = { ...workshop.target, text: "{question_text}!" };
    const store = createSqlStore(workshop.database, target, { where: undefined });
    const again = await trial.export({ target }, { store });
    expect(again).toMatchObject({ exported: 1, skipped: { inFlight: 3 } });
    expect(await trial.idsIn("0002.requests.jsonl")).toEqual([4]);
    await rm(trial.path("0001.requests.jsonl"));
    const missing = trial.export({ target }, { store });
    await expect(missing).rejects.toThrow(/request file .* of job 0001 is missing/);
  });

  test("is not exported again while it waits in a failed file, unless its text changed", async () => {
    const trial = await startTrial(workshop, texts(4));
    trial.setResults({ 2: errorLine(3), 3: errorLine(14), 4: errorLine(3) });
    await trial.untilEnded();
    await trial.import();
    expect(await trial.export()).toMatchObject({ exported: 0, skipped: { failedBefore: 3 } });
    await trial.sql("UPDATE questions SET question_text = 'changed' WHERE id = 4");
    expect(await trial.export()).toMatchObject({ exported: 1, skipped: { failedBefore: 2 } });
    expect(await trial.idsIn("0002.requests.jsonl")).toEqual([4]);
  });

  test("is exported again once somebody has deleted its line, or the whole failed file", async () => {
    const trial = await startTrial(workshop, texts(2));
    trial.setResults({ 1: errorLine(3), 2: errorLine(3) });
    await trial.untilEnded();
    await trial.import();
    await rm(trial.path("0001.failed.jsonl"));
    expect(await trial.export()).toMatchObject({ exported: 2, skipped: { failedBefore: 0 } });
  });

  test("cannot be told without the request file of its job: nothing is exported", async () => {
    const trial = await startTrial(workshop, texts(2));
    await trial.export();
    await rm(trial.path("0001.requests.jsonl"));
    await expect(trial.export()).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("0001.requests.jsonl"),
      hint: expect.stringContaining("0001"),
    });
    expect(await trial.states()).toEqual(["0001 exported"]);
  });
});

test("every character arrives as it is, and its vector in its row", async () => {
  const odd = [
    "line\u2028and paragraph\u2029separators",
    "emoji 👩‍👩‍👧‍👦 🏳️‍🌈 and one from far out \u{10FFFD}",
    "שלום עולם \u200f مرحبا \u202e gnirts",
    "e\u0301 is not é, nor is ﬁ fi",
    ' leading, trailing \r\n\t, "quotes", \\ and \u0001\u001f\u007f\ufeff ',
    '{"key":"1@00000000000000000000000000000000","request":{}}',
    "\ufffd\ufffe\uffff",
  ];
  const trial = await startTrial(workshop, odd);
  await trial.export();
  const text = await trial.text("0001.requests.jsonl");
  expect(text.split("\n")).toHaveLength(odd.length + 1);
  const lines = await trial.lines("0001.requests.jsonl");
  expect(lines.map(textOf)).toEqual(odd);
  expect(lines).toMatchObject(
    odd.map((each, index) => ({ key: `${index + 1}@${fingerprint(each)}` })),
  );
  await trial.submit();
  await trial.poll();
  expect(await trial.import()).toMatchObject({ written: odd.length, failed: 0 });
  expect(await trial.rightIds()).toEqual(range(1, odd.length));
});

describe("a column that has vectors of another space", () => {
  const query: Partial<Target> = { taskType: "RETRIEVAL_QUERY" };

  test("takes no others, once some are written or still to come", async () => {
    const trial = await startTrial(workshop, texts(4));
    const other = { ...trial.target, ...query };
    await trial.export({ limit: 2 });
    const refusal = { name: "UserError", hint: expect.stringContaining("RETRIEVAL_DOCUMENT") };
    await expect(trial.export({ target: other })).rejects.toMatchObject(refusal);
    await trial.submit();
    await trial.poll();
    await trial.import();
    await expect(trial.export({ target: other })).rejects.toMatchObject(refusal);
    await expect(
      trial.export({ target: { ...trial.target, model: "gemini-embedding-2" } }),
    ).rejects.toMatchObject(refusal);
    expect(await trial.states()).toEqual(["0001 imported"]);
  });

  test("takes them where the other job came to nothing", async () => {
    const trial = await startTrial(workshop, texts(2), { faults: "batch-fail=1x" });
    await trial.untilEnded();
    expect(await trial.states()).toEqual(["0001 failed"]);
    const summary = await trial.export({ target: { ...trial.target, ...query } });
    expect(summary).toMatchObject({ exported: 2, skipped: { failedBefore: 0 } });
  });

  test("takes what was resubmitted from the other space no more", async () => {
    const trial = await startTrial(workshop, texts(2), { faults: "batch-fail=1x" });
    await trial.untilEnded();
    await trial.export({ target: { ...trial.target, ...query }, limit: 1 });
    const before = await trial.text("manifest.ndjson");
    await expect(trial.resubmit()).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("does not mix"),
    });
    await expect(trial.resubmit(trial.path("0001.failed.jsonl"))).rejects.toMatchObject({
      message: expect.stringContaining("does not mix"),
    });
    expect(await trial.text("manifest.ndjson")).toBe(before);
  });
});

test("a job of another target does not hide a row", async () => {
  const trial = await startTrial(workshop, texts(3));
  await trial.sql("ALTER TABLE questions ADD COLUMN other vector(128)");
  await trial.export();
  const target = { ...trial.target, embedding: "other" };
  const store = createSqlStore(workshop.database, target, { where: undefined });
  const summary = await trial.export({ target }, { store });
  expect(summary).toMatchObject({ exported: 3, jobs: ["0002"], skipped: { inFlight: 0 } });
});

describe("an export that does not come to its end", () => {
  test("is interrupted: the jobs recorded are whole, and the next export takes the rest", async () => {
    const trial = await startTrial(workshop, texts(1_200));
    const controller = new AbortController();
    const summary = await trial.export(
      { bounds: { ...workshop.bounds, maxRows: 150 } },
      {
        signal: controller.signal,
        report: ({ type }) => {
          if (type === "exporting") controller.abort();
        },
      },
    );
    expect(summary.exported).toBeGreaterThan(0);
    expect(summary.exported).toBeLessThan(1_200);
    expect((await trial.files()).filter((name) => name.endsWith(".part"))).toEqual([]);
    expect(await exportedIds(trial)).toHaveLength(summary.exported);
    await trial.export({ bounds: { ...workshop.bounds, maxRows: 1_000 } });
    expect(await exportedIds(trial)).toEqual(range(1, 1_200));
  });

  test("loses the database: no part file, nothing recorded of the file in hand", async () => {
    const trial = await startTrial(workshop, texts(1_200));
    const store: Store = {
      ...workshop.store,
      readPending: (page) => {
        if (page.after !== undefined) return Promise.reject(new Error("the database went away"));
        return workshop.store.readPending(page);
      },
    };
    const bounds = { ...workshop.bounds, maxRows: 1_000 };
    await expect(trial.export({ bounds }, { store })).rejects.toThrow("the database went away");
    expect(await trial.files()).toEqual(["manifest.ndjson"]);
    expect(await trial.jobs()).toEqual([]);

    const smaller = { ...workshop.bounds, maxRows: 400 };
    await expect(trial.export({ bounds: smaller }, { store })).rejects.toThrow("went away");
    expect(await trial.files()).toEqual(["0001.requests.jsonl", "manifest.ndjson"]);
    expect(await exportedIds(trial)).toEqual(range(1, 400));
    expect(await trial.export({ bounds })).toMatchObject({ exported: 800, jobs: ["0002"] });
  });

  test("is killed after the file was whole and before it was recorded: exported anew", async () => {
    const trial = await startTrial(workshop, texts(3));
    await expect(
      trial.services({}, async ({ manifest, ...all }) => {
        const dying = { ...manifest, recordExported: () => Promise.reject(new Error("killed")) };
        return exportAll({ ...all, manifest: dying }, trial.exportOptions());
      }),
    ).rejects.toThrow("killed");
    expect(await trial.jobs()).toEqual([]);
    expect(await trial.export()).toMatchObject({ exported: 3, jobs: ["0001"] });
    expect(await exportedIds(trial)).toEqual([1, 2, 3]);
  });
});

function pageOf(rows: number, characters: number) {
  const question = { id: "1", text: "x".repeat(characters), fingerprint: "" };
  return Array.from({ length: rows }, () => question);
}

test("a page holds as many rows as a few million characters, at least one and at most 5,000", () => {
  expect(nextLimit(pageOf(500, 10))).toBe(5_000);
  expect(nextLimit(pageOf(10, 40_000))).toBe(100);
  expect(nextLimit(pageOf(1, 5_000_000))).toBe(1);
  expect(nextLimit(pageOf(3, 0))).toBe(5_000);
});

test("no job is made that is larger than what two refusals in a row said of the quota", async () => {
  const trial = await startTrial(workshop, texts(60));
  const bounds = { maxRows: 1_000, maxTokens: 1_000, maxBytes: 1_000_000 };
  await trial.export({ bounds, limit: 30 });
  await trial.services({}, async ({ manifest }) => {
    const [job, displayName] = ["0001", "one"];
    const error = { code: 429, message: "quota" };
    for (const submission of [1, 2]) {
      await manifest.record({ type: "submitting", job, displayName, submission, keyId: "a" });
      await manifest.record({ type: "refused", job, error, fileGone: false });
    }
  });
  await trial.export({ bounds });
  const [refused, ...later] = await trial.jobs();
  const half = Math.ceil((refused?.tokens ?? 0) / 2);
  expect(half).toBeGreaterThan(50);
  expect(later.length).toBeGreaterThan(1);
  expect(later.reduce((rows, { requests }) => rows + requests, 0)).toBe(30);
  // what they say of a job alone: half of it may fit
  for (const job of later) expect(job.tokens).toBeLessThanOrEqual(half);
});
