// Two jobs folders fill one table, or the one I had is gone: am I told of the batches of the other one before
// anything is paid for twice, and of those only that are in the way?
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { EXIT_CODES } from "../../src/errors.ts";
import { batchDisplayName, parseBatchName, targetMark } from "../../src/jobs-folder/batch-names.ts";
import { MODELS } from "../../src/row/models.ts";
import { projectRef } from "../../src/store/postgres/place.ts";
import { connectGemini } from "../../src/gemini/client.ts";
import { otherBatches } from "../../src/submit/others.ts";
import { type Folders, openFolders, TEXTS } from "../folders.ts";
import { newJob } from "../manifest/sample.ts";
import { IN_FULL } from "../size.ts";

/** The folder `one` has sent all rows; its batches are under way. */
async function sentByOne(): Promise<Folders> {
  const folders = await openFolders(TEXTS);
  expect(await folders.vecfill("one", "export")).toMatchObject({ code: 0 });
  expect(await folders.vecfill("one", "submit")).toMatchObject({ code: 0 });
  return folders;
}

const UNDER_WAY = /^error: At Gemini 3 batches for public\.questions\.embedding are under way/m;
const AWAITED =
  /^error: The results of vecfill-\S+, which this jobs folder has not sent, name rows/m;

describe("batches of another folder that are under way", () => {
  test("end run, submit and export before anything is made or paid for, and name the ways out", async () => {
    const { vecfill, books, emulator } = await sentByOne();
    for (const command of ["run", "export"]) {
      const { code, stderr } = await vecfill("two", command);
      expect({ command, code, stderr }).toEqual({
        command,
        code: EXIT_CODES.fatal,
        stderr: expect.stringMatching(UNDER_WAY),
      });
      expect(stderr).toMatch(
        /^hint: If the folder .* is lost, `vecfill recover --jobs-dir.*--beside/m,
      );
    }
    // made before, or without a key
    expect(await vecfill("two", "export", "--beside")).toMatchObject({ code: 0 });
    expect(await vecfill("two", "submit")).toMatchObject({ code: EXIT_CODES.fatal });
    expect(emulator.batches()).toHaveLength(3);
    expect(await books()).toMatchObject({ twice: [] });
  });

  test("are told by plan, doctor and what runs dry", async () => {
    const { vecfill } = await sentByOne();
    for (const args of [["plan"], ["run", "--dry-run"], ["export", "--dry-run"]]) {
      const { code, stderr } = await vecfill("two", ...args);
      expect([args, code, stderr]).toEqual([
        args,
        0,
        expect.stringMatching(/^warning: At Gemini 3 batches/m),
      ]);
    }
    expect((await vecfill("two", "doctor")).stdout).toMatch(
      /^warning +other folders +At Gemini 3 batches/m,
    );
    expect((await vecfill("one", "doctor")).stdout).toMatch(
      /^ok +other folders +none has batches/m,
    );
  });

  test(
    "do not keep their own folder, another column or another table from anything",
    IN_FULL,
    async () => {
      const { vecfill, sql, endBatches } = await sentByOne();
      await sql("ALTER TABLE questions ADD other vector(128)");
      expect(await vecfill("two", "export", "--embedding", "other")).toMatchObject({ code: 0 });
      await sql("CREATE TABLE answers (LIKE questions INCLUDING ALL)");
      expect(await vecfill("three", "export", "--table", "answers")).toMatchObject({ code: 0 });
      await endBatches();
      expect(await vecfill("one", "run")).toMatchObject({ code: 0 });
    },
  );

  test("are no obstacle where a person says so: both folders end well", async () => {
    const { vecfill, vecfillInTime, books } = await sentByOne();
    expect(await vecfillInTime("two", "run", "--beside")).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(
        /^warning: At Gemini 3 batches|^warning: Gemini has the results/m,
      ),
    });
    expect(await vecfill("one", "run")).toMatchObject({ code: 0 });
    expect(await books()).toMatchObject({ empty: 0, wrong: 0 });
  });
});

describe("batches of another folder that have ended", () => {
  test("are in the way while rows wait for them", async () => {
    const { vecfill, endBatches, sql, books } = await sentByOne();
    await endBatches();
    expect(await vecfill("two", "run")).toMatchObject({
      code: EXIT_CODES.fatal,
      stderr: expect.stringMatching(AWAITED),
    });
    // with other texts they are of use to nobody
    await sql("UPDATE questions SET question_text = 'now: ' || question_text");
    expect(await vecfill("two", "export")).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^warning: Gemini has the results of 3 batches/m),
    });
    expect(await books()).toMatchObject({ twice: [] });
  });

  test("are no more than mentioned once their rows are filled", IN_FULL, async () => {
    const { vecfill, vecfillInTime, endBatches, sql, books } = await sentByOne();
    await endBatches();
    await vecfill("one", "run");
    await sql("INSERT INTO questions VALUES (100, 'One more?')");
    expect(await vecfillInTime("two", "run")).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^warning: Gemini has the results of 3 batches/m),
    });
    expect(await books()).toMatchObject({ twice: [] });
  });

  test("are nothing after six weeks", async () => {
    const { endBatches, emulator } = await sentByOne();
    await endBatches();
    const gemini = connectGemini({ apiKey: "a-key-for-tests", baseUrl: emulator.url });
    const manifest = { id: undefined, jobs: () => [] };
    const { signal } = new AbortController();
    const mark = parseBatchName(emulator.batches()[0]?.displayName ?? "")?.target ?? "";
    const endedIn = async (days: number) => {
      const now = new Date(Date.now() + days * 24 * 3_600_000);
      return (await otherBatches({ gemini, manifest, now, signal }, mark)).ended.length;
    };
    expect([await endedIn(1), await endedIn(50)]).toEqual([3, 0]);
  });
});

test("a lost folder is told like any other", async () => {
  const { vecfill, home } = await sentByOne();
  await rm(join(home, "one"), { recursive: true });
  expect(await vecfill("one", "run")).toMatchObject({ code: EXIT_CODES.fatal });
});

describe("a batch's name", () => {
  const { target, file: requestFile } = newJob("0012");
  const job = { id: "0012", target, requestFile };

  test("tells its table, and those of earlier versions tell none", () => {
    const mark = targetMark("server/database", target);
    const name = batchDisplayName("abcd1234", job, 2, mark);
    expect(parseBatchName(name)).toMatchObject({ manifest: "abcd1234", job: "0012", target: mark });
    expect(parseBatchName(batchDisplayName("abcd1234", job, 2))?.target).toBeUndefined();
    expect(parseBatchName("vecfill-abcd1234-0012-2")).toMatchObject({
      job: "0012",
      mark: undefined,
    });
    expect(parseBatchName(`${name}-x`)).toBeUndefined();
  });

  test("is another one for each database, column, model, width and task", () => {
    const marks = [
      targetMark("server/database", target),
      targetMark("server/other", target),
      targetMark("server/database", { ...target, schema: "other" }),
      targetMark("server/database", { ...target, table: "other" }),
      targetMark("server/database", { ...target, embedding: "other" }),
      targetMark("server/database", { ...target, dimensions: 3072 }),
      targetMark("server/database", { ...target, model: "gemini-embedding-2" }),
    ];
    expect(new Set(marks).size).toBe(marks.length);
    const tasks = MODELS["gemini-embedding-001"].taskTypes;
    const its = tasks.map((taskType) => targetMark("server/database", { ...target, taskType }));
    expect(new Set(its).size).toBe(tasks.length);
  });
});

test("a Supabase project is the same by each of its addresses", () => {
  const ref = "abcdefghijklmnopqrst";
  for (const address of [
    `https://${ref}.supabase.co`,
    `postgresql://postgres:word@db.${ref}.supabase.co:5432/postgres`,
    `postgresql://postgres.${ref}:word@aws-0-eu-central-1.pooler.supabase.com:6543/postgres`,
  ]) {
    expect(projectRef(address)).toBe(ref);
  }
  expect(projectRef("postgresql://me:word@localhost/postgres")).toBeUndefined();
  expect(projectRef("pglite:memory")).toBeUndefined();
});
