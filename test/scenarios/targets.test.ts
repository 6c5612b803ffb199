// I have two tables to fill and one project at Gemini: does one run fill both, side by side and within one budget?
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { worstOf } from "../../src/cli/each-target.ts";
import { EXIT_CODES } from "../../src/errors.ts";
import { readManifest } from "../../src/jobs-folder/open.ts";
import type { Job } from "../../src/manifest/job.ts";
import { type Folders, openFolders } from "../folders.ts";
import { loadConfiguration } from "../../src/settings/config.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { IN_FULL, sized } from "../size.ts";

const ROWS = sized({ quick: 24, full: 5_000 });
const ROWS_A_JOB = Math.ceil(ROWS / 30);
/** In the full run each table has more. */
const QUEUE_TOKENS = sized({ quick: 8_000, full: 500_000 });
const LONG = "one two three four five six seven eight nine ten ".repeat(
  sized({ quick: 40, full: 10 }),
);
const LIMIT_MS = 300_000;
const TARGETS = [
  { name: "questions", table: "questions" },
  { name: "answers", table: "answers", text: "answer", onTooLong: "fail" },
];

async function twoTables(targets: readonly object[] = TARGETS, rows = 9): Promise<Folders> {
  const folders = await openFolders(["one"], { quotaTokens: QUEUE_TOKENS });
  const { sql, home } = folders;
  await sql("DELETE FROM questions");
  await sql("CREATE TABLE answers (id bigint PRIMARY KEY, answer text, embedding vector(128))");
  const text = rows > 9 ? LONG : "";
  for (const table of ["questions", "answers"])
    await sql(
      `INSERT INTO ${table} SELECT n, '${table} ${text}' || n FROM generate_series(1, ${rows}) n`,
    );
  await writeFile(join(home, "vecfill.config.json"), JSON.stringify({ targets }));
  return folders;
}

const count = (table: string) => `(SELECT count(*) FROM ${table} WHERE embedding IS NULL)::text`;

async function emptyRows({ sql }: Folders): Promise<readonly string[]> {
  const [row = {}] = await sql(`SELECT ${count("questions")} AS q, ${count("answers")} AS a`);
  return [row["q"] ?? "", row["a"] ?? ""];
}

/** In the order in which they were sent. */
async function sentJobs({ home }: Folders): Promise<readonly Job[]> {
  const jobs = (await readManifest(join(home, "jobs"))).jobs();
  return jobs.toSorted((a, b) => `${a.submittedAt}`.localeCompare(`${b.submittedAt}`));
}

test("share one queue evenly, and both are filled", { timeout: LIMIT_MS, ...IN_FULL }, async () => {
  const folders = await twoTables(TARGETS, ROWS);
  const { vecfillInTime, emulator } = folders;
  const ended = await vecfillInTime(
    "jobs",
    ...`run --target all --yes --json --max-job-rows ${ROWS_A_JOB}`.split(" "),
    `--max-enqueued-tokens=${QUEUE_TOKENS}`,
  );
  expect(ended.code, ended.stderr).toBe(EXIT_CODES.done);
  expect(JSON.parse(ended.stdout)).toMatchObject({
    written: 2 * ROWS,
    remaining: 0,
    targets: [
      { target: "questions", written: ROWS, remaining: 0, error: null },
      { target: "answers", written: ROWS, remaining: 0, error: null },
    ],
  });
  expect(await emptyRows(folders)).toEqual(["0", "0"]);
  const sent = await sentJobs(folders);
  const tokens = { questions: 0, answers: 0 };
  for (const { target, tokens: its } of sent) {
    tokens[target.table === "questions" ? "questions" : "answers"] += its;
    const [less = 0, more = 0] = Object.values(tokens).sort((a, b) => a - b);
    // one job is the least by which they can differ
    expect(less).toBeGreaterThanOrEqual(more * 0.8 - its);
  }
  expect(sent.length).toBeGreaterThan(40);
  expect(Math.max(...(await emulator.billing()).values())).toBe(1);
});

test("the full queue of one model keeps no other model waiting", IN_FULL, async () => {
  const [first, second] = TARGETS;
  const folders = await twoTables([first ?? {}, { ...second, model: "gemini-embedding-2" }]);
  const { home, vecfill, emulator } = folders;
  const queue = "--max-enqueued-tokens=20";
  await vecfill("jobs", "export", "--target", "questions", queue);
  await vecfill("jobs", "submit", queue);
  const jobs = async () => (await readManifest(join(home, "jobs"))).jobs();
  const isSent = async (table: string) =>
    (await jobs()).some((job) => job.target.table === table && job.batch !== undefined);
  expect(await isSent("questions")).toBe(true);
  const run = vecfill("jobs", "run", "--target", "all", "--yes", queue);
  try {
    await vi.waitUntil(() => isSent("answers"), { timeout: 30_000 });
  } finally {
    const ticking = setInterval(() => void emulator.advance(60_000), 20);
    await run.finally(() => clearInterval(ticking));
  }
  expect((await run).code).toBe(EXIT_CODES.done);
});

test("what stands against one stops no other, which go in turn, is told, and is the exit code", async () => {
  const targets = [...TARGETS, { name: "gone", table: "ghosts" }];
  const folders = await twoTables(targets);
  const all = "--target all --yes --max-job-rows 2".split(" ");
  await folders.vecfill("jobs", "export", ...all);
  const { code, stdout, stderr } = await folders.vecfillInTime("jobs", "run", ...all);
  expect(code).toBe(EXIT_CODES.fatal);
  expect(stdout).toMatch(/^questions: 9 written, 0 still without a vector\.$/m);
  expect(stdout).toMatch(/^answers: 9 written/m);
  expect(`${stdout}${stderr}`).toMatch(/^gone: There is no table public\.ghosts/m);
  expect(stdout).not.toMatch(/other targets/);
  expect(await emptyRows(folders)).toEqual(["0", "0"]);
  const first = (await sentJobs(folders)).slice(0, 4).map(({ target }) => target.table);
  expect(first.toSorted()).toEqual(["answers", "answers", "questions", "questions"]);
});

test.each([
  ["a text too long for it", {}, /longer than the model takes|too long|tokens/],
  ["a wrong condition", { where: "nonsense = 1" }, /nonsense/],
])("%s stops the export of one target alone", async (_name, more, words) => {
  const [first = {}, second] = TARGETS;
  const folders = await twoTables([
    first,
    { ...second, ...more },
    { name: "gone", table: "ghosts" },
  ]);
  // the first row: none of the table is sent before it is met
  await folders.sql("UPDATE answers SET answer = repeat('word and ', 4000) WHERE id = 1");
  const run = (...names: string[]) =>
    folders.vecfillInTime("jobs", "run", "--yes", "--json", ...names);
  const { code, stdout } = await run("--target", "all");
  expect(code).toBe(EXIT_CODES.fatal);
  const told = JSON.parse(stdout);
  expect(told).toMatchObject({
    written: 9,
    remaining: null,
    targets: [
      { target: "questions", written: 9, remaining: 0, error: null },
      { target: "answers", written: 0, error: expect.stringMatching(words) },
      { target: "gone", error: expect.stringMatching(/ghosts/) },
    ],
  });
  expect(told.next ?? "").not.toMatch(/verify/);
});

test("beside a target that was refused, what stands against the other does not hide it", async () => {
  const [, second = {}] = TARGETS;
  const folders = await twoTables([{ name: "gone", table: "ghosts" }, second]);
  await folders.sql("UPDATE answers SET answer = repeat('word and ', 4000) WHERE id = 9");
  const all = ["run", "--yes", "--target", "all"];
  const { stdout, stderr } = await folders.vecfillInTime("jobs", ...all);
  expect(stdout, stderr).toMatch(/^gone: There is no table/m);
  expect(stdout).toMatch(/^answers: The text of row 9 /m);
  expect(stdout).not.toMatch(/Every row has a vector/);
  expect(stderr).toMatch(/The text of row 9 .+\nhint: /);
});

test("the exit code of several is the one that asks for most", () => {
  expect(worstOf(["rowsFailed", "done", "unfinished"])).toBe("unfinished");
  expect(worstOf(["unfinished", "costLimit", "fatal"])).toBe("fatal");
  expect(worstOf(["done", "done"])).toBe("done");
});

test("spend from one budget", async () => {
  const folders = await twoTables();
  const budget = ["--max-cost", "30", "--price", "1000000", "--yes", "--target", "all", "--json"];
  const { code, stdout } = await folders.vecfillInTime("jobs", "run", ...budget);
  expect(code).toBe(EXIT_CODES.costLimit);
  const { cost, targets, costStop } = JSON.parse(stdout);
  expect(Number(cost.usd)).toBeGreaterThan(10);
  expect(Number(cost.usd)).toBeLessThanOrEqual(30);
  expect(costStop).toBeTruthy();
  // each has had some of it
  for (const { written } of targets) expect(written).toBeGreaterThan(0);
});

/** A table that is no target any more, with three rows; `step`: how far its job has come. */
async function withLeftover(step?: "submit"): Promise<Folders> {
  const folders = await twoTables();
  const { sql, vecfill } = folders;
  await sql("DROP TABLE IF EXISTS old");
  await sql("CREATE TABLE old AS SELECT * FROM questions WHERE id < 4");
  await sql("ALTER TABLE old ADD PRIMARY KEY (id)");
  const { code, stderr } = await vecfill("jobs", "export", "--table", "old");
  expect(code, stderr).toBe(EXIT_CODES.done);
  if (step !== undefined) await vecfill("jobs", step);
  return folders;
}

test("what is left of a target that was not asked for is agreed to with the rest, once", async () => {
  const { vecfill } = await withLeftover();
  const plan = await vecfill("jobs", "plan", "--target", "all", "--json");
  expect(JSON.parse(plan.stdout).targets).toMatchObject([{ rows: 12 }, { rows: 9 }]);
  const asked = await vecfill("jobs", "run", "--target", "all", "--consent-above", "0");
  expect([asked.code, asked.stderr]).toEqual([
    EXIT_CODES.usage,
    expect.stringMatching(/would spend about .+: 21 rows of/),
  ]);
});

test("what stands against a target that was not asked for is told, and is the exit code", async () => {
  const { vecfillInTime, sql } = await withLeftover("submit");
  await sql("DROP TABLE old");
  const { code, stdout } = await vecfillInTime("jobs", "run", "--target", "all", "--yes");
  expect([code, stdout]).toEqual([EXIT_CODES.fatal, expect.stringMatching(/^public\.old: .+/m)]);
  expect(stdout).toMatch(/^answers: 9 written/m);
});

test("one limit on cost holds for all that submit sends", async () => {
  const { vecfill, home } = await twoTables();
  await vecfill("jobs", "export", "--target", "all");
  const limited = "submit --max-cost 30 --price 1000000 --yes --json".split(" ");
  const { code, stdout } = await vecfill("jobs", ...limited);
  expect(code).toBe(EXIT_CODES.costLimit);
  const jobs = (await readManifest(join(home, "jobs"))).jobs();
  const sent = jobs.filter(({ batch }) => batch !== undefined);
  const spent = sent.reduce((sum, { tokens }) => sum + tokens, 0);
  expect(spent).toBeLessThanOrEqual(30);
  expect(Number(JSON.parse(stdout).costStop.spentUsd)).toBeCloseTo(spent, 3);
});

test("lines that name no job need the name of one", async () => {
  const { vecfill, home } = await twoTables();
  const lines = join(home, "mine.jsonl");
  const content = { parts: [{ text: "x" }] };
  const request = { content, taskType: "RETRIEVAL_DOCUMENT", outputDimensionality: 128 };
  const line = { key: `1@${"0".repeat(32)}`, request };
  await writeFile(lines, `${JSON.stringify(line)}\n`);
  const { code, stderr } = await vecfill("jobs", "resubmit", lines);
  expect([code, stderr]).toEqual([
    EXIT_CODES.usage,
    expect.stringMatching(/name no job, and .+ several targets.+\nhint: .+with --target/),
  ]);
  const named = await vecfill("jobs", "resubmit", lines, "--target", "answers");
  expect(named.stderr).toMatch(/taken for rows of public\.answers|public\.answers/);
});

test("plan, doctor and verify take them one after the other", async () => {
  const { vecfill } = await twoTables();
  const plan = await vecfill("jobs", "plan", "--target", "all", "--json");
  expect(JSON.parse(plan.stdout)).toMatchObject({
    targets: [
      { target: "questions", rows: 9 },
      { target: "answers", rows: 9 },
    ],
  });
  const doctor = await vecfill("jobs", "doctor", "--target", "all");
  expect([doctor.code, doctor.stdout]).toEqual([
    0,
    expect.stringMatching(/^questions:$.+^answers:$/ms),
  ]);
  const dry = await vecfill("jobs", "run", "--target", "all", "--dry-run");
  expect(dry.stdout.match(/Would export 9 rows/g)).toHaveLength(2);
});

test("status tells of both, and goes on with the one that has rows", async () => {
  const { vecfill, vecfillInTime } = await twoTables();
  await vecfillInTime("jobs", "run", "--target", "questions");
  const { code, stdout, stderr } = await vecfill("jobs", "status");
  expect([code, stdout]).toEqual([
    0,
    expect.stringMatching(/^questions:$.+^Done: .+^answers:$.+^Not finished: 9 rows/ms),
  ]);
  expect(stderr).toMatch(/^next: vecfill plan --target all /m);
});

test("one of them alone, by its name; and none is guessed", async () => {
  const folders = await twoTables();
  const { vecfill } = folders;
  const one = await vecfill("jobs", "export", "--target", "answers", "--json");
  expect(JSON.parse(one.stdout)).toMatchObject({
    exported: 9,
    next: "vecfill submit --jobs-dir " + join(folders.home, "jobs"),
  });
  for (const [typed, words] of [
    ["run", /has 2 targets: questions, answers\.\nhint: Give one with --target/],
    ["run --target answer", /has no target answer.+\nhint: Did you mean --target answers\?/],
    ["run --target all --table other", /The targets questions and answers fill the same column/],
  ] as const) {
    const { code, stderr } = await vecfill("jobs", ...typed.split(" "));
    expect([code, stderr]).toEqual([EXIT_CODES.usage, expect.stringMatching(words)]);
  }
});

test(
  "what is of one alone is: failed lines, and requests of the other are told apart",
  IN_FULL,
  async () => {
    const folders = await twoTables();
    const { vecfill, vecfillInTime, emulator, sql } = folders;
    emulator.setFaults("permanent=1");
    await vecfillInTime("jobs", "run", "--target", "questions");
    emulator.setFaults("");
    await sql("DELETE FROM answers WHERE id > 2");
    expect(await vecfill("jobs", "jobs")).toMatchObject({ stderr: "" });
    for (const args of [["--dry-run"], []]) {
      expect(await vecfill("jobs", "resubmit", "--target", "answers", ...args)).toMatchObject({
        stdout: expect.stringMatching(/^Nothing to resubmit/),
      });
    }
    await vecfill("jobs", "resubmit", "--target", "questions");
    expect(await vecfill("jobs", "jobs")).toMatchObject({
      stderr: expect.stringMatching(/^next: vecfill run --target all /m),
    });
    expect(await vecfillInTime("jobs", "run", "--target", "answers")).toMatchObject({
      stdout: expect.stringMatching(/^Of these, 9 requests are of other targets' jobs: 0004/m),
    });
  },
);

test.each([
  ["the only one", {}, { text: "body" }, "answers", "body"],
  ["a table beside the only one", { table: "questions" }, {}, "questions", undefined],
  ["a table that is given", {}, { table: "other" }, "other", undefined],
])("where none is named, %s is meant", async (_name, flat, given, table, text) => {
  const folder = await temporaryFolder();
  const targets = [{ name: "answers", table: "answers" }];
  await writeFile(join(folder, "vecfill.config.json"), JSON.stringify({ ...flat, targets }));
  const { settings } = await loadConfiguration({ flags: given, env: {}, folder, command: "run" });
  expect(settings.table).toBe(table);
  expect(settings.text).toBe(text ?? settings.text);
});

test.each<readonly [targets: unknown, words: RegExp]>([
  [{ questions: {} }, /has targets that are no list/],
  [[], /has no target in targets: name one, such as \[\{"name": "questions"/],
  [[{ table: "a" }], /has a target without a name/],
  [[{ name: "all" }], /has a target without a name/],
  [[{ name: "a" }, { name: "a" }], /has two targets of the name a/],
  [[{ name: "a", tabel: "b" }], /sets tabel, which is no option.+\nhint: Did you mean table\?/],
  [[{ name: "a", jobsDir: "b" }], /sets jobsDir, which is no option of it/],
  [
    [{ name: "a" }, { name: "b", id: "key" }],
    /a and b fill the same column, public\.questions\.emb/,
  ],
])("targets as %j are refused", async (targets, words) => {
  const { vecfill, home } = await openFolders(["one"]);
  await writeFile(join(home, "vecfill.config.json"), JSON.stringify({ targets }));
  const { code, stderr } = await vecfill("jobs", "run", "--target", "all");
  expect([code, stderr]).toEqual([EXIT_CODES.usage, expect.stringMatching(words)]);
});
