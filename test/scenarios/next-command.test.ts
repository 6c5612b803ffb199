// I type the line that a command names as the next one: does it go on with what I asked for, and no more?
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it, test } from "vitest";
import { runHere } from "../command-line.ts";
import { openFolders, TEXTS } from "../folders.ts";
import { IN_FULL } from "../size.ts";

test("a dry run's next line has what bounds and selects", async () => {
  const { vecfill } = await openFolders(TEXTS);
  const { stderr } = await vecfill("jobs", "run", "--where", "id < 3", "--dry-run", "--yes");
  expect(stderr).toMatch(/^next: vecfill run --where 'id < 3' --jobs-dir \S+$/m);
});

test("a run that goes on with a limit counts the rows that are under way", async () => {
  const { vecfill, vecfillInTime, books } = await openFolders(TEXTS);
  const bounded = ["run", "--limit", "3", "--timeout", "1"];
  const { stderr } = await vecfill("jobs", ...bounded);
  expect(stderr).toMatch(/^next: vecfill run --limit 3 --timeout 1 --jobs-dir \S+$/m);
  await vecfill("jobs", ...bounded);
  const { stdout } = await vecfill("jobs", "jobs", "--json");
  const { jobs } = JSON.parse(stdout);
  expect(jobs.map((job: { requests: number }) => job.requests)).toEqual([3]);
  await vecfillInTime("jobs", "run", "--limit", "3");
  expect(await books()).toMatchObject({ paid: 3, empty: TEXTS.length - 3 });
});

test(
  "what a limit kept a run from seeing is looked at before another run is named",
  IN_FULL,
  async () => {
    const { vecfill, vecfillInTime, sql } = await openFolders(TEXTS);
    await sql("UPDATE questions SET question_text = '' WHERE id > 3");
    await vecfill("jobs", "export");
    const run = await vecfillInTime("jobs", "run", "--limit", "2", "--lane", "sync");
    expect([run.code, run.stdout, named(run.stderr)]).toEqual([
      0,
      expect.stringContaining("4 rows have no vector yet."),
      "status",
    ]);
    const dry = await vecfill("jobs", "run", "--dry-run");
    expect([dry.stdout, named(dry.stderr)]).toEqual([
      expect.stringMatching(/^Nothing to do\.\nLeft out: 4 rows without text\.$/m),
      undefined,
    ]);
    await sql("UPDATE questions SET question_text = 'mended' WHERE id > 6");
    const more = await vecfillInTime("jobs", "run", "--limit", "1");
    expect([more.code, more.stdout, named(more.stderr)]).toEqual([
      0,
      expect.stringContaining("Left out: 3 rows without text."),
      undefined,
    ]);
  },
);

test(
  "failed lines whose rows were filled meanwhile leave nothing to do; changed texts leave a run",
  IN_FULL,
  async () => {
    const { vecfill, vecfillInTime, sql } = await openFolders(TEXTS, { faults: "permanent=1" });
    await vecfillInTime("jobs", "run");
    const both = async () => [
      named((await vecfill("jobs", "resubmit", "--dry-run")).stderr),
      named((await vecfill("jobs", "resubmit")).stderr),
    ];
    await sql("UPDATE questions SET embedding = array_fill(0.5, ARRAY[128])");
    expect(await both()).toEqual([undefined, undefined]);
    await sql("INSERT INTO questions VALUES (8, 'another', NULL)");
    await vecfillInTime("jobs", "run");
    await sql("UPDATE questions SET question_text = 'mended' WHERE id = 8");
    expect(await both()).toEqual(["run", "run"]);
  },
);

test.each(["status", "jobs"])(
  "where no database is named, %s begins with init",
  async (command) => {
    const { home } = await openFolders(TEXTS);
    const { code, stderr } = await runHere([command, "--jobs-dir", join(home, "jobs")]);
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^next: vecfill init$/m)]);
  },
);

/** What was done, and the command that goes on: the same one, whoever is asked. */
const STATES = [
  ["nothing", [], "plan"],
  ["exported", ["export"], "run"],
  ["submitted", ["export", "submit"], "run"],
  ["ended at Gemini", ["export", "submit", "poll"], "run"],
  ["failed, and may succeed", ["export", "submit", "poll", "fail"], "resubmit"],
  ["sent again", ["export", "submit", "poll", "fail", "resubmit"], "run"],
] as const;

const named = (text: string) => /(?:^next: |<code>)vecfill (\w+) /m.exec(text)?.[1];

it.each(STATES)("%s: status, jobs and report name one command", async (_, steps, next) => {
  const faults = steps.some((step) => step === "fail") ? "batch-fail=3x" : "";
  const { vecfill, endBatches, home } = await openFolders(TEXTS, { faults });
  let last = "";
  for (const step of steps.filter((each) => each !== "fail")) {
    last = (await vecfill("jobs", step)).stderr;
    await endBatches();
  }
  const told = [await vecfill("jobs", "status"), await vecfill("jobs", "jobs")];
  const report = await vecfill("jobs", "report");
  const page = await readFile(join(home, "jobs", "report.html"), "utf8").catch(() => "");
  expect(told.map(({ stderr }) => named(stderr))).toEqual([next, next]);
  // of no job there is no page
  expect(named(page)).toBe(report.code === 0 ? next : undefined);
  expect(named(last)).toBe(steps.at(-1) === "resubmit" ? next : named(last));
});
