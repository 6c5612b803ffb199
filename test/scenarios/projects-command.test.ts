/** I name keys of several projects in the environment. Does every command know what to do with them, and tell me which is which? */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runHere } from "../command-line.ts";
import { type Folders, openFolders, TEXTS } from "../folders.ts";
import { temporaryFolder } from "../manifest/sample.ts";

const KEYS = { "a-key-for-tests": "one", "key-of-two": "two", "another-of-two": "two" };
const NAMED = { VECFILL_KEY_EU: "key-of-two" };

async function open() {
  const folders = await openFolders(TEXTS, { keys: KEYS });
  await folders.sql("DROP SCHEMA IF EXISTS vecfill CASCADE");
  return folders;
}

/** With these keys, too. */
async function typed(its: Folders, env: NodeJS.ProcessEnv, ...args: readonly string[]) {
  const own = { VECFILL_JOBS_DIR: join(its.home, "jobs"), ...env };
  return runHere(args, { env: { ...its.env, ...own }, folder: its.home });
}

async function json(...given: Parameters<typeof typed>) {
  return JSON.parse((await typed(...given, "--json")).stdout);
}

test("plan counts with each queue, doctor tries each key, and what is sent tells its project", async () => {
  const its = await open();
  const one = await json(its, {}, "plan");
  const two = await json(its, NAMED, "plan", "--projects", "default, EU");
  expect([one.projects, two.projects]).toEqual([["default"], ["default", "eu"]]);
  expect((await typed(its, NAMED, "plan")).stdout).toMatch(/tokens queued at once by default, eu/);
  expect(two.enqueuedTokenLimit).toBe(2 * one.enqueuedTokenLimit);
  const { checks } = await json(its, { VECFILL_KEY_EU: "wrong" }, "doctor");
  expect(checks).toMatchObject([
    { name: "Gemini default", status: "ok" },
    { name: "batches default" },
    { name: "Gemini eu", status: "failure" },
    ...Array.from({ length: checks.length - 3 }, () => ({})),
  ]);
  await typed(its, NAMED, "export");
  await typed(its, NAMED, "submit", "--yes", "--max-active-jobs", "2");
  expect((await typed(its, NAMED, "status")).stdout).toMatch(
    /at Gemini .*, 2 of default, 1 of eu|1 of default, 2 of eu/,
  );
  const { jobs } = await json(its, NAMED, "jobs");
  const projects = new Set(jobs.map(({ project }: Readonly<{ project: string }>) => project));
  expect(projects).toEqual(new Set(["default", "eu"]));
  expect((await typed(its, NAMED, "jobs")).stdout).toMatch(/ eu /);
  const metrics = join(its.home, "vecfill.prom");
  await typed(its, NAMED, "poll", "--once", "--metrics-file", metrics);
  expect(await readFile(metrics, "utf8")).toMatch(/vecfill_queued_jobs.*project="eu"/);
  await its.endBatches();
  expect((await typed(its, NAMED, "run")).code).toBe(0);
  expect(await its.books()).toEqual({ paid: 7, twice: [], empty: 0, wrong: 0 });
});

test.each([["folder"], ["postgres"]])(
  "a key that is not here is named, and another key of its project goes on: %s",
  async (manifest) => {
    const its = await open();
    const env = { VECFILL_MANIFEST: manifest };
    await typed(its, { ...env, ...NAMED }, "export", "--limit", "3");
    await typed(its, { ...env, ...NAMED }, "submit", "--projects", "eu", "--yes");
    expect(its.emulator.batches()).toMatchObject([{ project: "two" }]);
    await its.endBatches();
    const without = await typed(its, env, "cancel", "1");
    expect([without.code, without.stderr]).toEqual([2, expect.stringContaining("VECFILL_KEY_EU")]);
    const poll = await typed(its, env, "poll", "--once");
    expect([poll.code, poll.stderr]).toEqual([4, expect.stringContaining("VECFILL_KEY_EU")]);
    const other = { ...env, VECFILL_KEY_EU: "another-of-two" };
    expect((await typed(its, other, "poll")).code).toBe(0);
    expect((await typed(its, other, "import")).code).toBe(0);
    expect(await its.books()).toEqual({ paid: 3, twice: [], empty: 4, wrong: 0 });
    const second = await typed(its, { ...env, VECFILL_KEY_US: "another-of-two" }, "run", "--yes");
    expect([second.code, second.stderr]).toEqual([2, expect.stringContaining("VECFILL_KEY_EU")]);
  },
);

test.each([
  [{ VECFILL_KEY_EU: "b" }, "us", "No key of the project us is set here"],
  [{ VECFILL_KEY_1eu: "b" }, "us", "--projects default,1eu"],
  [{ VECFILL_KEY_EU: "b c" }, "eu", "VECFILL_KEY_EU holds a space"],
  [{}, "found", "VECFILL_KEY_FOUND in .env is left out"],
])("what is wrong with names and keys is said: %j %s", async (env, projects, why) => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, ".env"), "VECFILL_KEY_FOUND=b");
  const its = { GEMINI_API_KEY: "a", DATABASE_URL: "pglite:memory", ...env };
  const { code, stderr } = await runHere(["run", "--projects", projects], { env: its, folder });
  expect([code, stderr]).toEqual([2, expect.stringContaining(why)]);
});
