/**
 * At three in the morning I read the end of a run, `jobs` and `status`: do they say what was done, what failed
 * and why, who is at work, and the one thing to type next?
 */
import { EventEmitter } from "node:events";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, expect, it, test } from "vitest";
import { run as runCli } from "../../src/cli.ts";
import { systemClock } from "../../src/clock.ts";
import { pricesOf } from "../../src/cost/tariff.ts";
import { openManifest } from "../../src/jobs-folder/open.ts";
import { openWatch } from "../../src/output/notify/watch.ts";
import { dollarsTogether } from "../../src/words/figures.ts";
import { skippedLines } from "../../src/words/sums-text.ts";
import { folded } from "../../src/words/text-lines.ts";
import { runHere } from "../command-line.ts";
import { parseExposition } from "../exposition.ts";
import { openFolders, TEXTS } from "../folders.ts";
import { IN_FULL } from "../size.ts";

const next = ({ stderr }: Readonly<{ stderr: string }>) =>
  stderr.match(/^next: (?<line>.*)$/m)?.groups?.["line"];

const FAILED =
  /^7 failed, permanent, code 3 \(.+\): ids 1, 2, 3, 4, 5 …, in \S+0001\.failed\.jsonl, \S+0002\.failed\.jsonl, \S+0003\.failed\.jsonl$/m;

describe("rows that failed for good", () => {
  it("are told with reason, ids and file at the end of a run, of the job, and in the status", async () => {
    const { vecfill, vecfillInTime, home } = await openFolders(TEXTS, { faults: "permanent=1" });
    const run = await vecfillInTime("jobs", "run");
    expect(run.code).toBe(1);
    expect(run.stdout).toMatch(FAILED);
    expect(run.stdout).toMatch(/^Permanent: the same text fails again\. Mend it in the table/m);
    expect(next(run)).toBeUndefined();
    const job = await vecfill("jobs", "jobs", "1");
    expect(job.stdout).toMatch(
      /^failures +3 failed, permanent, code 3 \(.+\): ids 1, 2, 3, in \S+$/m,
    );
    const status = await vecfill("jobs", "status");
    expect(status.stdout).toMatch(
      /^failed +7 failed, permanent, code 3 .+: ids 1, 2, 3, 4, 5 …, in/m,
    );
    expect([status.code, next(job), next(status)]).toEqual([0, undefined, undefined]);
    const again = await vecfill("jobs", "run");
    expect([again.code, next(again)]).toEqual([0, expect.stringMatching(/^vecfill status /)]);
    const list = await vecfill("jobs", "jobs", "--state", "failed");
    expect(list.stdout).toMatch(
      /^Rows failed in 0001 and 2 more all the same: `vecfill jobs 0001 /m,
    );
    expect((await vecfill("jobs", "jobs")).stdout).toMatch(/^job .+ failed +tokens /m);
    const json = JSON.parse((await vecfill("jobs", "jobs", "1", "--json")).stdout);
    expect(json.failures).toMatchObject([
      { class: "permanent", code: 3, rows: 3, files: [join(home, "jobs", "0001.failed.jsonl")] },
    ]);
  });

  it("are named for scripts by run and import, and by the metrics", async () => {
    const { vecfill, vecfillInTime, endBatches, home } = await openFolders(TEXTS, {
      faults: "permanent=1",
    });
    await vecfill("jobs", "export", "--limit", "3");
    await vecfill("jobs", "submit");
    await endBatches();
    await vecfill("jobs", "poll");
    const imported = JSON.parse((await vecfill("jobs", "import", "--json")).stdout);
    const file = join(home, "jobs", "0001.failed.jsonl");
    expect(imported).toMatchObject({ failedFiles: [file], failures: [{ rows: 3 }] });
    const metrics = join(home, "vecfill.prom");
    const args = ["run", "--json", "--metrics-file", metrics];
    const { code, stdout } = await vecfillInTime("jobs", ...args);
    const { failedFiles } = JSON.parse(stdout);
    expect([code, failedFiles]).toEqual([
      1,
      ["0002", "0003"].map((id) => join(home, "jobs", `${id}.failed.jsonl`)),
    ]);
    const samples = parseExposition(await readFile(metrics, "utf8"));
    const valueOf = (name: string, state?: string) =>
      samples.find(
        (one) => one.name === `vecfill_${name}` && (!state || one.labels["state"] === state),
      )?.value;
    expect([valueOf("health", "failed"), valueOf("last_run_exit_code")]).toEqual([1, 1]);
    expect(valueOf("rows_without_vector")).toBe(7);
  });
});

test("the metrics are there before anything is asked, and count at the end what is left", async () => {
  const { vecfillInTime, home } = await openFolders(TEXTS);
  const metricsFile = join(home, "vecfill.prom");
  const valueOf = async (name: string) =>
    parseExposition(await readFile(metricsFile, "utf8")).find(
      (sample) => sample.name === `vecfill_${name}`,
    )?.value;
  const jobsDir = join(home, "jobs");
  const around = { jobsDir, hasJobs: true, folder: home, env: {}, onEvent: undefined };
  const watch = await openWatch({
    ...around,
    clock: systemClock,
    command: "run",
    metricsFile,
    prices: pricesOf({}),
    warn: () => undefined,
  });
  expect(await valueOf("last_run_duration_seconds")).toBeLessThan(1);
  await watch.end({ exit: "done", message: "", hint: undefined });
  await vecfillInTime("jobs", "run", "--limit", "3", "--metrics-file", metricsFile);
  expect(await valueOf("rows_without_vector")).toBe(4);
  expect(String(await valueOf("cost_usd_total"))).toMatch(/^\d(\.\d{1,6}|e-\d)$/);
});

describe("while a command works in the folder", () => {
  it("jobs and status name it, and have nothing to do", async () => {
    const { vecfill, home } = await openFolders(TEXTS);
    await vecfill("jobs", "export");
    const manifest = await openManifest(join(home, "jobs"), systemClock, "run");
    for (const command of ["jobs", "status"]) {
      const busy = await vecfill("jobs", command);
      expect(busy.stdout).toMatch(
        /at work:? +vecfill run since \d{4}-\d\d-\d\d \d\d:\d\d UTC \(.+\), process \d+ on /i,
      );
      expect(busy.stdout).not.toMatch(/nothing to do/i);
      expect(next(busy)).toBeUndefined();
      const { atWork } = JSON.parse((await vecfill("jobs", command, "--json")).stdout);
      expect(atWork).toMatchObject({ command: "run", pid: process.pid });
    }
    const second = await vecfill("jobs", "submit");
    expect([second.code, second.stderr]).toEqual([
      6,
      expect.stringMatching(/in use by `vecfill run`, process/),
    ]);
    await manifest.close();
    expect(next(await vecfill("jobs", "jobs"))).toMatch(/^vecfill run /);
    expect(next(await vecfill("jobs", "status"))).toMatch(/^vecfill run /);
  });
});

const terminal = () => Object.assign(new PassThrough({ encoding: "utf8" }), { isTTY: true });

describe("the end of a run", () => {
  it("is one block: what was written, how long it took, what it cost, and what is next", async () => {
    const { vecfill, vecfillInTime } = await openFolders(TEXTS);
    const part = await vecfillInTime("jobs", "run", "--limit", "3");
    expect(part.stdout.trimEnd().split("\n")).toEqual([
      "3 requests = 3 written + 0 failed",
      "4 rows have no vector yet.",
      expect.stringMatching(/^Took .+\.$/),
      expect.stringMatching(/^Cost: about \$0\.000001 for \d+ tokens/),
      expect.stringMatching(
        /^Gemini is asked at http:\S+ \(GOOGLE_GEMINI_BASE_URL\), not at Google/,
      ),
    ]);
    expect(next(part)).toMatch(/^vecfill run --limit 3 /);
    const rest = await vecfillInTime("jobs", "run", "--limit", "4");
    expect(rest.stdout).toContain("Every row has a vector.");
    expect(rest.stdout).toMatch(
      /^There is no index for searches yet: create index on public\.questions using hnsw/m,
    );
    expect(next(rest)).toMatch(/^vecfill verify /);
    const status = await vecfill("jobs", "status");
    expect(status.stdout).toMatch(
      /^Done: every row has a vector\.\ncolumn +█{30} 100%\n +7 of 7 rows with a vector$/m,
    );
    expect((await vecfill("jobs", "verify")).stdout).toContain("No problem was found.");
  });

  it("has the time of the work, without the wait for an answer", async () => {
    const { env, home } = await openFolders(TEXTS);
    const waitMs = 3_000;
    const [stdin, stdout, stderr] = [terminal(), terminal(), terminal()];
    stderr.on("data", (text: string) => {
      if (text.includes("Go on?")) setTimeout(() => stdin.write("y\n"), waitMs);
    });
    const folder = ["--jobs-dir", join(home, "jobs")];
    const args = ["run", "--lane", "sync", "--consent-above", "0", "--json", ...folder];
    const streams = { stdin, stdout, stderr, signals: new EventEmitter(), leave: () => undefined };
    expect(await runCli(args, { ...streams, env, folder: home })).toBe(0);
    const { written, seconds } = JSON.parse(String(stdout.read()));
    expect([written, seconds]).toEqual([7, expect.toSatisfy((n) => n < waitMs / 1000)]);
  });

  it("of one row speaks of one request", async () => {
    const { vecfillInTime } = await openFolders(["only one"]);
    expect((await vecfillInTime("jobs", "run")).stdout).toMatch(/^1 request = 1 written/m);
  });
});

test("what a run saw waiting in a failed file and sent again is not left out at its end", async () => {
  const { vecfill, vecfillInTime, endBatches } = await openFolders(TEXTS, {
    faults: "batch-fail=1x",
  });
  const step = async (...args: string[]) => expect((await vecfill("jobs", ...args)).code).toBe(0);
  await step("export", "--limit", "2");
  await step("submit");
  await endBatches();
  await vecfill("jobs", "poll");
  await step("export", "--limit", "3");
  await step("submit");
  const { stdout } = await vecfillInTime("jobs", "run");
  expect(stdout).toMatch(/^7 requests = 7 written \+ 0 failed$/m);
  expect(stdout).not.toContain("Left out");
});

test("a dry run of resubmit asks the table, and counts as resubmit does", IN_FULL, async () => {
  const { vecfill, vecfillInTime, sql } = await openFolders(TEXTS, { faults: "permanent=1" });
  await vecfillInTime("jobs", "run");
  await sql("UPDATE questions SET embedding = array_fill(0.5, ARRAY[128]) WHERE id = 1");
  await sql("UPDATE questions SET question_text = 'mended' WHERE id = 2");
  await sql("DELETE FROM questions WHERE id = 3");
  const resubmit = async (...args: string[]) => await vecfill("jobs", "resubmit", ...args);
  const dry = await resubmit("--dry-run");
  expect(dry.stdout).toContain("Would resubmit 4 failed lines of 2 jobs (0002, 0003).");
  expect(dry.stdout).toContain("3 rows that had failed were changed, filled or deleted since");
  const { requests } = JSON.parse((await resubmit("--dry-run", "--json")).stdout);
  expect([requests, JSON.parse((await resubmit("--json")).stdout).requests]).toEqual([4, 4]);
});

test("rows that were written before an import was stopped are in the column, and told so", async () => {
  const many = Array.from({ length: 1_500 }, (_, n) => `Question ${n}?`);
  const { vecfill, endBatches, home, env, sql } = await openFolders(many);
  await vecfill("jobs", "export", "--max-job-rows", "1500");
  await vecfill("jobs", "submit");
  await endBatches();
  const signals = new EventEmitter();
  const listen = (text: string) => void (/importing/.test(text) && signals.emit("SIGINT"));
  const args = ["run", "--jobs-dir", join(home, "jobs")];
  const stopped = await runHere(args, { env, folder: home, signals, listen });
  const [row] = await sql("SELECT count(embedding)::int AS n FROM questions");
  const written = Number(row?.["n"]).toLocaleString("en");
  expect([stopped.code, Number(row?.["n"])]).toEqual([130, expect.closeTo(750, -3)]);
  const said = `Of job 0001, ${written} of 1,500 rows are in the column already`;
  expect(stopped.stdout).toContain(said);
  const status = await vecfill("jobs", "status");
  expect(status.stdout).toContain(
    `1,500 rows in 1 job, of which ${written} of job 0001 are in the column already`,
  );
});

test("status fits a screen of 80 columns and 24 lines, with a batch at Gemini and somebody at work", async () => {
  const { vecfill, home } = await openFolders(TEXTS);
  await vecfill("jobs", "export", "--limit", "3");
  await vecfill("jobs", "submit");
  expect((await vecfill("jobs", "status")).stdout).toMatch(
    /^in no job +4 rows; `vecfill plan .+` says which are left out, and why$/m,
  );
  const manifest = await openManifest(join(home, "jobs"), systemClock, "run");
  const { stdout } = await vecfill("jobs", "status");
  await manifest.close();
  const lines = folded(stdout.trimEnd(), 79).split("\n");
  expect(lines.length).toBeLessThan(24);
  expect(stdout).toMatch(/^Under way: 3 rows in 1 job\.$/m);
  expect(stdout).toMatch(
    /^at Gemini +3 rows in 1 job, oldest 0001 since \d{4}-\d\d-\d\d \d\d:\d\d UTC \(.+\)$/m,
  );
  expect(stdout).toMatch(/^pace +not known yet$/m);
});

test("a folder that is not there is named by whoever looks into it", async () => {
  const { vecfill } = await openFolders(TEXTS);
  const none = /^(?:error: )?There is no folder \S+jbos yet\.$/m;
  for (const [command, code] of [
    ["status", 0],
    ["verify", 0],
    ["jobs", 0],
    ["report", 2],
  ] as const) {
    const ended = await vecfill("jbos", command);
    expect([ended.code, ended.stdout + ended.stderr]).toEqual([code, expect.stringMatching(none)]);
  }
  await vecfill("jobs", "export");
  expect((await vecfill("jobs", "status")).stdout).not.toMatch(none);
  expect((await vecfill("jobs", "verify")).stdout).toMatch(
    /^files: 3 files checked, as recorded$/m,
  );
});

test("rows that are left out as too long, or as paid for, come with what takes them", async () => {
  const lines = skippedLines({
    skipped: { empty: 0, tooLong: 2, inFlight: 0, failedBefore: 0, paidBefore: 45 },
    tooLongFile: undefined,
  });
  expect(lines).toEqual([
    "Left out: 2 rows longer than the model takes: with --on-too-long truncate a run sends what fits.",
    "Left out: 45 rows paid for before: `vecfill run` or `vecfill import --again` writes them at no cost.",
  ]);
});

test("status before anything was done counts the rows and names plan", async () => {
  const { vecfill } = await openFolders(TEXTS);
  const status = await vecfill("jobs", "status");
  expect(status.stdout).toContain("Not finished: 7 rows without a vector.");
  expect(next(status)).toMatch(/^vecfill plan /);
  const { total, withoutEmbedding, atGemini } = JSON.parse(
    (await vecfill("jobs", "status", "--json")).stdout,
  );
  expect([total, withoutEmbedding, atGemini.jobs]).toEqual([7, 7, 0]);
});

test("where no run takes what is left, status and verify say what it is; once a text is mended, that a run does", async () => {
  const folders = await openFolders(TEXTS, { faults: "permanent=1" });
  const { vecfill, vecfillInTime, sql } = folders;
  await sql("INSERT INTO questions VALUES (8, '', NULL), (9, NULL, NULL)");
  await vecfillInTime("jobs", "run");
  const told = async (command: string) => {
    const ended = await vecfill("jobs", command);
    return [next(ended)?.split(" ")[1], ended.stdout.match(/^(?:Done but|Not fin).*$/m)?.[0]];
  };
  const left = "Done but for 9 rows that no run takes: 7 that failed, 2 without text.";
  expect(await told("verify")).toEqual([undefined, left]);
  expect(await told("status")).toEqual([undefined, left]);
  const filled = "array_fill(0.5::real, ARRAY[128])::vector";
  await sql(`UPDATE questions SET embedding = ${filled} WHERE id = 2`);
  expect((await vecfill("jobs", "status")).stdout).toMatch(
    /^ +Failed before, and mended or gone by now: 1 row\.$/m,
  );
  await sql("UPDATE questions SET embedding = NULL WHERE id = 2");
  await sql("UPDATE questions SET question_text = 'mended' WHERE id = 1");
  const more = "Not finished: 9 rows without a vector, of which 6 failed.";
  expect(await told("status")).toEqual(["run", more]);
  const { stdout: some } = await vecfill("jobs", "status");
  expect(some).toMatch(/^failed +6 failed, permanent, code 3 .+: ids 2, 3, 4, 5, 6 …, in/m);
  expect(some).toMatch(/^ +Failed before, and mended or gone by now: 1 row\.$/m);
  expect(await told("verify")).toEqual(["run", more]);
  await sql("DELETE FROM questions WHERE id < 8");
  expect(await told("status")).toEqual([undefined, "Done but for 2 rows without text."]);
  expect((await vecfill("jobs", "status")).stdout).not.toMatch(/Permanent/);
  const verified = await vecfill("jobs", "verify", "--max-age", "0.001");
  expect([verified.code, verified.stdout]).toEqual([0, expect.not.stringMatching(/oldest/)]);
});

test(
  "a log file has each line with its time, what was typed first, and no key",
  IN_FULL,
  async () => {
    const { vecfillInTime, home } = await openFolders(TEXTS);
    const log = join(home, "run.log");
    await vecfillInTime("jobs", "run", "--log-file", log);
    await vecfillInTime("jobs", "run", "--quiet", "--log-file", log);
    const lines = (await readFile(log, "utf8")).trimEnd().split("\n");
    expect(lines.filter((line) => !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ /.test(line))).toEqual([]);
    const said = lines.map((line) => line.slice("2026-11-22T10:00:00Z ".length));
    expect(said[0]).toMatch(/^vecfill run --jobs-dir|^vecfill run --log-file/);
    expect(said.filter((line) => line.startsWith("vecfill run"))).toHaveLength(2);
    expect(said).toContain("7 requests = 7 written + 0 failed");
    expect(said.some((line) => line.startsWith("0001 submitted: batches/"))).toBe(true);
    expect(said.some((line) => line.startsWith("next: vecfill verify"))).toBe(true);
    expect((await stat(log)).mode & 0o777).toBe(0o600);
    expect(lines.join()).not.toContain("a-key-for-tests");
  },
);

test("plain progress has times, and a log file that cannot be written is told before anything else", async () => {
  const { vecfill } = await openFolders(TEXTS);
  const { stderr } = await vecfill("jobs", "export");
  expect(stderr).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ 0001 exported: 3 rows/m);
  const refused = await vecfill("jobs", "export", "--log-file", "/no/such/folder/x.log");
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringContaining("The log file cannot be written"),
  ]);
});

const words = (text: string) => text.split(/\s+/).filter((word) => word !== "");

describe("a line that is too long for the terminal", () => {
  it.each([40, 60, 80])("is folded between words at %i columns", async (columns) => {
    const { vecfill } = await openFolders(TEXTS);
    const pages = [
      await vecfill("jobs", "doctor"),
      await vecfill("jobs", "plan"),
      await vecfill("jobs", "status"),
    ];
    for (const { stdout } of pages) {
      const text = folded(stdout.trimEnd(), columns);
      expect(words(text)).toEqual(words(stdout));
      const wide = text.split("\n").filter((line) => line.length > columns);
      // but for a last word, or command, that is wider than a whole line
      const last = /\s+(?:[^\s`]|`[^`]*`)+$/;
      expect(wide.filter((line) => line.replace(last, "").length > columns)).toEqual([]);
      expect(wide.filter((line) => (last.exec(line)?.[0].trim().length ?? 0) <= columns)).toEqual(
        [],
      );
    }
  });

  it("leaves a unit at its figure", () => {
    expect(folded("since 09:27 (1 min 9 s)", 20)).toBe("since 09:27 (1 min\n  9 s)");
    expect(folded("since 09:27 (100 min)", 19)).toBe("since 09:27\n  (100 min)");
  });

  it("stands below its last column, and leaves a command whole", () => {
    expect(folded("ok  table  it is there and has all that is needed", 24)).toBe(
      [
        "ok  table  it is there",
        "           and has all",
        "           that is",
        "           needed",
      ].join("\n"),
    );
    expect(folded("mend: `vecfill run --limit 3000` goes on", 28)).toBe(
      ["mend:", "  `vecfill run --limit 3000`", "  goes on"].join("\n"),
    );
    expect(folded("ab  sent  files/of-twenty-columns", 26)).toBe(
      ["ab  sent", "   files/of-twenty-columns"].join("\n"),
    );
    // what is too wide for its column stands near the margin
    expect(folded("2026-11-30  ended  files/of-more-than-thirty-columns", 40)).toBe(
      ["2026-11-30  ended", "    files/of-more-than-thirty-columns"].join("\n"),
    );
    // below there would be no more room for it
    expect(folded("file: a-name-of-more-columns-than-there-are", 20)).toBe(
      "file: a-name-of-more-columns-than-there-are",
    );
  });
});

test("costs that stand in a column add up to what stands below them, however small they are", () => {
  for (const usds of [
    [0.0000647, 0.0000615, 0.0000625, 0.0000261],
    [0.0004, 0.2],
    [1.005, 2.004, 0.5],
    [],
  ]) {
    const { text, sum } = dollarsTogether(usds);
    const shown = usds.map((usd) => Number(text(usd).slice(1)));
    expect(shown.every((usd) => usd > 0)).toBe(true);
    expect(shown.reduce((a, b) => a + b, 0)).toBeCloseTo(Number(sum.slice(1)), 9);
  }
});
