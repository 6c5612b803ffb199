// The results are there, but lines are shuffled, doubled, missing, broken, and my table has changed
// meanwhile: does every row come to exactly one end, is only the right vector written, and is the
// import the same when it is done again after a crash?
import fc from "fast-check";
import { mkdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failedAgain } from "../../src/import/failed-again.ts";
import { RequestRows } from "../../src/import/row-outcomes.ts";
import { MAX_TEXT_CHARS } from "../../src/row/question.ts";
import { importEnded } from "../../src/run/alone.ts";
import type { Store } from "../../src/store/port.ts";
import { createSqlStore } from "../../src/store/postgres/sql-store.ts";
import { balanced } from "../../src/row/sums.ts";
import { errorLine, idOf, range, startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { sized } from "../size.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const ROOMY = { maxRows: 2_000, maxTokens: 1_000_000, maxBytes: 10_000_000 };

type Edit = (line: string) => readonly string[];

const keep: Edit = (line) => [line];
const nothing: Edit = () => [];
const garbage: Edit = () => ["upstream connect error"];
const twice: Edit = (line) => [line, line];
/** Valid JSON with the row's key and no vector. */
const withoutVector: Edit = (line) => [JSON.stringify({ key: keyOf(line) })];

/** The same row with other values. */
function withValues(change: (values: number[]) => unknown[]): Edit {
  return (line) => {
    const parsed: Result = JSON.parse(line);
    const values = change(parsed.response.embedding.values);
    return [JSON.stringify({ key: parsed.key, response: { embedding: { values } } })];
  };
}

type Result = { key: string; response: { embedding: { values: number[] } } };

const otherVector = withValues(([first = 0, ...rest]) => [first + 0.25, ...rest]);

function neverAsked(): never {
  throw new Error("a store of another target was asked for");
}

function keyOf(line: string): string {
  const parsed: { key: string } = JSON.parse(line);
  return parsed.key;
}

/** One job whose batch has succeeded, with results edited by row. */
async function ended(
  rows: number | readonly string[],
  edits: Readonly<Record<number, Edit>> = {},
  options: Parameters<typeof startTrial>[2] = {},
): Promise<Trial> {
  const trial = await startTrial(workshop, typeof rows === "number" ? texts(rows) : rows, options);
  await trial.untilEnded({ bounds: ROOMY });
  trial.setResults(edits);
  return trial;
}

/** Why each row of the failed file failed: class and reason by id. */
async function failures(trial: Trial, job = "0001"): Promise<Record<number, string>> {
  const lines = await trial.lines(`${job}.failed.jsonl`);
  return Object.fromEntries(
    lines.map((line) => {
      const { error }: { error: { class: string; reason: string } } = JSON.parse(
        JSON.stringify(line),
      );
      return [idOf(line), `${error.class} ${error.reason}`];
    }),
  );
}

async function expectBalance(trial: Trial): Promise<void> {
  for (const { id, sums } of await trial.jobs()) {
    expect([id, sums && balanced(sums)]).toEqual([id, true]);
  }
}

describe("a result line", () => {
  test("belongs to its row by key, wherever it stands", async () => {
    const trial = await ended(40, {}, { faults: "shuffle" });
    const lines = async () => (await trial.lines("0001.results.jsonl")).map(idOf);
    expect(await trial.import()).toMatchObject({ requests: 40, written: 40, failed: 0 });
    expect(await lines()).not.toEqual((await lines()).toSorted((a, b) => a - b));
    expect(await trial.rightIds()).toEqual(range(1, 40));
  });

  test("that stands twice alike is one; lines that contradict each other fail the row", async () => {
    const trial = await ended(6, {
      1: twice,
      2: (line) => [line, ...otherVector(line)],
      3: (line) => [line, ...errorLine(3)(line)],
      4: (line) => [...errorLine(14)(line), line],
      5: (line) => [...errorLine(14)(line), ...errorLine(13, "other words")(line)],
    });
    expect(await trial.import()).toMatchObject({ requests: 6, written: 2, failed: 4 });
    expect(await failures(trial)).toEqual({
      2: "retryable conflict",
      3: "retryable conflict",
      4: "retryable conflict",
      5: "retryable service",
    });
    expect(await trial.rightIds()).toEqual([1, 6]);
    expect(await trial.emptyIds()).toEqual([2, 3, 4, 5]);
  });

  test("that is missing or cannot be read fails its row, and may be tried again", async () => {
    workshop.events.length = 0;
    const trial = await ended(7, {
      1: nothing,
      2: garbage,
      3: withoutVector,
      4: (line) => [...withoutVector(line), line],
      5: (line) => [line, ...withoutVector(line)],
      6: (line) => [line, line.replace(/"key":"[^"]*"/, '"key":"99@none"')],
    });
    expect(await trial.import()).toMatchObject({ requests: 7, written: 4, failed: 3 });
    expect(await failures(trial)).toEqual({
      1: "retryable missing",
      2: "retryable missing",
      3: "retryable malformed",
    });
    expect(await trial.rightIds()).toEqual([4, 5, 6, 7]);
    expect(workshop.events).toContainEqual(
      expect.objectContaining({ type: "warning", message: expect.stringMatching(/^2 result/) }),
    );
  });

  test("with a vector that is none fails its row: a wrong width for good", async () => {
    const trial = await ended(7, {
      1: withValues((values) => values.slice(1)),
      2: withValues((values) => [...values, 0.1]),
      3: withValues((values) => values.map(() => 0)),
      4: withValues((values) => [null, ...values.slice(1)]),
      5: withValues((values) => ["NaN", ...values.slice(1)]),
      6: (line) => [line.replace(/"values":\[[^,]*/, '"values":[1e999')],
    });
    expect(await trial.import()).toMatchObject({ requests: 7, written: 1, failed: 6 });
    expect(await failures(trial)).toEqual({
      1: "permanent vector",
      2: "permanent vector",
      3: "retryable vector",
      4: "retryable vector",
      5: "retryable vector",
      6: "retryable vector",
    });
    expect(await trial.emptyIds()).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("with an error tells by its code whether another try may help", async () => {
    const codes = [1, 2, 4, 8, 10, 13, 14, 408, 429, 499, 500, 503, 7, 404, 3, 11, 12, 400];
    const permanent = [3, 11, 12, 400];
    const edits = codes.map((code, index) => [index + 1, errorLine(code, `code ${code}`)]);
    const trial = await ended(codes.length, Object.fromEntries(edits));
    await trial.import();
    const expected = codes.map((code, index) => [
      index + 1,
      `${permanent.includes(code) ? "permanent" : "retryable"} service`,
    ]);
    expect(await failures(trial)).toEqual(Object.fromEntries(expected));
    expect((await trial.job("0001")).outstanding).toEqual({ lines: 18, retryable: 14 });
    expect(await trial.lines("0001.failed.jsonl")).toMatchObject(
      codes.map((code) => ({ job: "0001", attempt: 1, error: { code, message: `code ${code}` } })),
    );
  });
});

/** The same line with another token count. */
function counted(text: string): Edit {
  return (line) => [line.replace(/"tokenCount":"\d+"/, text)];
}

describe("the tokens that were billed", () => {
  test("are what the service says, in either of its forms", async () => {
    const trial = await ended(3, {
      1: counted('"tokenCount":"7"'),
      2: counted('"tokenCount":11'),
      3: counted('"usageMetadata":{"promptTokenCount":13}'),
    });
    await trial.import();
    expect((await trial.job("0001")).billedTokens).toBe(31);
  });

  test("are unknown where a line does not tell", async () => {
    const trial = await ended(3, { 2: counted('"other":1') });
    expect(await trial.import()).toMatchObject({ written: 3 });
    expect((await trial.job("0001")).billedTokens).toBeUndefined();
  });

  test("are unknown where a row has no line that can be read: it may be on the bill", async () => {
    const trial = await ended(3, { 2: () => [] });
    expect(await trial.import()).toMatchObject({ written: 2, failed: 1 });
    expect((await trial.job("0001")).billedTokens).toBeUndefined();
  });

  test("are nothing for a row that was refused", async () => {
    const trial = await ended(2, { 1: errorLine(3), 2: counted('"tokenCount":"7"') });
    await trial.import();
    expect((await trial.job("0001")).billedTokens).toBe(7);
  });
});

describe("a row that changed since the export", () => {
  test("is stale, filled or gone: its vector is not written, and the sums say so", async () => {
    const trial = await ended(6, { 5: errorLine(3) });
    const theirs = `array_fill(0.5::real, ARRAY[128])::vector`;
    await trial.sql("UPDATE questions SET question_text = question_text || ' ' WHERE id = 1");
    await trial.sql(`UPDATE questions SET embedding = ${theirs} WHERE id = 2`);
    await trial.sql("DELETE FROM questions WHERE id = 3");
    await trial.sql("UPDATE questions SET question_text = '' WHERE id = 5");
    expect(await trial.import()).toMatchObject({
      requests: 6,
      written: 2,
      failed: 1,
      stale: 1,
      filled: 1,
      gone: 1,
    });
    expect(await trial.emptyIds()).toEqual([1, 5]);
    expect(await trial.sql(`SELECT id::text FROM questions WHERE embedding = ${theirs}`)).toEqual([
      { id: "2" },
    ]);
    expect(await trial.export()).toMatchObject({ exported: 1 });
    expect(await trial.idsIn("0002.requests.jsonl")).toEqual([1]);
  });

  test("and back to what it was is written", async () => {
    const trial = await ended(1);
    await trial.sql("UPDATE questions SET question_text = 'other'");
    await trial.sql("UPDATE questions SET question_text = 'Question number 1?'");
    expect(await trial.import()).toMatchObject({ written: 1 });
  });
});

async function changeTable(trial: Trial): Promise<void> {
  await trial.sql("UPDATE questions SET question_text = 'new' WHERE id IN (200, 900)");
  await trial.sql("DELETE FROM questions WHERE id IN (300, 1000)");
}

/** A store whose nth `apply` fails, before or after it took effect. */
function breaking(nth: number, when: "before" | "after"): Store {
  let calls = 0;
  return {
    ...workshop.store,
    apply: async (rows) => {
      // two are under way at once
      const call = (calls += 1);
      if (call === nth && when === "before") throw new Error("the connection broke");
      const outcomes = await workshop.store.apply(rows);
      if (call === nth) throw new Error("the connection broke");
      return outcomes;
    },
  };
}

describe("an import that breaks off", () => {
  const ROWS = 1_100;
  /** Rows with every outcome, spread over the chunks. */
  const EDITS = { 100: errorLine(14), 700: nothing, 1_050: errorLine(3) };

  const SUMS = { requests: ROWS, written: 1_093, failed: 3, stale: 2, filled: 0, gone: 2 };

  test("at any chunk, before or after it was written, comes to the same when repeated", async () => {
    const trial = await ended(ROWS, EDITS, { faults: "shuffle" });
    await changeTable(trial);
    for (const when of ["before", "after"] as const) {
      for (const nth of sized({ quick: [2], full: [1, 2, 3] })) {
        const store = breaking(nth, when);
        await expect(trial.import({ storeOf: async () => store })).rejects.toThrow("broke");
        expect(await trial.job("0001")).toMatchObject({ state: "downloaded", sums: undefined });
      }
    }
    expect(await trial.import()).toMatchObject(SUMS);
    expect(await trial.emptyIds()).toEqual([100, 200, 700, 900, 1_050]);
    expect(await trial.rightIds()).toHaveLength(SUMS.written);
    // thrice: a line is missing, and the same came by both routes; and once more when it was to be written
    expect(trial.emulator.calls("download")).toBe(4);
  });

  test("because it was interrupted leaves the job downloaded, and goes on later", async () => {
    const trial = await ended(ROWS, EDITS);
    await changeTable(trial);
    const controller = new AbortController();
    const report = ({ type }: { type: string }) => {
      if (type === "importing") controller.abort();
    };
    expect(await trial.import({ signal: controller.signal, report })).toMatchObject({
      imported: [],
      requests: 0,
    });
    expect(await trial.states()).toEqual(["0001 downloaded"]);
    expect(await trial.import()).toMatchObject(SUMS);
  });

  test("before the failed file is durable is not called imported", async () => {
    const trial = await ended(3, { 2: errorLine(14) });
    const inTheWay = trial.path("0001.failed.jsonl");
    await mkdir(inTheWay);
    await expect(trial.import()).rejects.toThrow(/EISDIR|EEXIST|EPERM/);
    expect(await trial.states()).toEqual(["0001 downloaded"]);
    expect((await trial.files()).filter((name) => name.endsWith(".part"))).toEqual([]);
    await rmdir(inTheWay);
    expect(await trial.import()).toMatchObject({ requests: 3, written: 2, failed: 1 });
    expect(await trial.idsIn("0001.failed.jsonl")).toEqual([2]);
  });

  test("between the failed file and the record leaves a file that the next import replaces", async () => {
    const trial = await ended(2, { 2: errorLine(14) });
    await writeFile(trial.path("0001.failed.jsonl"), "left by a crash\n");
    await writeFile(trial.path("0001.failed.csv"), "left by a crash\n");
    trial.setResults({});
    expect(await trial.import()).toMatchObject({ written: 2, failed: 0 });
    expect((await trial.files()).filter((name) => name.includes("failed"))).toEqual([]);
  });
});

describe("the results file", () => {
  test("is taken from the disk once it is there", async () => {
    const trial = await ended(2);
    const broken: Store = { ...workshop.store, apply: () => Promise.reject(new Error("down")) };
    await expect(trial.import({ storeOf: async () => broken })).rejects.toThrow("down");
    trial.setWire(() => Promise.reject(new Error("no network")));
    expect(await trial.import()).toMatchObject({ written: 2 });
  });

  test("that was changed or lost on disk is fetched again", async () => {
    const broken: Store = { ...workshop.store, apply: () => Promise.reject(new Error("down")) };
    for (const harm of [(path: string) => writeFile(path, "changed"), (path: string) => rm(path)]) {
      const trial = await ended(2);
      await expect(trial.import({ storeOf: async () => broken })).rejects.toThrow("down");
      await harm(trial.path("0001.results.jsonl"));
      expect(await trial.import()).toMatchObject({ written: 2 });
      expect(trial.emulator.calls("download")).toBe(2);
      const { bytes } = (await trial.job("0001")).resultsFile ?? {};
      expect(bytes).toBe((await readFile(trial.path("0001.results.jsonl"))).length);
    }
  });

  test("that broke on the way is fetched again, and never in part", async () => {
    for (const faults of ["download-cut=2x", "download-short=1x", "download-5xx=2x"]) {
      const trial = await ended(5, {}, { faults });
      trial.setWire((_call, send) => send());
      expect(await trial.import()).toMatchObject({ requests: 5, written: 5 });
    }
  });

  test("that Gemini has no more fails the job: its rows can be sent again, and are named", async () => {
    const trial = await ended(3, {}, { frozen: true });
    await trial.clock.sleep(50 * 24 * 3_600_000);
    expect(await trial.import()).toMatchObject({
      imported: [],
      requests: 3,
      failed: 3,
      failedFiles: [trial.path("0001.failed.jsonl")],
    });
    expect(await trial.job("0001")).toMatchObject({
      state: "failed",
      error: { message: expect.stringContaining("no longer at Gemini") },
    });
    expect(await failures(trial)).toEqual(
      Object.fromEntries(range(1, 3).map((id) => [id, "retryable batch"])),
    );
    await trial.resubmit();
    await trial.submit();
    await trial.poll();
    expect(await trial.import()).toMatchObject({ imported: ["0002"], written: 3 });
  });

  test("that another key cannot see fails nothing", async () => {
    const keys = { "a-key-for-tests": "one", another: "two" };
    const trial = await ended(3, {}, { frozen: true, keys });
    await trial.clock.sleep(50 * 24 * 3_600_000);
    const before = await trial.text("manifest.ndjson");
    const another = { keyId: "another", gemini: trial.clientOf("another") };
    await expect(trial.import(another)).rejects.toThrow(/^Job 0001:/);
    expect(await trial.text("manifest.ndjson")).toBe(before);
  });
});

describe("the column", () => {
  test("that changed its width meanwhile is refused with the mend, and nothing is written", async () => {
    const trial = await ended(2);
    await trial.sql("ALTER TABLE questions ALTER COLUMN embedding TYPE vector(256)");
    await expect(trial.import()).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringMatching(/256.*128/),
      hint: expect.stringContaining("--dimensions"),
    });
    expect(await trial.emptyIds()).toEqual([1, 2]);
    await trial.sql("ALTER TABLE questions ALTER COLUMN embedding TYPE vector(128)");
    expect(await trial.import()).toMatchObject({ written: 2 });
  });

  test("of each job is its own target's", async () => {
    const trial = await startTrial(workshop, texts(2));
    await trial.sql("ALTER TABLE questions ADD COLUMN other vector(128)");
    const target = { ...trial.target, embedding: "other" };
    const store = createSqlStore(workshop.database, target, { where: undefined });
    await trial.export();
    await trial.export({ target }, { store });
    await trial.submit();
    await trial.poll();
    const stores = new Map([
      ["embedding", workshop.store],
      ["other", store],
    ]);
    await trial.services({}, (all) =>
      importEnded({ ...all, storeOf: async (of) => stores.get(of.embedding) ?? neverAsked() }),
    );
    expect(await trial.rightIds()).toEqual([1, 2]);
    const sql = "SELECT count(*)::text AS n FROM questions WHERE other = embedding";
    expect(await trial.sql(sql)).toEqual([{ n: "2" }]);
  });

  test("gets its vectors also where the request file is away, and none where it is another one", async () => {
    const trial = await ended(2);
    const whole = await trial.text("0001.requests.jsonl");
    await writeFile(trial.path("0001.requests.jsonl"), `${whole}\n`);
    await expect(trial.import()).rejects.toMatchObject({ name: "UserError" });
    expect(await trial.emptyIds()).toEqual([1, 2]);
    await rm(trial.path("0001.requests.jsonl"));
    expect(await trial.import()).toMatchObject({ written: 2, failed: 0 });
    expect(await trial.rightIds()).toEqual([1, 2]);
  });
});

test("a text that is read in part is not sent again under the key of the whole", async () => {
  const trial = await startTrial(workshop, ["x".repeat(MAX_TEXT_CHARS + 9), "short"]);
  await trial.export({ onTooLong: "truncate" });
  const [, short = ""] = await workshop.keys();
  const again: string[] = [];
  await trial.services({}, async ({ manifest, store }) => {
    const rows = new RequestRows(2);
    for (const key of await workshop.keys()) rows.add(key);
    rows.failTheRest();
    const lines = await failedAgain({ store, manifest }, manifest.job("0001"), rows);
    for await (const { key } of lines) again.push(key);
  });
  expect(again).toEqual([short]);
});

test("a second import does nothing", async () => {
  const trial = await ended(2);
  await trial.import();
  const before = await trial.text("manifest.ndjson");
  expect(await trial.import()).toMatchObject({ imported: [], requests: 0 });
  expect(await trial.text("manifest.ndjson")).toBe(before);
});

/** What a row must come to, by the kinds of its lines in their order. */
function outcomeOf(lines: readonly string[]): string {
  const said = lines.filter((kind) => kind !== "empty" && kind !== "garbage");
  const distinct = new Set(said.map((kind) => (kind === "permanent" ? "retryable" : kind)));
  if (distinct.size > 1) return "retryable conflict";
  const [first] = said;
  if (first === "vector" || first === "other") return first;
  if (first !== undefined) return `${first} service`;
  return lines.includes("empty") ? "retryable malformed" : "retryable missing";
}

/** A file in which no line names a row is doubted, and none of its rows is touched. */
describe("any mixture of lines", () => {
  const VARIANTS: Readonly<Record<string, Edit>> = {
    vector: keep,
    other: otherVector,
    retryable: errorLine(14),
    permanent: errorLine(3),
    empty: withoutVector,
    garbage,
  };
  const kinds = fc.constantFrom(...Object.keys(VARIANTS));

  test("comes to the outcome that its lines alone decide, and the sums balance", async () => {
    const rows = fc
      .array(fc.array(kinds, { maxLength: 3 }), { minLength: 5, maxLength: 20 })
      .filter((plan) => plan.flat().some((kind) => kind !== "garbage"));
    await fc.assert(
      fc.asyncProperty(rows, async (plan) => {
        const edits = plan.map((lines, index): [number, Edit] => [
          index + 1,
          (line) => lines.flatMap((kind) => VARIANTS[kind]?.(line) ?? []),
        ]);
        const trial = await ended(plan.length, Object.fromEntries(edits));
        await trial.import();
        await expectBalance(trial);
        const outcomes = plan.map((lines, index): [number, string] => [
          index + 1,
          outcomeOf(lines),
        ]);
        const having = (outcome: string) =>
          outcomes.filter(([, each]) => each === outcome).map(([id]) => id);
        const written = [...having("vector"), ...having("other")];
        expect(await trial.rightIds()).toEqual(having("vector"));
        expect(await trial.emptyIds()).toEqual(
          outcomes.map(([id]) => id).filter((id) => !written.includes(id)),
        );
        const failed = outcomes.filter(([id]) => !written.includes(id));
        const told = failed.length === 0 ? {} : await failures(trial);
        expect(told).toEqual(Object.fromEntries(failed));
      }),
      { numRuns: sized({ quick: 3, full: 15 }) },
    );
  });
});
