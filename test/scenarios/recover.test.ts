// The jobs folder is gone, with batches under way and others that have ended: does `recover`, and then `run`, fill
// every row without paying for a line twice, also beside jobs of this folder, and where rows have failed?
import { appendFile, copyFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { EXIT_CODES } from "../../src/errors.ts";
import { type Folders, openFolders, TEXTS } from "../folders.ts";
import { IN_FULL } from "../size.ts";

const ALL_FILLED = { twice: [], empty: 0, wrong: 0 };

/** The folder has sent three jobs, of which the first has ended, and is gone. */
async function lost(
  texts: readonly string[] = TEXTS,
  options: Parameters<typeof openFolders>[1] = {},
): Promise<Folders> {
  const folders = await openFolders(texts, options);
  const { vecfill, endBatches, home } = folders;
  await vecfill("jobs", "export", "--limit", "3");
  await vecfill("jobs", "submit");
  await endBatches();
  await vecfill("jobs", "export");
  await vecfill("jobs", "submit");
  await rm(join(home, "jobs"), { recursive: true });
  return folders;
}

test("a folder that was deleted loses nothing that Gemini has", async () => {
  const { vecfill, vecfillInTime, books, home } = await lost();
  expect(await vecfill("jobs", "run")).toMatchObject({ code: EXIT_CODES.fatal });

  const dry = await vecfill("jobs", "recover", "--dry-run");
  expect(dry).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Would make jobs of 3 batches:/),
  });
  expect(await vecfill("jobs", "jobs", "--json")).toMatchObject({
    stdout: expect.stringMatching(/"jobs":\[\]/),
  });

  expect(await vecfill("jobs", "recover")).toMatchObject({
    code: EXIT_CODES.unfinished,
    stdout: expect.stringMatching(
      /^Made jobs of 3 batches: 0001, 0002, 0003\.\nImported: 0001\.\n[^]*Under way still: 0002, 0003\.$/m,
    ),
    stderr: expect.stringMatching(/^next: vecfill run /m),
  });
  expect(await books()).toMatchObject({ empty: 4, wrong: 0 });
  // nobody knows which rows these are
  expect(await vecfill("jobs", "export")).toMatchObject({ code: EXIT_CODES.unfinished });
  expect(await vecfill("jobs", "recover")).toMatchObject({
    stdout: expect.stringMatching(/^With this key Gemini shows no batch[^\n]*\nUnder way still/),
  });

  expect(await vecfillInTime("jobs", "run")).toMatchObject({ code: 0 });
  expect(await books()).toEqual({ ...ALL_FILLED, paid: 7 });
  expect(await vecfill("jobs", "verify")).toMatchObject({ code: 0 });
  const shown = await vecfill("jobs", "jobs", "0001");
  expect(shown.stdout).toMatch(/recovered/);
  expect(await readFile(join(home, "jobs", "0001.rows.jsonl"), "utf8")).toMatch(/^\{"key":"1@/);
});

test("rows that were to get another one's vector get it, and new rows are sent", async () => {
  const { vecfill, vecfillInTime, books, sql } = await lost([
    "one",
    "two",
    "one",
    "three",
    "four",
    "one",
  ]);
  await sql("INSERT INTO questions VALUES (50, 'five')");
  await vecfill("jobs", "recover");
  expect(await vecfillInTime("jobs", "run")).toMatchObject({ code: 0 });
  expect(await books()).toEqual({ ...ALL_FILLED, paid: 6 });
});

describe("rows that failed", () => {
  /** Every row of the batches that end now. */
  const failing = { faults: "retryable=1" };

  test("wait, with the text that the table has, until a person says that the other folder is gone", async () => {
    const { vecfill, vecfillInTime, books, emulator, endBatches, sql } = await lost(TEXTS, failing);
    await endBatches();
    emulator.setFaults("");
    await sql("UPDATE questions SET question_text = 'another' WHERE id = 2");
    await sql("DELETE FROM questions WHERE id = 3");
    const recovered = await vecfill("jobs", "recover", "--json");
    expect([recovered.code, JSON.parse(recovered.stdout)]).toMatchObject([
      EXIT_CODES.rowsFailed,
      { requests: 7, written: 0, failed: 5, stale: 1, filled: 0, gone: 1 },
    ]);
    // of the rows, the one with a new text is nobody's
    expect(await vecfillInTime("jobs", "run")).toMatchObject({ code: 0 });
    expect(await vecfill("jobs", "resubmit")).toMatchObject({
      stdout: expect.stringMatching(/^Nothing/),
      stderr: expect.stringMatching(/^hint: .*`vecfill resubmit --beside/m),
    });
    expect(await books()).toMatchObject({ empty: 5, wrong: 0 });
    expect(await vecfillInTime("jobs", "run", "--beside")).toMatchObject({ code: 0 });
    expect(await books()).toEqual({ ...ALL_FILLED, paid: 6 });
  });

  test("of a batch without results are selected again", async () => {
    const { vecfill, vecfillInTime, books } = await lost(TEXTS, { faults: "batch-fail=2x" });
    await vecfill("jobs", "recover");
    expect(await vecfillInTime("jobs", "run")).toMatchObject({ code: 0 });
    expect(await books()).toMatchObject(ALL_FILLED);
  });
});

describe("a folder that has jobs of its own", () => {
  test("keeps them, and is told of those that may ask for the same rows", async () => {
    const { vecfill, vecfillInTime, books } = await lost();
    await vecfill("jobs", "export", "--beside");
    const before = JSON.parse((await vecfill("jobs", "jobs", "--json")).stdout).jobs;
    const { stderr } = await vecfill("jobs", "recover");
    expect(stderr).toMatch(/^hint: .*`vecfill cancel 0001 0002 0003/m);
    const after = JSON.parse((await vecfill("jobs", "jobs", "--json")).stdout).jobs;
    expect(after.slice(0, 3)).toEqual(before);
    await vecfill("jobs", "cancel", "0001", "0002", "0003");
    expect(await vecfillInTime("jobs", "run")).toMatchObject({ code: 0 });
    expect(await books()).toEqual({ ...ALL_FILLED, paid: 7 });
  });

  test("counts what was recovered in its limit on cost", IN_FULL, async () => {
    const { vecfill, vecfillInTime, sql, emulator } = await lost();
    await vecfill("jobs", "recover");
    await sql("INSERT INTO questions VALUES (50, 'one more')");
    // seven rows of some five tokens
    const dear = ["--price", "1000", "--max-cost", "0.03", "--yes"];
    expect(await vecfillInTime("jobs", "run", ...dear)).toMatchObject({
      code: EXIT_CODES.costLimit,
    });
    expect(emulator.batches()).toHaveLength(3);
  });
});

test("a batch that was made for another task is left", async () => {
  const { vecfill } = await lost();
  const other = ["recover", "--task-type", "CLUSTERING"];
  expect(await vecfill("jobs", ...other)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^With this key Gemini shows no batch .* CLUSTERING that/),
  });
});

describe("a request file that is lost while its batch is under way", () => {
  test("costs nothing: the results tell the rows, and the table their texts", async () => {
    const { vecfill, vecfillInTime, books, home, emulator, endBatches } = await openFolders(
      ["one", "two", "one", "three"],
      { faults: "retryable=0.5" },
    );
    await vecfill("jobs", "export");
    await vecfill("jobs", "submit");
    for (const name of ["0001.requests.jsonl", "0001.copies.jsonl", "0002.requests.jsonl"])
      await rm(join(home, "jobs", name));
    expect(await vecfill("jobs", "export")).toMatchObject({ code: EXIT_CODES.unfinished });
    await endBatches();
    emulator.setFaults("");
    expect(await vecfillInTime("jobs", "run")).toMatchObject({ code: 0 });
    expect(await books()).toEqual({ ...ALL_FILLED, paid: 3 });
  });
});

describe("rows that the database has lost since they were imported", () => {
  const LEFT_OUT = /^Left out: 4 rows paid for before/m;

  test("are not paid for again, whichever job had them: a run writes them, and others say so", async () => {
    const { vecfill, vecfillInTime, sql, books } = await openFolders([...TEXTS, TEXTS[0] ?? ""]);
    await vecfillInTime("jobs", "run");
    const { paid } = await books();
    // of the first job, of the second, and one that was not sent, since row 1 has its text
    await sql("UPDATE questions SET embedding = NULL WHERE id IN (1, 2, 5, 8)");
    for (const command of [["plan"], ["run", "--dry-run"], ["export"]]) {
      expect(await vecfill("jobs", ...command)).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(LEFT_OUT),
        stderr: expect.stringMatching(/^next: vecfill run /m),
      });
    }
    expect(await vecfill("jobs", "status")).toMatchObject({
      stdout: expect.stringMatching(/^Not finished: 4 rows without a vector\.$/m),
    });
    expect(await vecfill("jobs", "verify")).toMatchObject({
      code: EXIT_CODES.rowsFailed,
      stdout: expect.stringMatching(/^  4 rows that jobs wrote have no vector now\./m),
    });
    expect(await vecfill("jobs", "import", "--again", "--dry-run")).toMatchObject({
      stdout: expect.stringMatching(/ 4 rows are NULL,/),
    });
    // another text is another row
    await sql("UPDATE questions SET embedding = NULL, question_text = 'new' WHERE id = 3");
    expect(await vecfillInTime("jobs", "run")).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /^1 request = 1 written [^]*^Written again, at no cost: 4 rows that had lost their vectors\.$/m,
      ),
      stderr: expect.stringMatching(/^next: vecfill verify /m),
    });
    expect(await books()).toEqual({ ...ALL_FILLED, paid: paid + 1 });
    expect(await vecfill("jobs", "verify")).toMatchObject({ code: 0 });
    expect(await vecfillInTime("jobs", "run")).toMatchObject({
      stdout: expect.stringMatching(/^Nothing to do\./m),
    });
  });

  test("are fetched where Gemini has them still, and paid for where clean has taken all, which is said before", async () => {
    const { vecfill, vecfillInTime, sql, books, home } = await openFolders(["one", "two", "one"]);
    await vecfillInTime("jobs", "run");
    await sql("UPDATE questions SET embedding = NULL");
    await rm(join(home, "jobs", "0001.results.jsonl"));
    expect(await vecfill("jobs", "import", "--again", "--dry-run")).toMatchObject({
      stderr: expect.stringMatching(/^next: vecfill import --again /m),
    });
    expect(await vecfill("jobs", "plan")).toMatchObject({
      stderr: expect.stringMatching(/^warning: Rows of job 0001 .* a run asks Gemini for them/m),
    });
    // also by stages
    expect(await vecfill("jobs", "export", "--json")).toMatchObject({
      stdout: expect.stringMatching(/"exported":0,.*"paidBefore":3/),
    });
    await vecfillInTime("jobs", "run");
    expect(await books()).toEqual({ ...ALL_FILLED, paid: 2 });
    await vecfill("jobs", "clean", "--yes");
    await sql("UPDATE questions SET embedding = NULL");
    await sql("INSERT INTO questions VALUES (50, 'a new one')");
    const said = expect.stringMatching(
      /^warning: Rows of job 0001 have lost their vectors, and its results were deleted by clean: they are paid for again\.$/m,
    );
    expect(await vecfill("jobs", "plan")).toMatchObject({ code: EXIT_CODES.done, stderr: said });
    expect(await vecfill("jobs", "verify", "--json")).toMatchObject({
      code: EXIT_CODES.rowsFailed,
      stdout: expect.stringMatching(/"emptiedSince":3/),
      stderr: said,
    });
    expect(await vecfill("jobs", "import", "--again")).toMatchObject({
      stdout: expect.stringMatching(/since clean deleted their results: 0001\.$/m),
    });
    const run = await vecfillInTime("jobs", "run", "--yes");
    expect(run).toMatchObject({ stderr: said });
    expect(run.stderr.match(/^warning: Rows of job 0001/gm)).toHaveLength(1);
    expect(await books()).toMatchObject({ empty: 0, paid: 5 });
  });

  test("are counted once, though two jobs have them", IN_FULL, async () => {
    const { vecfill, vecfillInTime, sql, books, home } = await openFolders(TEXTS.slice(0, 3));
    await vecfillInTime("jobs", "run");
    await copyFile(join(home, "jobs", "0001.requests.jsonl"), join(home, "mine.jsonl"));
    await sql("UPDATE questions SET embedding = NULL");
    await vecfill("jobs", "resubmit", join(home, "mine.jsonl"));
    await vecfillInTime("jobs", "run");
    expect(await books()).toMatchObject({ paid: 6, empty: 0 });
    await sql("UPDATE questions SET embedding = NULL WHERE id = 1");
    expect(await vecfill("jobs", "import", "--again", "--dry-run")).toMatchObject({
      stdout: expect.stringMatching(/ 1 row is NULL,/),
    });
    expect(await vecfill("jobs", "verify", "--json")).toMatchObject({
      stdout: expect.stringMatching(/"emptiedSince":1/),
    });
  });

  test("are not those that a job answered twice, nor what was rolled back since: they are sent", async () => {
    const { vecfill, vecfillInTime, books, emulator, sql } = await openFolders(TEXTS.slice(0, 3), {
      faults: "conflict=1",
    });
    await vecfillInTime("jobs", "run", "--max-attempts", "1");
    expect(await vecfill("jobs", "resubmit")).toMatchObject({ code: 0 });
    await vecfill("jobs", "cancel", "0002", "--yes");
    emulator.setFaults("");
    await vecfillInTime("jobs", "run");
    expect(await books()).toMatchObject({ empty: 0, paid: 6 });
    // without a terminal and without --yes nothing happens
    await sql("UPDATE questions SET embedding = NULL WHERE id = 2");
    expect(await vecfill("jobs", "rollback", "0003")).toMatchObject({
      code: EXIT_CODES.usage,
      stderr: expect.stringMatching(
        /Set 2 vectors of public\.questions\.embedding back to NULL[^]*1 more changed or lost theirs[^]*--yes/,
      ),
    });
    expect(await books()).toMatchObject({ empty: 1 });
    await vecfill("jobs", "rollback", "0003", "--yes");
    await vecfillInTime("jobs", "run");
    expect(await books()).toMatchObject({ empty: 0, paid: 9 });
  });

  test("are written also where their job's lines were written by hand", IN_FULL, async () => {
    const { vecfill, vecfillInTime, sql, books, home } = await openFolders(TEXTS.slice(0, 3));
    await vecfill("jobs", "export");
    const requests = await readFile(join(home, "jobs", "0001.requests.jsonl"), "utf8");
    await vecfill("jobs", "cancel", "0001", "--yes");
    await writeFile(join(home, "mine.jsonl"), requests);
    await vecfill("jobs", "resubmit", join(home, "mine.jsonl"));
    await vecfillInTime("jobs", "run");
    await sql("UPDATE questions SET embedding = NULL");
    await vecfillInTime("jobs", "run");
    expect(await books()).toEqual({ ...ALL_FILLED, paid: 3 });
  });

  test("cost no new row anything where what their job was made of is damaged, or gone", async () => {
    const same = TEXTS[0] ?? "";
    const { vecfill, vecfillInTime, sql, books, home } = await openFolders([same, same]);
    await vecfillInTime("jobs", "run");
    await appendFile(join(home, "jobs", "0001.requests.jsonl"), " ");
    await sql("UPDATE questions SET embedding = NULL WHERE id = 1");
    await sql("INSERT INTO questions VALUES (9, 'A new one')");
    expect(await vecfillInTime("jobs", "run")).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^warning: What job 0001 wrote cannot be written again: /m),
    });
    expect(await books()).toMatchObject({ empty: 0, wrong: 0 });
    await rm(join(home, "jobs", "0001.copies.jsonl"));
    await sql("UPDATE questions SET embedding = NULL WHERE id = 2");
    for (const command of ["plan", "status", "verify"])
      expect((await vecfill("jobs", command)).code).not.toBe(EXIT_CODES.fatal);
    await vecfillInTime("jobs", "run");
    expect(await books()).toMatchObject({ empty: 0, wrong: 0 });
  });

  test(
    "are told by verify also while a job is open, and by a run where the table refuses one",
    IN_FULL,
    async () => {
      const { vecfill, vecfillInTime, sql, books } = await openFolders(TEXTS);
      await vecfillInTime("jobs", "run");
      await sql("UPDATE questions SET embedding = NULL WHERE id < 4");
      await sql("ALTER TABLE questions ADD CHECK (id <> 1 OR embedding IS NULL) NOT VALID");
      await sql("INSERT INTO questions VALUES (9, 'A new one')");
      await vecfill("jobs", "export");
      expect(await vecfill("jobs", "verify", "--json")).toMatchObject({
        stdout: expect.stringMatching(/"emptiedSince":3/),
      });
      expect(await vecfillInTime("jobs", "run", "--where", "id <> 2")).toMatchObject({
        stdout: expect.stringMatching(
          /^Written again, at no cost: 1 row that had lost its vector\.\nLeft out: 1 row paid for before/m,
        ),
        stderr: expect.stringMatching(/^warning: Job 0001: The table takes no vector for 1 row: /m),
      });
      expect(await books()).toMatchObject({ empty: 2, wrong: 0 });
    },
  );
});

test(
  "rows that failed and were sent again are no rows that the database has lost",
  IN_FULL,
  async () => {
    const { vecfill, endBatches } = await openFolders(TEXTS, { faults: "retryable=1" });
    await vecfill("jobs", "export");
    await vecfill("jobs", "submit");
    await endBatches();
    await vecfill("jobs", "poll");
    await vecfill("jobs", "import");
    await vecfill("jobs", "resubmit");
    await vecfill("jobs", "submit");
    expect((await vecfill("jobs", "run", "--timeout", "0.01")).stderr).not.toMatch(/any more/);
  },
);
