/**
 * I leave a run in a terminal, split the window, make it narrow, and press Ctrl-C: is the display
 * whole at every width, does a warning stand above it untorn, and is nothing left behind?
 */
import { PassThrough } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import xterm from "@xterm/headless";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { cleaner, createOutput } from "../../src/output/output.ts";
import { displayLines } from "../../src/output/display-lines.ts";
import { openDisplay } from "../../src/output/display.ts";
import { textWidth } from "../../src/output/fit.ts";
import { noteProgress, startProgress } from "../../src/output/progress-state.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { Secret, redactor } from "../../src/settings/environment/secret.ts";
import { EXAMPLES, jobReport } from "./reports.ts";

const MINUTE = { now: new Date("2026-11-25T10:01:00.000Z"), elapsedMs: 60_000 };
const LATER = { now: new Date("2026-11-25T11:23:45.000Z"), elapsedMs: 5_025_000 };

/** The middle of a run, with everything going on at once. */
const MIDDLE: readonly ProgressEvent[] = [
  { type: "goal", rows: 50_000, withoutVector: 50_000 },
  EXAMPLES.exporting,
  jobReport("0001", "imported", { written: 990, failed: 7, stale: 2, gone: 1 }),
  jobReport("0002", "downloaded"),
  jobReport("0003", "submitted"),
  jobReport("0004", "exported"),
  { type: "exported", job: "0004", requests: 1_000, tokens: 1, bytes: 1 },
  { type: "uploading", job: "0004", bytes: 1_000 },
  { type: "downloading", job: "0005", bytes: 1_000 },
  { type: "importing", job: "0002", rows: 300, written: 300, requests: 1_000 },
  { type: "polled", pending: 1, nextPollSeconds: 6_000 },
  {
    type: "waiting",
    why: "for quota at Gemini (job 0004: 混んでいます, try later)",
    seconds: 6_000,
  },
];

function linesAfter(events: readonly ProgressEvent[], columns: number, rows = 24) {
  const state = startProgress({ now: MINUTE.now, elapsedMs: 0 });
  for (const event of events) noteProgress(state, event, MINUTE);
  return displayLines(state, LATER, { columns, rows });
}

function quotaFull(seconds: number | undefined): ProgressEvent {
  const why = "quota full: 480 of 500 tokens queued in 3 jobs, oldest since 12:03 UTC";
  return { type: "quotaFull", why, seconds, refusals: 0 };
}

function lastAfter(...events: ProgressEvent[]): string | undefined {
  return linesAfter([...MIDDLE, ...events], 120).at(-1);
}

describe("the display", () => {
  it("does not say of how many it is where nobody knows", () => {
    expect(linesAfter(MIDDLE.slice(1), 120)[0]).toMatch(/^exported +[\d,]+ rows,/);
  });

  it("says where every row is, what it costs, and what is waited for since when", () => {
    expect(linesAfter(MIDDLE, 120)).toEqual([
      "exported    6,500 of about 50,000 rows, 1 job not sent yet, uploading 0004",
      "at Gemini   1,000 rows in 1 job, oldest 0003 for 1 h 23 min, next poll in 17 min 15 s",
      "results     1,000 rows in 1 job, writing 0002: 300 of 1,000, downloading 0005",
      "written     1,290 of about 50,000 rows, 2% done, 7 failed, 2 stale, 1 gone",
      "cost        about $0.0045 so far, 60,000 tokens",
      "time        1 h 23 min",
      "waiting     1 h 22 min, again in 17 min 15 s: for quota at Gemini (job 0004: 混んでいます, try later)",
    ]);
  });

  it("counts rows before a run only as long as nothing is exported, and calls none of it done", () => {
    const state = startProgress({ now: MINUTE.now, elapsedMs: 0 });
    const lines = () => displayLines(state, MINUTE, { columns: 80, rows: 24 });
    noteProgress(state, EXAMPLES.planning, MINUTE);
    noteProgress(state, { type: "goal", rows: 0, withoutVector: 0 }, MINUTE);
    expect(lines()).toEqual([
      "planning    counting: 12,000 rows, 3 skipped",
      expect.stringMatching(/^time /),
    ]);
    noteProgress(state, EXAMPLES.exporting, MINUTE);
    expect(lines().filter((line) => line.startsWith("planning"))).toEqual([]);
  });

  it.each(Array.from({ length: 181 }, (_, index) => index + 20))(
    "fits %i columns after every report, in every height",
    (columns) => {
      for (let reports = 1; reports <= MIDDLE.length; reports += 2) {
        for (const rows of reports < MIDDLE.length ? [24] : [1, 2, 5, 24]) {
          const lines = linesAfter(MIDDLE.slice(0, reports), columns, rows);
          expect(lines.length).toBeLessThanOrEqual(Math.max(1, rows - 1));
          for (const line of lines) expect(textWidth(line)).toBeLessThan(columns);
        }
      }
    },
  );

  it("says what room in the queue is waited for, since when and until when, till a job is sent", () => {
    const rest = ": quota full: 480 of 500 tokens queued in 3 jobs, oldest since 12:03 UTC";
    expect(lastAfter(quotaFull(undefined))).toBe(`waiting     1 h 22 min${rest}`);
    expect(lastAfter(quotaFull(6_000))).toBe(`waiting     1 h 22 min, again in 17 min 15 s${rest}`);
    expect(lastAfter(quotaFull(undefined), jobReport("0004", "submitting"))).not.toContain(
      "quota full",
    );
  });

  it("keeps what matters most where there is little room", () => {
    expect(linesAfter(MIDDLE, 24, 3)).toEqual(["at Gemini 1,000", "written 1,290/50,000"]);
  });

  it("bears a type that it knows nothing of", () => {
    const event: ProgressEvent = JSON.parse('{"type":"unheard","job":"0009","rows":3}');
    expect(linesAfter([...MIDDLE, event], 80)).toEqual(linesAfter(MIDDLE, 80));
  });
});

const noPaint = (_: string, text: string) => text;

/** A terminal as it would be: what is written to the stream, on a screen that can be resized. */
function setUp(columns: number, rows = 12) {
  const terminal = new xterm.Terminal({
    cols: columns,
    rows,
    allowProposedApi: true,
    convertEol: true,
  });
  const stderr = Object.assign(new PassThrough({ encoding: "utf8" }), {
    isTTY: true,
    columns,
    rows,
  });
  let raw = "";
  stderr.on("data", (text: string) => {
    raw += text;
    terminal.write(text);
  });
  let elapsedMs = 0;
  const clock = { ...systemClock, elapsedMs: () => elapsedMs };
  const redact = redactor([new Secret("AIza-very-secret")]);
  const env = { TERM: "xterm-256color" };
  const display = openDisplay({
    stream: stderr,
    env,
    clock,
    clean: cleaner(redact),
    paint: noPaint,
  });
  const options = { json: false, quiet: false, verbose: false, color: false, progressJson: false };
  const output = createOutput(
    { stdout: stderr, stderr },
    { ...options, env, redact, clock, display },
  );
  return {
    output,
    raw: () => raw,
    report: (...events: ProgressEvent[]) => {
      for (const event of events) {
        elapsedMs += 100;
        output.report(event);
      }
    },
    resize: async (newColumns: number) => {
      await written(terminal);
      terminal.resize(newColumns, rows);
      Object.assign(stderr, { columns: newColumns });
      stderr.emit("resize");
    },
    /** Everything from the first line of the scrollback on, without empty lines. */
    screen: async () => {
      await written(terminal);
      const buffer = terminal.buffer.active;
      return Array.from({ length: buffer.length }, (_, at) =>
        String(buffer.getLine(at)?.translateToString(true)),
      ).filter((line) => line !== "");
    },
  };
}

function written(terminal: xterm.Terminal): Promise<void> {
  return new Promise((resolve) => setImmediate(() => terminal.write("", resolve)));
}

const HISTORY = Array.from({ length: 60 }, (_, index) => `line ${index + 1} of before`);
const HIDES = "\u{1b}[?25l";

describe("on a terminal", () => {
  it("is drawn over, and taken away for the result", async () => {
    const { output, report, screen } = setUp(80);
    report(...MIDDLE);
    expect(await screen()).toHaveLength(7);
    output.result("1,000 requests = 1,000 written + 0 failed");
    output.close();
    expect(await screen()).toEqual(["1,000 requests = 1,000 written + 0 failed"]);
  });

  it("stays whole under warnings, which stand above it", async () => {
    const { report, screen } = setUp(80, 24);
    report(...MIDDLE);
    const before = await screen();
    report(EXAMPLES.warning, { type: "ended", job: "0003", state: "expired", message: "too old" });
    const [warning, hint, ended, ...display] = await screen();
    expect([warning, hint, ended]).toEqual([
      "warning: The database is slow.",
      "hint: Wait.",
      "0003 ended: expired, too old",
    ]);
    expect(display.map((line) => line.slice(0, 9))).toEqual(before.map((line) => line.slice(0, 9)));
  });

  it.each([
    [100, 40],
    [100, 63],
    [80, 20],
    [40, 120],
  ])("leaves nothing behind when a window of %i columns gets %i", async (from, to) => {
    const { output, report, resize, screen } = setUp(from, 40);
    for (const line of HISTORY) output.notice(line);
    report(...MIDDLE);
    await resize(to);
    const lines = await screen();
    expect(lines.slice(0, HISTORY.length)).toEqual(HISTORY);
    expect(lines.slice(HISTORY.length).map((line) => line.split(" ")[0])).toEqual(LABELS);
  });

  it("survives being dragged from wide to narrow and back", async () => {
    const { output, report, resize, screen } = setUp(120, 40);
    for (const line of HISTORY) output.notice(line);
    report(...MIDDLE);
    for (const columns of [110, 97, 71, 50, 33, 21, 20, 34, 80, 200, 45, 120]) {
      await resize(columns);
    }
    const lines = await screen();
    expect(lines.slice(0, HISTORY.length)).toEqual(HISTORY);
    expect(lines.slice(HISTORY.length).map((line) => line.split(" ")[0])).toEqual(LABELS);
  });

  it("leaves the last state behind where nothing else says it", async () => {
    const { output, report, screen } = setUp(80);
    report(...MIDDLE);
    output.close();
    output.close();
    expect((await screen()).map((line) => line.split(" ")[0])).toEqual([
      "exported",
      "at",
      "results",
      "written",
      "cost",
    ]);
  });

  it("prints no secret, not even half of one, and no escape sequence from outside", async () => {
    for (let columns = 20; columns <= 120; columns += 1) {
      const { report, raw, output } = setUp(columns);
      const why = `key AIza-very-secret \u{1b}[2J\nnext`;
      report({ type: "waiting", why, seconds: 60 });
      output.close();
      const text = stripVTControlCharacters(raw());
      expect(text).not.toContain("AIza-v");
      expect(raw()).not.toContain("\u{1b}[2J");
    }
  });

  it("hides no cursor of a stream that is not the process's own", () => {
    const { report, raw } = setUp(80);
    report(...MIDDLE);
    expect(raw()).not.toContain(HIDES);
  });
});

const LABELS = ["exported", "at", "results", "written", "cost", "time", "waiting"];
