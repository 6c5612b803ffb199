// Does `npm run demo` do what it says, on a machine with no key and no server, and without touching
// a key or a database that this machine does have?
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { readManifest } from "../../src/jobs-folder/open.ts";
import { cell } from "../../src/store/database.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { type Ended, start } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";

const DEMO = fileURLToPath(new URL("../../demo/demo.ts", import.meta.url));
const QUESTIONS = 204;
/** What is promised to people is a minute; machines of CI are slow and busy. */
const LIMIT_MS = 180_000;

/** Any of these, seen by the run, would end it at once. */
const SETTINGS_OF_THIS_MACHINE = {
  GEMINI_API_KEY: "a-key-that-is-not-for-demos",
  GOOGLE_API_KEY: "another-key",
  DATABASE_URL: "postgresql://nobody:nothing@127.0.0.1:1/nowhere",
  VECFILL_TABLE: "no_such_table",
};

let folder: string;
let demo: Ended;

beforeAll(async () => {
  folder = await temporaryFolder();
  demo = await start([DEMO], { cwd: folder, env: SETTINGS_OF_THIS_MACHINE }).ended;
}, LIMIT_MS);

test("ends with exit code 0 and no claim that does not hold", () => {
  expect(demo).toMatchObject({ code: 0 });
  expect(demo.stdout).not.toContain("NOT SO");
});

test("says what it is before anything is loaded, which takes seconds on a small machine", async () => {
  const source = await readFile(DEMO, "utf8");
  expect(source).not.toMatch(/^import /m);
  expect(source.indexOf("console.log")).toBeLessThan(source.indexOf("await import"));
});

test("shows the real run: progress, an adopted batch, rows sent again, the sums, the jobs", () => {
  expect(demo.stderr).toMatch(/^\S+ 0001 submitted: batches\/\w+, found at Gemini$/m);
  expect(demo.stderr).toMatch(/^\S+ 0001 imported: 73 written, 2 failed$/m);
  expect(demo.stderr).toMatch(/^\S+ 0001 resubmitted: 2 rows in 0004$/m);
  expect(demo.stdout).toContain(`${QUESTIONS} requests = ${QUESTIONS} written + 0 failed`);
  expect(demo.stdout).toMatch(/^0004 +imported +2 +2 +0/m);
});

test("leaves every row with a vector, which answers queries", async () => {
  const database = await openDatabase({ url: `pglite:${join(folder, ".demo", "database")}` });
  const rows = await database.query("SELECT count(embedding)::text AS filled FROM questions");
  await database.close();
  expect(rows.map((row) => cell(row, "filled"))).toEqual([String(QUESTIONS)]);
  expect(demo.stdout).toMatch(/Which planet has rings\?\n +0\.\d+ .*planet/);
});

test("leaves the manifest where it says, with the job that was made from failed rows", async () => {
  const manifest = await readManifest(join(folder, ".demo", "jobs"));
  expect(manifest.job("0004")).toMatchObject({ parents: ["0001"], requests: 2, state: "imported" });
});

test("says how to do it with Gemini itself, in lines that fit a terminal", () => {
  for (const needed of ["GEMINI_API_KEY", "DATABASE_URL", "npm install --global", "vecfill plan"]) {
    expect(demo.stdout).toContain(needed);
  }
  expect(demo.stdout).toMatch(/ vecfill plan .*\n +vecfill run\n$/);
  const narration = demo.stdout.split("\n").filter((line) => /^(?:\d\. | {3}\w)/.test(line));
  expect(narration.filter((line) => line.length > 100)).toEqual([]);
});
