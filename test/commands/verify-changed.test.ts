// A text was changed, and its vector is still the one of the old text. Does `verify` name the row where a trigger
// knows, also as a metric; does it say that there is none where a trigger empties them; and does all of it go again?
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EXIT_CODES } from "../../src/errors.ts";
import { runHere } from "../command-line.ts";
import { type Folders, openFolders } from "../folders.ts";

const TEXTS = ["First", "Second", "Third"];
const COLUMNS = `SELECT attname::text FROM pg_attribute
  WHERE attrelid = 'questions'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1`;

const init = ({ env, home }: Folders, ...args: readonly string[]) =>
  runHere(["init", ...args], { env, folder: home });

test("with the fingerprint column", async () => {
  const folders = await openFolders(TEXTS);
  const { home, sql, vecfill, vecfillInTime } = folders;
  await vecfillInTime("jobs", "run");
  const before = await sql(COLUMNS);
  const made = await init(folders, "--fingerprint-column", "--apply");
  expect(made, made.stderr).toMatchObject({ code: 0 });
  const old = await vecfill("jobs", "verify");
  expect(old).toMatchObject({ code: 0, stdout: expect.stringMatching(/nobody recorded: 3 older/) });
  await sql("UPDATE questions SET embedding = NULL WHERE id <> 3");
  await vecfillInTime("jobs", "run");
  expect(await vecfill("jobs", "verify")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/of another text: none\n.*nobody recorded: 1 older/),
  });

  // as an application does that writes every column
  await sql("UPDATE questions SET question_text = 'Changed', embedding = embedding WHERE id = 2");
  const metrics = join(home, "vecfill.prom");
  const found = await vecfill("jobs", "verify");
  expect(found).toMatchObject({
    code: EXIT_CODES.rowsFailed,
    stdout: expect.stringMatching(/of another text: 1 row;/),
  });
  expect(await readFile(join(home, "jobs", "verify.jsonl"), "utf8")).toBe(
    '{"id":"2","problem":"text","detail":"its text has changed"}\n',
  );
  await vecfillInTime("jobs", "run", "--metrics-file", metrics);
  expect(await readFile(metrics, "utf8")).toMatch(/^vecfill_rows_with_changed_text\{.*\} 1$/m);
  await sql("UPDATE questions SET embedding = NULL WHERE id = 2");
  await vecfillInTime("jobs", "run");
  const json = JSON.parse((await vecfill("jobs", "verify", "--json")).stdout);
  expect(json.changedTexts).toEqual({ by: "fingerprint", rows: 0, ids: [], unknown: 1 });

  expect(await init(folders, "--remove", "--apply")).toMatchObject({ code: 0 });
  expect(await sql(COLUMNS)).toEqual(before);
  expect(JSON.parse((await vecfill("jobs", "verify", "--json")).stdout).changedTexts).toBeNull();
});

test("with the trigger that empties them; a column of that name that is mine is left alone", async () => {
  const folders = await openFolders(TEXTS);
  const { sql, vecfill, vecfillInTime } = folders;
  await sql("ALTER TABLE questions ADD COLUMN embedding_fingerprint text DEFAULT 'mine'");
  await vecfillInTime("jobs", "run");
  expect(await init(folders, "--trigger", "--apply")).toMatchObject({ code: 0 });
  expect(await vecfill("jobs", "verify")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/of another text: none since its trigger/),
  });
  expect(await init(folders, "--fingerprint-column", "--apply")).toMatchObject({
    code: EXIT_CODES.fatal,
  });
  expect(await init(folders, "--remove", "--apply")).toMatchObject({ code: 0 });
  expect(await sql("SELECT DISTINCT embedding_fingerprint AS own FROM questions")).toEqual([
    { own: "mine" },
  ]);
});
