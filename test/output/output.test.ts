/**
 * I pipe vecfill into a file, a cron mail or `jq`, or sit before a terminal: does each get what it
 * can use, results on stdout and the rest on stderr, and never a secret or a stray escape sequence?
 */
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { UserError } from "../../src/errors.ts";
import { failureOf } from "../../src/output/failure.ts";
import { GeminiError } from "../../src/gemini/port.ts";
import { type OutputOptions, createOutput } from "../../src/output/output.ts";
import { bytes, count, counted, dollars, duration } from "../../src/words/figures.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { Secret, redactor } from "../../src/settings/environment/secret.ts";

const KEY = "AIza-very-secret";
const ESCAPE = "\u{1b}";

type Setup = Partial<OutputOptions> & { terminal?: boolean; columns?: number };

function setUp({ terminal = false, columns = 60, ...options }: Setup = {}) {
  const stdout = new PassThrough({ encoding: "utf8" });
  const stderr = new PassThrough({ encoding: "utf8" });
  Object.assign(stderr, { isTTY: terminal, columns });
  let nowMs = 0;
  const output = createOutput(
    { stdout, stderr },
    {
      json: false,
      quiet: false,
      verbose: false,
      progressJson: false,
      display: undefined,
      color: true,
      env: {},
      redact: redactor([new Secret(KEY)]),
      clock: { ...systemClock, elapsedMs: () => nowMs },
      ...options,
    },
  );
  return {
    output,
    stdout: () => String(stdout.read() ?? ""),
    /** Without the time that a line of progress begins with. */
    stderr: () => String(stderr.read() ?? "").replaceAll(/^\d{4}-\d\d-\d\dT[\d:]+Z /gm, ""),
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

const exported: ProgressEvent = {
  type: "exported",
  job: "0001",
  requests: 50_000,
  tokens: 1_234_567,
  bytes: 12_345_678,
};
const importing = (rows: number, job = "0001"): ProgressEvent => ({
  type: "importing",
  job,
  rows,
  written: rows,
  requests: 50_000,
});

const pending = (batchState: string): ProgressEvent => ({
  type: "pending",
  job: "0001",
  batchState,
  ageSeconds: 60,
});

const submittedJob: ProgressEvent = {
  type: "job",
  job: "0001",
  state: "submitted",
  requests: 50,
  tokens: 100,
  usd: 0.0001,
  written: 0,
  failed: 0,
  stale: 0,
  filled: 0,
  gone: 0,
  passedOn: 0,
  submittedAt: "2026-11-25T10:00:00.000Z",
};

describe("streams", () => {
  it("sends the result to stdout and everything else to stderr", () => {
    const { output, stdout, stderr } = setUp();
    output.result("2 jobs");
    output.report(exported);
    output.report({ type: "warning", message: "slow", hint: "wait" });
    output.notice("next: vecfill submit");
    expect(stdout()).toBe("2 jobs\n");
    expect(stderr()).toBe(
      [
        "0001 exported: 50,000 rows, about 1,234,567 tokens, 12.3 MB",
        "warning: slow",
        "hint: wait",
        "next: vecfill submit\n",
      ].join("\n"),
    );
  });

  it("writes one JSON object with its version and command", () => {
    const { output, stdout } = setUp({ json: true });
    output.object("export", { exported: 3, jobs: ["0001"] });
    expect(JSON.parse(stdout())).toEqual({
      schemaVersion: 1,
      command: "export",
      exported: 3,
      jobs: ["0001"],
    });
  });

  it("keeps warnings, results and errors when quiet", () => {
    const { output, stdout, stderr } = setUp({ quiet: true, terminal: true, color: false });
    output.report(exported);
    output.report(importing(1));
    output.notice("next: vecfill submit");
    output.report({ type: "warning", message: "slow", hint: undefined });
    output.result("2 jobs");
    expect(stdout()).toBe("2 jobs\n");
    expect(stderr()).toBe("warning: slow\n");
  });

  it("shows details only when verbose", () => {
    const quiet = setUp();
    quiet.output.detail("settings: …");
    const verbose = setUp({ verbose: true });
    verbose.output.detail("settings: …");
    expect([quiet.stderr(), verbose.stderr()]).toEqual(["", "settings: …\n"]);
  });
});

describe("progress", () => {
  it("is one plain line per event without a terminal, a moving figure now and then", () => {
    const { output, stderr, pass } = setUp();
    output.report(importing(500));
    pass(9_999);
    output.report(importing(1_000));
    output.report(importing(7, "0002"));
    pass(1);
    output.report(importing(1_500));
    expect(stderr().split("\n")).toEqual([
      "0001 importing: 500 of 50,000 rows",
      "0002 importing: 7 of 50,000 rows",
      "0001 importing: 1,500 of 50,000 rows",
      "",
    ]);
  });

  it("is every event when verbose", () => {
    const { output, stderr } = setUp({ verbose: true });
    for (const rows of [1, 2, 3]) output.report(importing(rows));
    expect(stderr().trimEnd().split("\n")).toHaveLength(3);
  });

  it("says once what a batch is doing, and again when that changes", () => {
    const { output, stderr, pass } = setUp();
    output.report(pending("BATCH_STATE_PENDING"));
    pass(60_000);
    output.report(pending("BATCH_STATE_PENDING"));
    output.report(pending("BATCH_STATE_RUNNING"));
    expect(stderr().trimEnd().split("\n")).toEqual([
      "0001 pending: BATCH_STATE_PENDING for 1 min",
      "0001 pending: BATCH_STATE_RUNNING for 1 min",
    ]);
  });

  it("gives a sign of life while batches are waited for, more and more rarely", () => {
    const { output, stderr, pass } = setUp();
    output.report(submittedJob);
    const looks = Array.from({ length: 60 }, () => {
      pass(60_000);
      output.report({ type: "polled", pending: 1, nextPollSeconds: 60 });
      return stderr();
    });
    const said = looks.flatMap((line, minute) => (line === "" ? [] : [minute + 1]));
    expect(said).toEqual([1, 3, 7, 15, 25, 35, 45, 55]);
    expect(looks[0]).toMatch(
      /^at Gemini: 50 rows in 1 job, the oldest, 0001, for .+; next poll in 1 min\n$/,
    );
  });

  it("says of a wait that goes on how long it has lasted", () => {
    const { output, stderr, pass } = setUp();
    for (const _ of [1, 2, 3]) {
      output.report({ type: "waiting", why: "for quota at Gemini", seconds: 90 });
      pass(90_000);
    }
    expect(stderr().trimEnd().split("\n")).toEqual([
      "waiting 1 min 30 s: for quota at Gemini",
      "waiting 1 min 30 s: for quota at Gemini (for 1 min 30 s already)",
      "waiting 1 min 30 s: for quota at Gemini (for 3 min already)",
    ]);
  });

  it("shows a type without words of its own as it is", () => {
    // as a stage reports it before anybody has found words for it
    const event = JSON.parse('{"type":"rebuilding","index":"questions_hnsw","blocks":12000}');
    const { output, stderr } = setUp();
    output.report(event);
    expect(stderr()).toBe("rebuilding: index questions_hnsw, blocks 12,000\n");
  });

  it.each<[ProgressEvent, string]>([
    [{ type: "exporting", exported: 1200, skipped: 3 }, "exporting: 1,200 rows, 3 skipped"],
    [{ type: "uploading", job: "0001", bytes: 999_960 }, "0001 uploading: 1.0 MB"],
    [
      { type: "submitted", job: "0001", batch: "batches/b", adopted: true },
      "0001 submitted: batches/b, found at Gemini",
    ],
    [{ type: "waiting", why: "quota", seconds: 90 }, "waiting 1 min 30 s: quota"],
    [
      { type: "pending", job: "0001", batchState: "BATCH_STATE_RUNNING", ageSeconds: 7200 },
      "0001 pending: BATCH_STATE_RUNNING for 2 h",
    ],
    [
      { type: "ended", job: "0001", state: "failed", message: "no such file" },
      "0001 ended: failed, no such file",
    ],
    [
      {
        type: "imported",
        job: "0001",
        requests: 10,
        written: 8,
        failed: 1,
        stale: 0,
        filled: 0,
        gone: 1,
      },
      "0001 imported: 8 written, 1 failed, 1 gone",
    ],
    [
      { type: "resubmitted", job: "0001", jobs: ["0001"], into: ["0002", "0003"], requests: 1 },
      "0001 resubmitted: 1 row in 0002, 0003",
    ],
  ])("says %o in a line", (event, line) => {
    const { output, stderr } = setUp();
    output.report(event);
    expect(stderr()).toBe(`${line}\n`);
  });
});

describe("colours", () => {
  const painted = (setup: Setup) => {
    const { output, stderr } = setUp(setup);
    output.report({ type: "warning", message: "slow", hint: undefined });
    return stderr().includes(ESCAPE);
  };

  it.each<[string, Setup, boolean]>([
    ["a terminal", { terminal: true }, true],
    ["no terminal", {}, false],
    ["--no-color", { terminal: true, color: false, env: { FORCE_COLOR: "1" } }, false],
    ["NO_COLOR", { terminal: true, env: { NO_COLOR: "1" } }, false],
    ["NO_COLOR set to nothing", { terminal: true, env: { NO_COLOR: "" } }, true],
    ["FORCE_COLOR", { env: { FORCE_COLOR: "1" } }, true],
    ["FORCE_COLOR=0", { terminal: true, env: { FORCE_COLOR: "0" } }, false],
    ["TERM=dumb", { terminal: true, env: { TERM: "dumb" } }, false],
  ])("with %s", (_, setup, expected) => {
    expect(painted(setup)).toBe(expected);
  });
});

describe("errors", () => {
  const refused = new UserError("The table is not there.", {
    hint: "Name it with --table.",
    exit: "fatal",
    cause: new Error("42P01"),
  });

  it("say what happened and what to do, without a stack", () => {
    const { output, stdout, stderr } = setUp();
    output.failure("export", failureOf(refused));
    expect(stderr()).toBe("error: The table is not there.\nhint: Name it with --table.\n");
    expect(stdout()).toBe("");
  });

  it("show their cause when verbose", () => {
    const { output, stderr } = setUp({ verbose: true });
    output.failure("export", failureOf(refused));
    expect(stderr()).toMatch(/Error: 42P01\n\s+at .*output\.test\.ts/);
  });

  it("are an object on stdout with --json", () => {
    const { output, stdout } = setUp({ json: true });
    output.failure("export", failureOf(refused));
    expect(JSON.parse(stdout())).toEqual({
      schemaVersion: 1,
      command: "export",
      error: { message: "The table is not there.", hint: "Name it with --table.", exitCode: 3 },
    });
  });

  it("leave stdout with one object when the result is already there", () => {
    const { output, stdout, stderr } = setUp({ json: true });
    output.object("poll", { pending: ["0001"] });
    output.failure("poll", failureOf(refused));
    expect(JSON.parse(stdout())).toEqual({ schemaVersion: 1, command: "poll", pending: ["0001"] });
    expect(stderr()).toContain("error: The table is not there.");
  });

  it("are bugs when nobody foresaw them: with their stack, and asking for a report", () => {
    const { output, stderr } = setUp();
    output.failure("export", failureOf(new TypeError("x is undefined")));
    const text = stderr();
    expect(text).toMatch(/TypeError: x is undefined\n\s+at .*output\.test\.ts/);
    expect(text).toContain("error: This is a bug in vecfill: x is undefined");
    expect(text).toContain("hint: Please report it");
  });

  it.each<[string, unknown, string, string]>([
    [
      "what Gemini refuses",
      new GeminiError("key", "API key not valid"),
      "API key not valid",
      "fatal",
    ],
    ["a full quota", new GeminiError("quota", "429"), "429", "unfinished"],
    [
      "a full disk",
      Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" }),
      "no space left on device",
      "fatal",
    ],
  ])("are no bugs for %s", (_, error, said, exit) => {
    const failure = failureOf(error);
    expect(failure).toMatchObject({ bug: false, exit });
    expect(failure.message).toContain(said);
  });
});

describe("what must not get out", () => {
  it("holds no secret, on whichever way it comes", () => {
    const { output, stdout, stderr } = setUp({ verbose: true, json: true });
    const error = new Error(`key ${KEY}`, { cause: new Error(`at ?key=${KEY}`) });
    output.result(`result ${KEY}`);
    output.object("jobs", { text: KEY });
    output.notice(`notice ${KEY}`);
    output.detail(`detail ${KEY}`);
    output.report({ type: "warning", message: KEY, hint: KEY });
    output.report({ type: "waiting", why: KEY, seconds: 1 });
    output.failure("jobs", failureOf(error));
    output.failure(
      "jobs",
      failureOf(new UserError(KEY, { hint: KEY, exit: "usage", cause: error })),
    );
    const printed = stdout() + stderr();
    expect(printed).not.toContain(KEY);
    expect(printed.match(/\[secret\]/g)?.length).toBeGreaterThan(10);
  });

  it("holds no escape sequence from outside", () => {
    const { output, stdout, stderr } = setUp({ terminal: true, color: false });
    output.result(`a${ESCAPE}[2Jb\u{9b}31mc\td\n`);
    output.report({ type: "waiting", why: `x\n${ESCAPE}[1A`, seconds: 1 });
    expect(stdout()).toBe("a\\u001b[2Jb\\u009b31mc\td\n\n");
    expect(stderr()).toContain("waiting 1 s: x \\u001b[1A");
  });

  it("shows what would turn a line around, in text and in JSON, and JSON stays what it was", () => {
    const tricky = "a\u{202e}b\u{2066}c\u{9b}31m\u{200f}";
    const { output, stdout } = setUp({ terminal: false });
    output.result(tricky);
    expect(stdout()).toBe(String.raw`a\u202eb\u2066c\u009b31m\u200f` + "\n");
    const asJson = setUp({ terminal: false, json: true });
    asJson.output.object("jobs", { tricky });
    const line = asJson.stdout();
    expect(line).toContain(String.raw`a\u202eb\u2066c\u009b31m\u200f`);
    expect(JSON.parse(line)).toMatchObject({ tricky });
  });
});

describe("figures", () => {
  it.each([
    [0, "$0.00"],
    [0.000_002, "$0.000002"],
    [0.000_000_53, "$0.0000005"],
    [0.000_099, "$0.0001"],
    [0.0123, "$0.0123"],
    [0.1, "$0.10"],
    [12.345, "$12.35"],
  ])("tell %d dollars as %s: a little is never nothing", (usd, text) => {
    expect(dollars(usd)).toBe(text);
  });

  it("are written as people read them", () => {
    expect([count(1_234_567), counted(1, "row"), counted(2_000, "row")]).toEqual([
      "1,234,567",
      "1 row",
      "2,000 rows",
    ]);
    expect([0, 999, 1000, 999_949, 999_950, 5e15].map(bytes)).toEqual([
      "0 B",
      "999 B",
      "1.0 kB",
      "999.9 kB",
      "1.0 MB",
      "5000.0 TB",
    ]);
    expect([-1, 0.4, 59.6, 60, 3599, 3600, 90_061, 172_800].map(duration)).toEqual([
      "0 s",
      "0 s",
      "1 min",
      "1 min",
      "59 min 59 s",
      "1 h",
      "1 d 1 h",
      "2 d",
    ]);
  });
});
