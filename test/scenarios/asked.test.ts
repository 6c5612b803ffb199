// Before vecfill changes or spends anything it asks, or tells with --dry-run what it would do: is all as it was
// until I say yes, and is what it told then what it does?
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { EXIT_CODES } from "../../src/errors.ts";
import { openManifest } from "../../src/jobs-folder/open.ts";
import { runHere } from "../command-line.ts";
import { type Folders, openFolders, TEXTS } from "../folders.ts";

function answered({ env, home }: Folders, answer: string, line: string) {
  const args = [...line.split(" "), "--jobs-dir", join(home, "jobs")];
  return runHere(args, { env: { ...env, TERM: "dumb" }, folder: home, answer });
}

/** What a command might change. */
async function all({ home, sql, emulator }: Folders): Promise<unknown> {
  const folder = join(home, "jobs");
  return {
    files: await readdir(folder),
    journal: await readFile(join(folder, "manifest.ndjson"), "utf8"),
    table: await sql("SELECT id::text, embedding::text FROM questions ORDER BY questions.id"),
    paid: (await emulator.billing()).size,
  };
}

test("a rollback, a clean, a migration and a sample leave all as it was when I say no", async () => {
  const folders = await openFolders(TEXTS);
  await folders.vecfillInTime("jobs", "run");
  const before = await all(folders);
  const refuse = async (line: string, question: RegExp, refusal: RegExp) => {
    const { code, stderr } = await answered(folders, "n", line);
    expect([code, stderr]).toEqual([EXIT_CODES.usage, expect.stringMatching(question)]);
    expect(stderr).toMatch(refusal);
    expect(await all(folders)).toEqual(before);
  };
  await refuse(
    "rollback 0001",
    /Set 3 vectors of public\.questions\.embedding back to NULL \(0001\)/,
    /Nothing was rolled back/,
  );
  await refuse(
    "clean",
    /Delete the request and results files of 3 jobs .* 3 jobs\s+cannot be rolled back/,
    /Nothing was deleted/,
  );
  await refuse("migrate --to gemini-embedding-2", /Go on\?/, /Nothing was changed/);
  const sample = "verify --sample 5 --price-sync 100 --consent-above 0.0001";
  await refuse(sample, /Embed 5 rows again/, /No sample was taken/);
});

test("a run or a submission above the threshold sends nothing when I say no", async () => {
  const folders = await openFolders(TEXTS);
  await folders.vecfill("jobs", "export");
  const before = await all(folders);
  for (const command of ["run", "submit"]) {
    const line = `${command} --price 100 --consent-above 0.0001`;
    const { code, stderr } = await answered(folders, "", line);
    expect([code, stderr]).toEqual([
      EXIT_CODES.usage,
      expect.stringMatching(/Not agreed to: nothing was sent/),
    ]);
    expect(await all(folders)).toEqual(before);
  }
  expect(folders.emulator.batches()).toEqual([]);
});

test("a rollback and a clean tell what they would do, and do it when I say yes", async () => {
  const folders = await openFolders(TEXTS);
  const { sql, vecfill } = folders;
  await folders.vecfillInTime("jobs", "run");
  await sql("UPDATE questions SET embedding = NULL WHERE id = 2");
  const before = await all(folders);
  const dry = await vecfill("jobs", "rollback", "0001", "0002", "--dry-run");
  expect(dry.stdout).toMatch(
    /^Would set 5 vectors back to NULL:\n {2}0001: 2 vectors; 1 changed or emptied since, left as they are\n {2}0002: 3 vectors\n1 more changed or lost theirs since/,
  );
  expect(dry.stderr).toMatch(/next: vecfill rollback 0001 0002/);
  const json = await vecfill("jobs", "rollback", "0001", "--dry-run", "--json");
  const counted = { wouldRollBack: ["0001"], rolledBack: [], rows: 2, changed: 1, dryRun: true };
  expect(JSON.parse(json.stdout)).toMatchObject(counted);
  expect(await all(folders)).toEqual(before);

  const done = await answered(folders, "yes", "rollback 0001 0001");
  expect(done.stderr).toMatch(/Set 2 vectors .*1 more changed or lost theirs/s);
  expect(done.stdout).toMatch(
    /^Rolled back 1 job: 2 vectors set back to NULL; 1 changed or emptied/,
  );
  const empty = await sql("SELECT id::text FROM questions WHERE embedding IS NULL ORDER BY 1");
  expect(empty.map(({ id }) => id)).toEqual(["1", "2", "3"]);
  expect((await vecfill("jobs", "rollback", "0001", "--dry-run")).stdout).toBe(
    "Nothing to do: 0001 was rolled back before.\n",
  );

  expect((await answered(folders, "y", "clean")).stdout).toMatch(/^Freed .*: 7 files of 3 jobs\./);
  const nothing = await vecfill("jobs", "clean", "--dry-run");
  expect(nothing).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Nothing to clean/) });
  expect(nothing.stderr).not.toMatch(/next:/);
});

test("failed rows: a dry run of resubmit tells what it would send, and leaves out what needs nothing", async () => {
  const folders = await openFolders(TEXTS, { faults: "batch-fail=1x" });
  const { sql, vecfill } = folders;
  for (const stage of ["export", "submit", "poll", "import"])
    await folders.vecfillInTime("jobs", stage);
  expect((await vecfill("jobs", "rollback", "0001")).stderr).toMatch(
    /0001 is failed: it has written no vector/,
  );
  await sql("UPDATE questions SET question_text = 'another' WHERE id = 1");
  await sql("DELETE FROM questions WHERE id = 2");
  const before = await all(folders);
  const { stdout, stderr } = await vecfill("jobs", "resubmit", "--dry-run");
  expect(stdout).toMatch(/^Would resubmit 1 failed line of 1 job \(0001\)/);
  expect(stdout).toMatch(/2 rows that had failed were changed, filled or deleted since/);
  expect(stderr).toMatch(/next: vecfill resubmit/);
  expect(await all(folders)).toEqual(before);
});

test("status tells the pace of the command at work, and when it will have filled the rest", async () => {
  const folders = await openFolders(TEXTS);
  const { home, vecfill, vecfillInTime } = folders;
  await vecfillInTime("jobs", "run", "--limit", "4");
  const began = new Date(Date.now() - 10_000);
  const manifest = await openManifest(join(home, "jobs"), { ...systemClock, now: () => began });
  try {
    const { stdout } = await vecfill("jobs", "status");
    expect(stdout).toMatch(/^pace +\d\d rows a minute; done in about 1 min, at .* UTC$/m);
    const { speed } = JSON.parse((await vecfill("jobs", "status", "--json")).stdout);
    expect(speed.rowsPerSecond).toBeGreaterThan(0.1);
    expect(speed.etaSeconds).toBe(Math.round(3 / speed.rowsPerSecond));
  } finally {
    await manifest.close();
  }
});

test("jobs --watch on a terminal draws those that moved last, and ends with them; verify lists what differs", async () => {
  const folders = await openFolders(TEXTS);
  await folders.vecfillInTime("jobs", "run");
  const { env, home } = folders;
  const watching = {
    env: { ...env, TERM: "xterm" },
    folder: home,
    screen: { columns: 90, rows: 12 },
  };
  const { code, stdout } = await runHere(
    ["jobs", "--watch", "--jobs-dir", join(home, "jobs")],
    watching,
  );
  expect(code).toBe(0);
  expect(stdout).toMatch(/Jobs in .*jobs, \d\d:\d\d:\d\d UTC\. Ctrl-C/);
  expect(stdout).toMatch(/^000\d +imported.*\n000\d +imported/m);
  expect(stdout).toMatch(/and 1 job that moved longer ago/);

  await folders.sql("UPDATE questions SET question_text = 'another' WHERE id = 4");
  const line = "verify --sample 7 --price-sync 100 --consent-above 0.0001";
  const verified = await answered(folders, "y", line);
  expect([verified.code, verified.stdout]).toEqual([
    EXIT_CODES.rowsFailed,
    expect.stringMatching(/^sample: 7 rows embedded again \(about \$0.*\), 1 of them differ/m),
  ]);
  const listed = await readFile(join(folders.home, "jobs", "verify.jsonl"), "utf8");
  expect(listed).toMatch(/^\{"id":"4","problem":"sample","detail":"cosine 0\.\d{4}"\}\n$/);
});
