// I type --lane sync: which command does what then, what am I told to type next, and what does it say
// that each job took?
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { runHere } from "../command-line.ts";
import { resealed, temporaryFolder } from "../manifest/sample.ts";
import { keepOpen } from "../embedded/kept.ts";

let home: string;
let emulator: Emulator;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  home = await temporaryFolder();
  emulator = await startEmulator({ batchSeconds: 0 });
  env = {
    DATABASE_URL: keepOpen(join(home, "database")),
    GEMINI_API_KEY: "key-of-this-test",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
  };
  const database = await openDatabase({ url: env["DATABASE_URL"] ?? "" });
  await database.query("CREATE EXTENSION vector");
  for (const table of ["staged", "mixed", "begun", "limited"]) {
    await database.query(
      `CREATE TABLE ${table} (id bigint PRIMARY KEY, question_text text, embedding vector(768))`,
    );
    await database.query(
      `INSERT INTO ${table} SELECT n, 'Question ' || n FROM generate_series(1, 25) n`,
    );
  }
  await database.close();
});
afterAll(async () => {
  await emulator.close();
  await rm(home, { recursive: true, force: true });
});

function command(...args: readonly string[]) {
  return runHere(args, { env, folder: home });
}

test("by stages: submit embeds, poll has nothing to do, import writes", async () => {
  await command("export", "--table", "staged", "--jobs-dir", join(home, "a"));
  const folder = ["--jobs-dir", join(home, "a")];
  const dry = await command("submit", "--lane", "sync", "--dry-run", ...folder);
  expect(dry.stdout).toMatch(/^Would embed 1 job \(0001\), about \d+ tokens, at once\.$/m);
  expect(dry.stderr).toMatch(/next: .*submit --lane sync/);
  expect(emulator.embeddedNow()).toBe(0);
  const submit = await command("submit", "--lane", "sync", ...folder);
  expect([submit.code, submit.stdout]).toEqual([0, "Embedded at once: 0001.\n"]);
  expect(submit.stderr).toContain("next: vecfill import");
  const poll = await command("poll", ...folder);
  expect([poll.code, poll.stdout]).toEqual([0, "No job is at Gemini.\n"]);
  const imported = await command("import", ...folder);
  expect([imported.code, imported.stdout]).toEqual([0, expect.stringContaining("25 written")]);
  const { stdout } = await command("jobs", "--json", ...folder);
  expect(JSON.parse(stdout).jobs).toMatchObject([{ lane: "sync", state: "imported", batch: null }]);
  expect((await command("jobs", "0001", ...folder)).stdout).toMatch(
    /^lane +sync: embedded at once/m,
  );
  expect(emulator.batches()).toEqual([]);
});

test("run --lane auto tells which jobs were embedded at once", async () => {
  const args = [
    "run",
    "--table",
    "mixed",
    "--jobs-dir",
    join(home, "b"),
    "--poll-interval",
    "0.05",
  ];
  const bounds = ["--max-job-rows", "20", "--lane", "auto", "--sync-up-to", "30"];
  const { code, stdout, stderr } = await command(...args, ...bounds, "--json");
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    written: 25,
    remaining: 0,
    jobs: ["0001", "0002"],
    embedded: ["0002"],
  });
  expect(emulator.batches()).toHaveLength(1);
});

test("what was begun at once and left is not finished: each stage says so, and how to go on", async () => {
  const folder = ["--jobs-dir", join(home, "c")];
  await command("export", "--table", "begun", ...folder);
  const began = { type: "embedding", at: new Date().toISOString(), job: "0001" };
  const manifest = join(home, "c", "manifest.ndjson");
  await writeFile(
    manifest,
    resealed(`${await readFile(manifest, "utf8")}${JSON.stringify(began)}`),
  );
  const submit = await command("submit", ...folder, "--json");
  expect(submit.code).toBe(4);
  expect(JSON.parse(submit.stdout)).toMatchObject({ submitted: [], waiting: ["0001"] });
  expect((await command("submit", ...folder)).stdout).toMatch(
    /^Left as begun in the sync lane: 0001; to go on: vecfill submit --lane sync/m,
  );
  const dry = await command("submit", "--dry-run", ...folder);
  expect(dry.stdout).toBe("Would leave as begun in the sync lane: 0001.\n");
  expect(dry.stderr).toMatch(/next: .*submit --lane sync/);
  for (const stage of ["submit", "poll", "import"]) {
    const { stderr } = await command(stage, ...folder);
    expect([stage, stderr]).toEqual([stage, expect.stringMatching(/next: .*submit --lane sync/)]);
  }
});

test("a limit on cost counts what this very command embedded at once", async () => {
  const folder = ["--jobs-dir", join(home, "d")];
  await command("export", "--table", "limited", "--max-job-rows", "20", ...folder);
  const { jobs } = JSON.parse((await command("jobs", "--json", ...folder)).stdout);
  const [first, second] = jobs.map(({ tokens }: { tokens: number }) => tokens);
  const limit = ["--price-sync", "1", "--max-cost", String((first + second / 2) / 1e6)];
  const submit = await command("submit", "--lane", "sync", ...limit, ...folder, "--json");
  expect(submit.code).toBe(5);
  expect(JSON.parse(submit.stdout)).toMatchObject({ embedded: ["0001"], waiting: ["0002"] });
  const { costStop } = JSON.parse(submit.stdout);
  expect(Number(costStop.spentUsd)).toBeCloseTo(first / 1e6, 9);
  expect(Number(costStop.neededUsd)).toBeCloseTo((first + second) / 1e6, 9);
});
