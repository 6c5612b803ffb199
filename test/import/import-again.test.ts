// The database was restored from a backup, or lost its last commits in a failover, and rows that were
// imported are NULL again. Do I get their vectors back from the jobs folder without paying, and only theirs?
import { appendFile, rm } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { countEmpty, writeAgain } from "../../src/import/again/again.ts";
import { PaidRows, writePaid } from "../../src/import/again/paid-for.ts";
import { UserError } from "../../src/errors.ts";
import { readRequestKeys } from "../../src/jobs-folder/request-file.ts";
import type { Job } from "../../src/manifest/job.ts";
import { wasImported } from "../../src/manifest/states.ts";
import { KeySet } from "../../src/row/key-table.ts";
import { rollbackJob } from "../../src/commands/rollback/rollback.ts";
import { runHere } from "../command-line.ts";
import { type Instead, startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** Job 0001 with a row for each text, imported. */
async function imported(rows: readonly string[]): Promise<Trial> {
  const trial = await startTrial(workshop, rows);
  await trial.untilEnded();
  await trial.import();
  return trial;
}

async function again(trial: Trial): Promise<number> {
  const ends = await trial.services({}, (all) => writeAgain(all, all.manifest.job("0001")));
  return ends.filter((end) => end === "written").length;
}

function counted(trial: Trial): Promise<number> {
  return trial.services({}, (all) => countEmpty(all, all.manifest.job("0001"), new KeySet()));
}

function away(): Promise<never> {
  return Promise.reject(new UserError("Gemini is away.", { hint: "Later.", exit: "unfinished" }));
}

describe("what the database has lost", () => {
  test("is written again where the text is the same, paid once, and noted once", async () => {
    const trial = await imported(texts(5));
    const journal = await trial.text("manifest.ndjson");
    await trial.sql("UPDATE questions SET embedding = NULL WHERE id IN (1, 2, 4)");
    await trial.sql("UPDATE questions SET question_text = 'another' WHERE id = 2");
    await trial.sql("DELETE FROM questions WHERE id = 5");
    expect(await counted(trial)).toBe(2);
    expect(await again(trial)).toBe(2);
    expect(await trial.rightIds()).toEqual([1, 3, 4]);
    expect(await trial.emptyIds()).toEqual([2]);
    expect(await again(trial)).toBe(0);
    const noted = (await trial.text("manifest.ndjson")).slice(journal.length);
    expect(noted).toMatch(/^\{"type":"writtenAgain","job":"0001","rows":2,[^\n]*\n$/);
    expect(await trial.paid()).toEqual({ 1: 1, 2: 1, 3: 1, 4: 1, 5: 1 });
  });

  test("is written again for rows of the same text, too", async () => {
    const trial = await imported(["one", "two", "one", "one"]);
    await trial.sql("UPDATE questions SET embedding = NULL");
    expect(await again(trial)).toBe(4);
    expect(await trial.rightIds()).toEqual([1, 2, 3, 4]);
  });

  test("is no row for which its results contradict themselves", async () => {
    const trial = await startTrial(workshop, texts(3));
    trial.setResults({ 2: (line) => [line, line.replace(/0\.\d/, "0.123")] });
    await trial.untilEnded();
    await trial.import();
    await trial.sql("UPDATE questions SET embedding = NULL");
    expect([await counted(trial), await again(trial)]).toEqual([2, 2]);
    expect(await trial.emptyIds()).toEqual([2]);
  });

  test("is no row that an open child job is under way with, though the parent's results have it by now", async () => {
    const trial = await startTrial(workshop, texts(3));
    const came: string[] = [];
    const missing = (line: string) => {
      came.push(line);
      return [];
    };
    trial.setResults({ 2: missing });
    await trial.untilEnded();
    await trial.import();
    await trial.resubmit();
    await appendFile(trial.path("0001.results.jsonl"), `${came[0]}\n`);
    await trial.sql("UPDATE questions SET embedding = NULL");
    expect([await counted(trial), await again(trial)]).toEqual([2, 2]);
    expect(await trial.emptyIds()).toEqual([2]);
  });

  test("waits where its results are lost and cannot be fetched now: nobody pays again for what Gemini has", async () => {
    const trial = await imported(texts(2));
    const keys = await trial.services({}, async ({ manifest }) => {
      const found = [];
      for await (const some of readRequestKeys(manifest.files("0001"), manifest.job("0001")))
        found.push(...some);
      return found;
    });
    await rm(trial.path("0001.results.jsonl"));
    const known = (fetch: () => Promise<Job | undefined>) =>
      trial.services({}, async (all) => {
        const rows = new PaidRows({ ...all, fetch }, trial.target);
        const held = await rows.ask?.(keys);
        return { held: held?.size, gone: keys.filter((key) => rows.isGone(key)).length };
      });
    expect(await known(away)).toEqual({ held: 2, gone: 0 });
    expect(await known(async () => undefined)).toEqual({ held: 0, gone: 2 });
  });

  test("is told where the table takes it no more, or fails, and stops nothing else", async () => {
    const trial = await imported(texts(2));
    await trial.sql("UPDATE questions SET embedding = NULL");
    const paid = (instead: Instead) =>
      trial.services(instead, async (all) => {
        const job = all.manifest.job("0001");
        const keys = new KeySet();
        for await (const some of readRequestKeys(all.manifest.files("0001"), job))
          for (const key of some) keys.add(key);
        return writePaid(all, [{ job, keys }]);
      });
    const told = () => workshop.events.findLast(({ type }) => type === "warning");
    await trial.sql("ALTER TABLE questions ADD CONSTRAINT odd CHECK (embedding IS NULL)");
    expect(await paid({})).toBe(0);
    expect(told()).toMatchObject({ message: expect.stringMatching(/^Job 0001: .* 2 rows: .*odd/) });
    expect(await paid({ store: { ...workshop.store, apply: away } })).toBe(0);
    expect(told()).toMatchObject({ message: "Gemini is away." });
    await trial.sql("ALTER TABLE questions DROP CONSTRAINT odd");
    expect(await paid({})).toBe(2);
  });

  test("is not what a rollback took out, or another gave a vector", async () => {
    const trial = await imported(texts(2));
    await trial.services({}, (all) => rollbackJob(all, all.manifest.job("0001")));
    expect((await trial.jobs()).filter(wasImported)).toEqual([]);
    await trial.sql(
      "UPDATE questions SET embedding = array_fill(0.5, ARRAY[128])::vector WHERE id = 1",
    );
    expect(await counted(trial)).toBe(1);
  });
});

test("the command names the jobs whose results are not there any more", async () => {
  const trial = await imported(texts(12));
  await rm(trial.path("0001.results.jsonl"));
  await rm(trial.path("0002.results.jsonl"));
  const command = (...args: readonly string[]) =>
    runHere(["import", "--again", "--jobs-dir", trial.folder, ...args], {
      env: { DATABASE_URL: "pglite:memory" },
    });
  const { code, stdout } = await command("--json");
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    looked: [],
    withoutResults: ["0001", "0002"],
    rows: 0,
  });
  expect((await command("--dry-run")).stdout).toMatch(
    /not in the jobs folder any more: 0001, 0002/,
  );
});
