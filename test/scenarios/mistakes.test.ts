// I mistype a table or a column, or write a name as I am used to: does the answer name what I meant?
import { expect, test } from "vitest";
import { EXIT_CODES } from "../../src/errors.ts";
import { openFolders } from "../folders.ts";

const { done, fatal } = EXIT_CODES;

test.each<readonly [flags: string, code: number, words: RegExp]>([
  [
    "--table qusetions",
    fatal,
    /^hint: Did you mean public\.questions\? There are: public\.questions/m,
  ],
  ["--table parts", fatal, /^hint: Did you mean app\.parts\?/m],
  ["--table zzz", fatal, /^hint: Check --schema and --table\. There are: .+ and 41 more\.$/m],
  ["--table public.questions", done, /Exported 2 rows/],
  ["--table app.questions", fatal, /^error: There is no table app\.questions/m],
  ["--embedding embeding", fatal, /^hint: Did you mean embedding\? Give --embedding embedding\./m],
  [
    "--embedding vec",
    fatal,
    /^hint: .*alter table public\.questions add column vec vector\(128\);/m,
  ],
  ["--text questiontext", fatal, /^hint: Did you mean question_text\?/m],
  [
    "--table wide --text c77x",
    fatal,
    /^hint: Did you mean c77\? Give --text c77\. Its columns: c77 \(text\), .{50,250} and 193 more\.$/m,
  ],
])("export %s", async (flags, code, words) => {
  const { vecfill, sql } = await openFolders(["one", "two"]);
  await sql("DROP TABLE IF EXISTS wide");
  const columns = Array.from({ length: 200 }, (_, n) => `c${n} text`).join(", ");
  await sql(`CREATE TABLE wide (id bigint PRIMARY KEY, ${columns})`);
  for (let n = 0; n < 47; n += 1) await sql(`CREATE TABLE IF NOT EXISTS other_${n} (id bigint)`);
  await sql("CREATE SCHEMA IF NOT EXISTS app");
  await sql("CREATE TABLE IF NOT EXISTS app.parts (id bigint)");
  const ended = await vecfill("jobs", "export", ...flags.split(" "));
  expect(ended.code, ended.stderr).toBe(code);
  expect(`${ended.stdout}${ended.stderr}`).toMatch(words);
});

test("a database without pgvector is told so before its column is missed", async () => {
  const { vecfill, sql } = await openFolders(["one"]);
  await sql("DROP EXTENSION vector CASCADE");
  const { code, stderr } = await vecfill("jobs", "export");
  expect(code).toBe(fatal);
  expect(stderr).toMatch(/^error: The database does not have the extension pgvector\.$/m);
  expect(stderr).toMatch(/^hint: Run: create extension vector;/m);
});
