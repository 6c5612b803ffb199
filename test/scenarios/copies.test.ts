// Many of my rows have the same text. Is each text paid for once in a job, does every row get the
// vector of its own text all the same, each with its own outcome; and is no row ever taken for another?
import { appendFile, readFile, rename, rm, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fingerprint, MD5_TWINS, olderFingerprint } from "../fingerprints.ts";
import { planCleaning } from "../../src/commands/clean/what-may-go.ts";
import { RequestRows } from "../../src/import/row-outcomes.ts";
import { copiesOf, type Job, linesOf } from "../../src/manifest/job.ts";
import { readManifest } from "../../src/jobs-folder/open.ts";
import { listedJob } from "../../src/commands/jobs/listed-job.ts";
import { pricesOf } from "../../src/cost/tariff.ts";
import {
  countRollback,
  requireRollbackable,
  rollbackJob,
} from "../../src/commands/rollback/rollback.ts";
import { checkFiles } from "../../src/commands/verify/recorded-jobs.ts";
import { balanced } from "../../src/row/sums.ts";
import { errorLine, range, startTrial, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { sized } from "../size.ts";
import { anyText } from "../any-text.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** Rows 1, 3 and 4 have one text, rows 2 and 5 another: lines of 1 and 2, copies 3, 4 and 5. */
const REPEATED = ["same", "other", "same", "same", "other"];

async function ended(rows: readonly string[] = REPEATED) {
  const trial = await startTrial(workshop, rows);
  await trial.untilEnded();
  return trial;
}

/** How often each text was paid for, by batches and at once. */
async function paidTimes(trial: Trial, rows: readonly string[]): Promise<Record<string, number>> {
  const paid: Record<string, number> = Object.fromEntries(trial.emulator.paidTexts());
  for (const [id, times] of Object.entries(await trial.paid())) {
    const text = rows[Number(id) - 1] ?? "";
    paid[text] = (paid[text] ?? 0) + times;
  }
  return paid;
}

async function imported(trial: Trial): Promise<Job> {
  await trial.import();
  return trial.job("0001");
}

/** A line that still says whose it is. */
function torn(line: string): string[] {
  return [`{${/"key":"[^"]*"/.exec(line)?.[0]},"response":{"embedding":{"values":[0.1,`];
}

describe("any rows, in either lane", () => {
  const rows = fc.array(fc.constantFrom("a", "b", "c", "d", "é\u2028"), {
    minLength: 1,
    maxLength: 14,
  });

  test("get the vectors of their texts, and a job pays for each text once", async () => {
    await fc.assert(
      fc.asyncProperty(
        rows,
        fc.integer({ min: 1, max: 8 }),
        fc.constantFrom("batch" as const, "sync" as const),
        async (texts, maxRows, lane) => {
          const trial = await startTrial(workshop, texts);
          try {
            const bounds = { ...workshop.bounds, maxRows };
            const exported = await trial.export({ bounds });
            await (lane === "sync" ? trial.embed() : trial.submit());
            await trial.poll();
            await trial.import();
            expect(await trial.rightIds()).toEqual(range(1, texts.length));
            const cut = Array.from({ length: Math.ceil(texts.length / maxRows) }, (_, job) =>
              texts.slice(job * maxRows, (job + 1) * maxRows),
            );
            const expected: Record<string, number> = {};
            for (const text of cut.flatMap((part) => [...new Set(part)])) {
              expected[text] = (expected[text] ?? 0) + 1;
            }
            expect(await paidTimes(trial, texts)).toEqual(expected);
            const jobs = await trial.jobs();
            expect(jobs.map(({ requests }) => requests)).toEqual(cut.map((part) => part.length));
            expect(jobs.map(linesOf)).toEqual(cut.map((part) => new Set(part).size));
            expect(copiesOf(jobs)).toBe(exported.copies);
            expect(jobs.every(({ sums }) => sums !== undefined && balanced(sums))).toBe(true);
          } finally {
            await trial.emulator.close();
          }
        },
      ),
      { numRuns: sized({ quick: 3, full: 12 }) },
    );
  }, 240_000);
});

describe("rows with one text", () => {
  test("stand in the copies file, which is there only where a text repeats", async () => {
    const trial = await startTrial(workshop, [...REPEATED, "alone"]);
    await trial.export({ bounds: { ...workshop.bounds, maxRows: 5 } });
    expect(await trial.files()).toEqual([
      "0001.copies.jsonl",
      "0001.requests.jsonl",
      "0002.requests.jsonl",
      "manifest.ndjson",
    ]);
    expect(await trial.idsIn("0001.requests.jsonl")).toEqual([1, 2]);
    expect(await trial.idsIn("0001.copies.jsonl")).toEqual([3, 4, 5]);
    expect(listedJob(await trial.job("0001"), pricesOf({}))).toMatchObject({
      requests: 5,
      copies: 3,
      files: { copies: "0001.copies.jsonl" },
    });
  });

  test("are on their way, all of them: none is exported again", async () => {
    const trial = await ended();
    expect(await trial.export()).toMatchObject({ exported: 0, skipped: { inFlight: 5 } });
  });

  test("have each an outcome of its own", async () => {
    const trial = await ended(["same", "same", "same", "same", "same"]);
    await trial.sql("UPDATE questions SET question_text = 'new' WHERE id = 2");
    await trial.sql(
      "UPDATE questions SET embedding = array_fill(1, ARRAY[128])::vector WHERE id = 3",
    );
    await trial.sql("DELETE FROM questions WHERE id = 4");
    const { sums } = await imported(trial);
    expect(sums).toEqual({ requests: 5, written: 2, failed: 0, stale: 1, filled: 1, gone: 1 });
    expect(await trial.rightIds()).toEqual([1, 5]);
  });

  test("get it also where the first of them is gone", async () => {
    const trial = await ended(["same", "same"]);
    await trial.sql("DELETE FROM questions WHERE id = 1");
    expect((await imported(trial)).sums).toMatchObject({ written: 1, gone: 1 });
    expect(await trial.rightIds()).toEqual([2]);
  });

  test("are written in as many chunks as they need", async () => {
    const many = Array.from({ length: 1_300 }, (_, index) =>
      index % 600 === 0 ? "rare" : "often",
    );
    const trial = await startTrial(workshop, many);
    await trial.untilEnded({ bounds: { maxRows: 5_000, maxTokens: 100_000, maxBytes: 1_000_000 } });
    expect((await imported(trial)).sums).toMatchObject({ requests: 1_300, written: 1_300 });
    expect(await trial.rightIds()).toEqual(range(1, 1_300));
  }, 60_000);

  test.each([
    ["an error", errorLine(13), "service"],
    ["no line", () => [], "missing"],
    ["a line that cannot be read", torn, "malformed"],
    [
      "lines that contradict each other",
      (line: string) => [line, line.replace(/0\.\d/, "0.123")],
      "conflict",
    ],
  ] as const)("fail together by %s, and are folded again when resubmitted", async (...given) => {
    const [, results, reason] = given;
    const trial = await startTrial(workshop, REPEATED);
    trial.setResults({ 1: results });
    await trial.untilEnded();
    const job = await imported(trial);
    expect(job.sums).toMatchObject({ requests: 5, written: 2, failed: 3 });
    expect(job.outstanding).toEqual({ lines: 3, retryable: 3 });
    expect(await trial.lines("0001.failed.jsonl")).toMatchObject(
      [1, 3, 4].map(() => ({
        error: { reason },
        request: { content: { parts: [{ text: "same" }] } },
      })),
    );
    expect(await trial.idsIn("0001.failed.jsonl")).toEqual([1, 3, 4]);
    trial.setWire((_call, send) => send());
    expect(await trial.resubmit()).toMatchObject([{ requests: 3, copies: { rows: 2 } }]);
    await trial.submit();
    await trial.poll();
    await trial.import();
    expect(await trial.rightIds()).toEqual([1, 2, 3, 4, 5]);
  });

  test("are all in the failed file of a batch that ended without results", async () => {
    const trial = await startTrial(workshop, REPEATED, { faults: "batch-fail=1x" });
    await trial.untilEnded();
    expect((await trial.job("0001")).sums).toMatchObject({ requests: 5, failed: 5 });
    expect(await trial.idsIn("0001.failed.jsonl")).toEqual([1, 2, 3, 4, 5]);
    expect(await trial.run()).toMatchObject({ requests: 5, written: 5 });
    expect(await trial.rightIds()).toEqual([1, 2, 3, 4, 5]);
  });

  test("are taken back together by a rollback", async () => {
    const trial = await ended();
    await imported(trial);
    const path = trial.path("0001.copies.jsonl");
    await rename(path, `${path}.away`);
    const allowed = () =>
      trial.services({}, ({ manifest }) => requireRollbackable(manifest, manifest.job("0001")));
    await expect(allowed()).rejects.toThrow("The copies file of job 0001 is gone");
    await rename(`${path}.away`, path);
    await allowed();
    await trial.sql("UPDATE questions SET embedding = NULL WHERE id = 4");
    const count = await trial.services({}, (all) => countRollback(all, all.manifest.job("0001")));
    expect(count).toBe(4);
    const done = await trial.services({}, (all) => rollbackJob(all, all.manifest.job("0001")));
    expect(done).toMatchObject({ state: "rolledBack", rolledBack: 4 });
    expect(await trial.emptyIds()).toEqual([1, 2, 3, 4, 5]);
  });

  test("are told by a run that embeds them at once", async () => {
    const trial = await startTrial(workshop, REPEATED);
    const lane = { lane: "sync", syncUpToTokens: 0 } as const;
    expect(await trial.run({ lane })).toMatchObject({ requests: 5, written: 5, copies: 3 });
    expect(await trial.rightIds()).toEqual([1, 2, 3, 4, 5]);
    expect(Object.fromEntries(trial.emulator.paidTexts())).toEqual({ same: 1, other: 1 });
  });
});

describe("the copies file", () => {
  test("that is missing or changed is told of, and nothing is paid for or written without it", async () => {
    const trial = await startTrial(workshop, REPEATED);
    await trial.export();
    const path = trial.path("0001.copies.jsonl");
    const whole = await readFile(path);
    await appendFile(path, "\n");
    expect(await checkFiles(await readManifest(trial.folder))).toMatchObject({
      problems: [{ job: "0001", file: "copies", problem: "changed" }],
    });
    await expect(trial.submit()).rejects.toThrow("0001.copies.jsonl of job 0001 has been changed");
    expect(trial.emulator.batches()).toEqual([]);
    await writeFile(path, whole);
    await trial.submit();
    await trial.poll();
    await rm(path);
    await expect(trial.import()).rejects.toThrow("0001.copies.jsonl of job 0001 is missing");
    expect(await trial.emptyIds()).toEqual([1, 2, 3, 4, 5]);
    await writeFile(path, whole);
    await trial.import();
    expect(await trial.rightIds()).toEqual([1, 2, 3, 4, 5]);
  });

  test("goes with the request file when it is cleaned", async () => {
    const trial = await ended();
    await imported(trial);
    const options = { keepResults: false, now: new Date() };
    const [cleaning] = await planCleaning(await readManifest(trial.folder), options);
    expect(cleaning?.local.map(({ part, path }) => [part, path])).toEqual([
      ["requests", trial.path("0001.requests.jsonl")],
      ["requests", trial.path("0001.copies.jsonl")],
      ["results", trial.path("0001.results.jsonl")],
    ]);
  });

  test("that a crash left under a job's number is not taken for that job's", async () => {
    const trial = await startTrial(workshop, ["alone"]);
    await trial.services({}, async () => {});
    await writeFile(trial.path("0001.copies.jsonl"), "left over\n");
    await trial.export();
    expect(await trial.files()).not.toContain("0001.copies.jsonl");
  });
});

describe("two texts under one fingerprint", () => {
  test("of md5 are two texts: each row gets the vector of its own", async () => {
    const [one, other] = MD5_TWINS;
    expect(olderFingerprint(one)).toBe(olderFingerprint(other));
    const trial = await startTrial(workshop, [one, other, other, one, one]);
    await trial.export();
    expect(await trial.idsIn("0001.requests.jsonl")).toEqual([1, 2]);
    expect(await trial.idsIn("0001.copies.jsonl")).toEqual([3, 4, 5]);
    await trial.submit();
    await trial.sql(`UPDATE questions SET question_text = '${other}' WHERE id = 5`);
    await trial.poll();
    await trial.import();
    expect(await trial.rightIds()).toEqual([1, 2, 3, 4]);
    expect((await trial.job("0001")).sums).toMatchObject({ written: 4, stale: 1 });
  });

  test("as an edited failed file has them are sent as they stand there", async () => {
    const trial = await startTrial(workshop, ["same", "same", "same"], { faults: "batch-fail=1x" });
    await trial.untilEnded();
    const path = trial.path("0001.failed.jsonl");
    const [first, second = "", third] = (await readFile(path, "utf8")).split("\n");
    const edited = second.replace('"text":"same"', '"text":"shorter"');
    await writeFile(path, [first, edited, third, ""].join("\n"));
    await trial.resubmit();
    const texts = (await trial.lines("0002.requests.jsonl")).map((line) => JSON.stringify(line));
    expect(texts).toMatchObject([
      expect.stringContaining('"text":"same"'),
      expect.stringContaining('"text":"shorter"'),
    ]);
    expect(await trial.idsIn("0002.copies.jsonl")).toEqual([3]);
  });
});

test("copies are linked to their rows with ids of any kind and length", () => {
  const ids = fc.array(anyText({ maxLength: 900 }), { minLength: 1 });
  fc.assert(
    fc.property(ids, (all) => {
      const rows = new RequestRows(2, all.length);
      for (const text of ["a", "b"]) rows.add(`first of ${text}@${fingerprint(text)}`);
      for (const [place, id] of all.entries()) {
        rows.add(`${place} ${id.toWellFormed()}@${fingerprint(place % 2 === 0 ? "a" : "b")}`);
      }
      const linked = [0, 1].flatMap((first) =>
        [...rows.copiesOf(first)].map(({ ordinal, id }) => [first, ordinal - 2, id] as const),
      );
      expect(linked.toSorted((a, b) => a[1] - b[1])).toEqual(
        all.map((id, place) => [place % 2, place, `${place} ${id.toWellFormed()}`]),
      );
      expect(rows.ordinalOf(`first of b@${fingerprint("b")}`)).toBe(1);
      expect(rows.ordinalOf(`0 ${all[0]?.toWellFormed()}@${fingerprint("a")}`)).toBeUndefined();
    }),
    { numRuns: 30 },
  );
});
