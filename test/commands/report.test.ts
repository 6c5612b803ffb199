// Somebody asks how the backfill is going: does `vecfill report` give a page that I can send, that
// works from disk without a network, agrees with the manifest and the table, and tells no secret?
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { paceWords, verdictOn } from "../../src/words/verdict.ts";
import { openManifest, readEvents, readManifest } from "../../src/jobs-folder/open.ts";
import type { JobState } from "../../src/manifest/job.ts";
import { type StateChange, readStateChanges } from "../../src/jobs-folder/state-changes.ts";
import { html } from "../../src/commands/report/html.ts";
import {
  exportedRows,
  queuedTokens,
  stretches,
  writtenRows,
} from "../../src/commands/report/series.ts";
import { runHere } from "../command-line.ts";
import { openFolders } from "../folders.ts";
import { newJob } from "../manifest/sample.ts";
import { startTrial, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { anyText } from "../any-text.ts";

let workshop: Workshop;
let trial: Trial;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const TEXTS = [
  "Which planet has rings?",
  "Who wrote <the> Odyssey?",
  "How many legs has a spider?",
];

function report(...args: readonly string[]) {
  return runHere(["report", "--jobs-dir", workshop.folder, "--dimensions", "128", ...args], {
    // nobody answers there, so that the page has to do without
    env: { DATABASE_URL: "postgres://reader:a-password@127.0.0.1:1/nowhere" },
  });
}

function page(): Promise<string> {
  return readFile(join(workshop.folder, "report.html"), "utf8");
}

describe("after a run in which a row failed", { timeout: 120_000 }, () => {
  beforeEach(async () => {
    trial = await startTrial(workshop, TEXTS, { faults: "permanent=0.5", seed: 4 });
    await trial.run();
  });

  test("the page has the jobs, their sums and the failed ids, and none of the texts", async () => {
    const manifest = await readManifest(workshop.folder);
    const [job] = manifest.jobs();
    expect(job?.sums?.failed).toBeGreaterThan(0);
    expect((await report("--json")).code).toBe(0);
    const written = await page();
    expect(written).toContain(`<b>${job?.sums?.written}</b><span class="soft">written</span>`);
    const failed = await readFile(manifest.files("0001").failed, "utf8");
    for (const line of failed.trim().split("\n")) {
      const [id] = String(JSON.parse(line).key).split("@");
      expect(written).toMatch(new RegExp(`<td class="ids">[^<]*\\b${id}\\b`));
    }
    for (const text of TEXTS) expect(written).not.toContain(text.split(" ").at(-1));
  });

  test("it needs nothing but itself: no script, nothing from another place", async () => {
    await report();
    const written = await page();
    expect(written).toMatch(/^<!doctype html>/);
    expect(written).toContain("default-src 'none'; style-src 'unsafe-inline'");
    expect(written).not.toMatch(/<script|<link|<img|src=|href=|url\(|@import|https?:/);
    expect(written).toContain("prefers-color-scheme: dark");
    expect(written).toContain('name="viewport"');
    expect(written).toContain('<span class="key embedding">embedding</span>');
  });

  test("without the database it is written all the same, says so, and tells no password", async () => {
    const ended = await report();
    expect(ended.code).toBe(0);
    expect(ended.stderr).toMatch(/^warning: /m);
    const written = await page();
    expect(written).toContain("The database could not be asked");
    expect(written + ended.stdout + ended.stderr).not.toContain("a-password");
  });

  test("it changes nothing in the manifest", async () => {
    const journal = join(workshop.folder, "manifest.ndjson");
    const before = await readFile(journal, "utf8");
    await report("--report-file", join(workshop.folder, "elsewhere.html"));
    expect(await readFile(journal, "utf8")).toBe(before);
    expect(await readFile(join(workshop.folder, "elsewhere.html"), "utf8")).toContain("0001");
  });

  test("the changes of state end where the manifest's jobs are", async () => {
    const last = new Map<string, string>();
    for (const { job, state } of await readStateChanges((on) => readEvents(workshop.folder, on)))
      last.set(job, state);
    const jobs = (await readManifest(workshop.folder)).jobs();
    expect(Object.fromEntries(last)).toEqual(
      Object.fromEntries(jobs.map(({ id, state }) => [id, state])),
    );
  });
});

const cellsOf = (row: string, kind: "td" | "th") =>
  Array.from(row.matchAll(new RegExp(`<${kind}.*?</${kind}>`, "gs")), ([cell]) =>
    cell.replaceAll(/<[^>]*>/g, "").trim(),
  );

/** The figures above the charts, and the table of jobs, each with its names. */
function figuresOn(written: string) {
  const figure = /<div class="figure">\s*<b[^>]*>([^<]*)<\/b><span class="soft">([^<]*)</g;
  const heads = Array.from(written.matchAll(figure), ([, value, name]) => [name, value]);
  const [, list = ""] = written.split("<h2>Jobs</h2>");
  const [titles = "", ...rows] = list.match(/<tr>.*?<\/tr>/gs) ?? [];
  const names = cellsOf(titles, "th");
  const jobs = rows.map((row) =>
    Object.fromEntries(cellsOf(row, "td").map((cell, place) => [names[place], cell])),
  );
  return { heads: Object.fromEntries(heads), jobs };
}

test("rows that were rolled back or sent again are named, and each line and the heading add up", async () => {
  const { vecfill, vecfillInTime, home } = await openFolders(TEXTS, { faults: "batch-fail=1x" });
  await vecfillInTime("jobs", "run");
  expect(await vecfill("jobs", "rollback", "0002", "--yes")).toMatchObject({ code: 0 });
  await vecfill("jobs", "report");
  const { heads, jobs } = figuresOn(await readFile(join(home, "jobs", "report.html"), "utf8"));
  expect(heads).toMatchObject({ written: "0", failed: "0", "rolled back": "3" });
  expect(Object.keys(heads).at(-1)).toMatch(/^cost, .*as counted by Gemini$/);
  const none = { written: "0", failed: "0", again: "0", other: "0" };
  expect(jobs).toMatchObject([
    { ...none, rows: "3", again: "3" },
    { ...none, rows: "3", other: "3" },
  ]);
  const list = await vecfill("jobs", "jobs");
  expect(list.stdout).toContain("2 jobs, 3 requests: 0 written, 3 rolled back\n");
  expect((await vecfill("jobs", "jobs", "2")).stdout).toMatch(
    /^outcome +3 written; 3 rows rolled back since$/m,
  );
});

test("of many rows that failed for one reason it tells how many, and some ids", async () => {
  const texts = Array.from({ length: 9 }, (_, index) => `Why is ${index} a number?`);
  trial = await startTrial(workshop, texts, { faults: "permanent=1" });
  await trial.run();
  expect((await report("--json")).code).toBe(0);
  const [, ids = ""] = /<td class="ids">([^<]*)</.exec(await page()) ?? [];
  expect(ids.split(", ")).toHaveLength(5);
});

describe("of many jobs that wait", () => {
  const JOBS = 33;
  beforeAll(async () => {
    await workshop.seed([]);
    const manifest = await openManifest(workshop.folder, systemClock);
    for (let number = 1; number <= JOBS; number += 1) {
      const id = String(number).padStart(4, "0");
      await manifest.recordExported(newJob(id, { target: workshop.target }));
    }
    await manifest.close();
    await report();
  });

  test("the page begins with how it stands and the command that goes on", async () => {
    const [, verdict = ""] = (await page()).split("</header>");
    expect(verdict.trim()).toMatch(/^<section class="verdict working">/);
    expect(verdict).toMatch(/<h2>Under way: 99 rows in 33 jobs\. <code>vecfill run .*<\/code>/);
    expect(await page()).toMatch(/Made by vecfill \d+\.\d+\.\d+,/);
  });

  test("the earlier ones are folded away, and there is one order", async () => {
    const written = await page();
    expect(written.match(/<summary>3 earlier jobs<\/summary>/g)).toHaveLength(2);
    const [, lives = ""] = written.split("Jobs over time");
    const ids = Array.from(lives.matchAll(/<(?:span|td)>(\d{4})</g), ([, id]) => Number(id));
    const each = Array.from({ length: JOBS }, (_, index) => index + 1);
    expect(ids).toEqual([...each, ...each]);
  });

  test("all charts have the same time from end to end", async () => {
    const ends = (await page()).match(/<div class="x">.*?<\/div>/gs) ?? [];
    expect(ends).toHaveLength(3);
    expect(new Set(ends.map((text) => text.replaceAll(/\s+/g, ""))).size).toBe(1);
  });
});

function jobIn(state: JobState, lines = 0, retryable = lines) {
  return { state, requests: 10, outstanding: { lines, retryable } };
}

describe("the verdict", () => {
  const filled = { total: 10, pending: 0, server: "17" };

  test.each([
    ["Done: every row has a vector.", "verify", filled, [jobIn("imported")]],
    [
      "Done but for 2 rows that failed.",
      "resubmit",
      { ...filled, pending: 2 },
      [jobIn("imported", 2)],
    ],
    [
      "Not finished: 5 rows without a vector, of which 1 failed.",
      "resubmit",
      { ...filled, pending: 5 },
      [jobIn("imported", 1)],
    ],
    [
      "Not finished: 1 row without a vector.",
      "run",
      { ...filled, pending: 1 },
      [jobIn("rolledBack")],
    ],
    ["Under way: 10 rows in 1 job.", "run", filled, [jobIn("imported"), jobIn("submitted")]],
    [
      "Done but for 2 rows that failed.",
      undefined,
      { ...filled, pending: 2 },
      [jobIn("imported", 2, 0)],
    ],
    [
      "Done but for 2 rows too long for the model.",
      undefined,
      { ...filled, pending: 2, leftOut: { empty: 0, tooLong: 2, failedBefore: 0 } },
      [jobIn("imported")],
    ],
    ["Not finished: 5 rows without a vector.", "plan", { ...filled, pending: 5 }, []],
    ["Every job has ended.", "verify", "no answer", [jobIn("imported")]],
    ["There are no jobs yet.", "plan", "no answer", []],
    ["Every job has ended; 3 rows failed.", "resubmit", "no answer", [jobIn("failed", 3)]],
    ["Every job has ended; 1 row failed.", undefined, "no answer", [jobIn("imported", 1, 0)]],
  ] as const)("%s", (words, next, coverage, jobs) => {
    expect(verdictOn({ coverage, jobs })).toMatchObject({ words, next });
  });

  test("the pace is an average, and tells the time to go only while jobs are under way", () => {
    const sums = { requests: 120, written: 120, failed: 0, stale: 0, filled: 0, gone: 0 };
    const coverage = { total: 240, pending: 120, server: "17" };
    const span = { fromMs: 0, toMs: 60_000 };
    const told = (state: JobState, ms = 60_000) =>
      paceWords({ coverage, jobs: [jobIn(state)], sums, span: { ...span, toMs: ms } });
    expect(told("imported")).toBe(
      "Took 1 min, from the first export to the last result, on average 2 rows a second",
    );
    expect(told("submitted")).toMatch(/a second; at that pace about 1 min to go$/);
    expect(told("imported", 3_600_000)).toMatch(/on average 2 rows a minute$/);
  });
});

test("failed rows stand in colour above the charts", async () => {
  trial = await startTrial(workshop, TEXTS, { faults: "permanent=1" });
  await trial.run();
  await report();
  const written = await page();
  const places = ['<b class="bad">3</b>', "Rows that failed, and why", "Rows over time"];
  const found = places.map((text) => written.indexOf(text));
  expect(found).toEqual(found.toSorted((a, b) => a - b));
  expect(found).not.toContain(-1);
});

test("with no job yet there is nothing to report on, and it says what to do", async () => {
  await workshop.seed([]);
  const { code, stderr } = await report();
  expect(code).toBe(2);
  expect(stderr).toContain("vecfill run");
});

function at(minute: number): string {
  return `2026-11-25T10:${String(minute).padStart(2, "0")}:00.000Z`;
}

function jobWith(given: {
  requests: number;
  tokens: number;
  written?: number;
  rolledBack?: number;
  parents?: string[];
}) {
  const { requests, tokens, written = 0, rolledBack = 0, parents = [] } = given;
  const sums = { requests, written, failed: 0, stale: 0, filled: 0, gone: 0 };
  return { requests, tokens, sums, rolledBack, parents };
}

describe("the charts' figures", () => {
  const jobs = new Map([
    ["0001", jobWith({ requests: 10, tokens: 100, written: 8 })],
    ["0002", jobWith({ requests: 5, tokens: 40, written: 5, rolledBack: 5 })],
    ["0003", jobWith({ requests: 2, tokens: 20, parents: ["0001"] })],
  ]);
  const changes: StateChange[] = [
    { job: "0001", state: "exported", at: at(0) },
    { job: "0002", state: "exported", at: at(1) },
    { job: "0001", state: "submitting", at: at(2) },
    { job: "0001", state: "submitted", at: at(3) },
    { job: "0002", state: "submitting", at: at(4) },
    { job: "0002", state: "exported", at: at(5) },
    { job: "0001", state: "succeeded", at: at(6) },
    { job: "0001", state: "imported", at: at(7) },
    { job: "0003", state: "exported", at: at(8) },
    { job: "0002", state: "imported", at: at(9) },
    { job: "0002", state: "rolledBack", at: at(10) },
  ];

  test("rows that are sent again do not count as exported twice", () => {
    expect(exportedRows(changes, jobs).map(({ value }) => value)).toEqual([10, 15]);
  });

  test("a rollback takes its rows out of the written ones", () => {
    expect(writtenRows(changes, jobs).map(({ value }) => value)).toEqual([8, 13, 8]);
  });

  test("tokens count as queued from the create on until the batch has ended or was refused", () => {
    expect(queuedTokens(changes, jobs).map(({ value }) => value)).toEqual([100, 140, 100, 0]);
  });

  test("a job's life is the stretches between its changes, up to now where it has not ended", () => {
    const nowMs = Date.parse(at(30));
    const lives = stretches(changes, nowMs);
    expect(lives.get("0001")?.map(({ state }) => state)).toEqual([
      "exported",
      "submitting",
      "submitted",
      "succeeded",
      "imported",
    ]);
    expect(lives.get("0003")).toEqual([
      { state: "exported", fromMs: Date.parse(at(8)), toMs: nowMs },
    ]);
    expect(lives.get("0001")?.at(-1)?.toMs).toBe(Date.parse(at(7)));
  });

  test("many points are thinned without losing the last one or the highest", () => {
    const many = Array.from({ length: 5_000 }, (_, index): StateChange[] => {
      const time = new Date(index * 1000).toISOString();
      return [{ job: `${index}`, state: index % 2 === 0 ? "submitting" : "failed", at: time }];
    }).flat();
    const each = new Map(many.map(({ job: id }) => [id, jobWith({ requests: 1, tokens: 1 })]));
    const all = queuedTokens(many, each);
    expect(all.length).toBeLessThan(700);
    expect(all.at(-1)?.value).toBe(2_500);
  });
});

test("text on the page can never become markup", () => {
  fc.assert(
    fc.property(anyText(), (text) => {
      const { markup } = html`<p title="${text}">${text}</p>`;
      const inside = markup.slice('<p title="'.length, -"</p>".length);
      expect(inside.match(/[<>"']/g)).toEqual(['"', ">"]);
    }),
  );
});
