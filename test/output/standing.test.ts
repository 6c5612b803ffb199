/**
 * I look at the display at three in the morning: do its figures add up, is a row that was sent again
 * counted once, and is a guess at the end made only where there is something to guess by?
 */
import { describe, expect, it } from "vitest";
import { isOpen, JOB_STATES } from "../../src/manifest/states.ts";
import { noteProgress, startProgress } from "../../src/output/progress-state.ts";
import { standing } from "../../src/output/standing.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { jobReport } from "./reports.ts";

const TEN = Date.parse("2026-11-25T10:00:00.000Z");

/** Seconds since the start, and what is reported then. */
type Story = readonly (readonly [second: number, ...events: ProgressEvent[]])[];

const at = (second: number) => ({ now: new Date(TEN + second * 1000), elapsedMs: second * 1000 });

function after(story: Story, atSecond: number) {
  const state = startProgress(at(0));
  for (const [second, ...events] of story) {
    for (const event of events) noteProgress(state, event, at(second));
  }
  return standing(state, at(atSecond));
}

const imported = (job: string, more = {}) =>
  jobReport(job, "imported", { written: 1_000, ...more });

describe("rows", () => {
  it("of every state that is unfinished have no outcome yet", () => {
    const open = JOB_STATES.filter((state) => isOpen({ state })).map((state, index) =>
      jobReport(`000${index + 1}`, state),
    );
    expect(after([[1, ...open]], 2)).toMatchObject({ settled: 0, total: 1_000 * open.length });
  });

  it("are where they are: exported, at Gemini, ended, and settled add up", () => {
    const now = after(
      [
        [0, { type: "goal", rows: 5_000, withoutVector: 5_000 }],
        [1, jobReport("0001", "exported"), jobReport("0002", "exported")],
        [1, jobReport("0003", "submitted"), jobReport("0004", "succeeded"), imported("0005")],
      ],
      60,
    );
    expect(now).toMatchObject({
      total: 5_000,
      isTotalExact: false,
      exported: 5_000,
      waiting: { jobs: 2, rows: 2_000 },
      atGemini: { jobs: 1, rows: 1_000, oldest: "0003", oldestSeconds: 60 },
      ready: { jobs: 1, rows: 1_000 },
      settled: 1_000,
      tokens: 60_000,
    });
    expect(now.usd).toBeCloseTo(0.0045);
  });

  it("that were sent again count once, with their last outcome", () => {
    const first = imported("0001", { written: 990, failed: 10, passedOn: 10 });
    const second = imported("0002", { requests: 10, written: 8, failed: 2 });
    const now = after([[1, first, second]], 2);
    expect(now).toMatchObject({ total: 1_000, settled: 1_000 });
    expect(now.outcomes).toMatchObject({ written: 998, failed: 2 });
  });

  it("being exported count before their job is recorded, and not twice afterwards", () => {
    const exporting = { type: "exporting", exported: 1_500, skipped: 0 } as const;
    const exported = {
      type: "exported",
      job: "0001",
      requests: 1_000,
      tokens: 1,
      bytes: 1,
    } as const;
    expect(after([[1, exporting]], 1).exported).toBe(1_500);
    const recorded: Story = [[1, exporting, jobReport("0001", "exported"), exported]];
    expect(after(recorded, 1).exported).toBe(1_500);
    const between: Story = [[1, exporting, jobReport("0001", "exported")]];
    expect(after(between, 1).exported).toBe(1_500);
    const ended = { type: "exportEnded", exported: 1_500, skipped: 0 } as const;
    const last = jobReport("0002", "exported", { requests: 500 });
    const all: Story = [...recorded, [2, last, { ...exported, job: "0002", requests: 500 }, ended]];
    expect(after(all, 2)).toMatchObject({ exported: 1_500, total: 1_500, isTotalExact: true });
  });

  it("of a job that is being written count as they are written", () => {
    const importing = {
      type: "importing",
      job: "0001",
      rows: 400,
      written: 400,
      requests: 1_000,
    } as const;
    const story: Story = [[1, jobReport("0001", "downloaded"), importing]];
    expect(after(story, 1)).toMatchObject({ settled: 400, total: 1_000 });
    expect(after([...story, [2, imported("0001")]], 2)).toMatchObject({ settled: 1_000 });
  });
});

const part = (rows: number, written: number) =>
  ({ type: "importing", job: "0001", rows, written, requests: 1_000 }) as const;

describe("what was written", () => {
  it("never falls back: rows that get no vector do not count as written while their job is in hand", () => {
    const story: Story = [
      [1, jobReport("0001", "downloaded"), part(500, 490)],
      [2, part(1_000, 980)],
      [3, part(200, 0)],
      [4, imported("0001", { written: 980, stale: 20 })],
    ];
    const writtenAt = (second: number) => after(story.slice(0, second), second).outcomes.written;
    const written = [1, 2, 3, 4].map(writtenAt);
    expect(written).toEqual([490, 980, 980, 980]);
  });
});

const sent = (...ids: string[]) =>
  ids.flatMap((id) => [jobReport(id, "exported"), jobReport(id, "submitted")]);

const importing = (rows: number) => part(rows, rows);

describe("the time that is left", () => {
  const goal = { type: "goal", rows: 10_000, withoutVector: 10_000 } as const;
  it("is told once jobs that were sent here have come back", () => {
    const story: Story = [
      [0, goal, ...sent("0001", "0002")],
      [100, imported("0001")],
    ];
    expect(after(story, 150).etaSeconds).toBe(undefined);
    const two: Story = [...story, [200, imported("0002")]];
    expect(after(two, 200)).toMatchObject({ rowsPerSecond: 10, etaSeconds: 800 });
    // nothing came back since: it slows down
    expect(after(two, 400)).toMatchObject({ rowsPerSecond: 5, etaSeconds: 1_600 });
  });

  it("is not guessed by the results that an earlier run left", () => {
    const story: Story = [
      [0, goal, jobReport("0001", "succeeded"), jobReport("0002", "succeeded"), ...sent("0003")],
      [60, imported("0001"), imported("0002")],
    ];
    expect(after(story, 60)).toMatchObject({ settled: 2_000, etaSeconds: undefined });
  });

  it("goes by the writing where there is nothing but to write", () => {
    const story: Story = [
      [0, jobReport("0001", "downloaded"), importing(0)],
      [40, importing(400)],
    ];
    expect(after(story, 40)).toMatchObject({ rowsPerSecond: 10, etaSeconds: 60 });
    expect(after([...story, [41, jobReport("0002", "submitted")]], 41).etaSeconds).toBe(undefined);
  });
});

const waiting = (why: string, seconds: number) => ({ type: "waiting", why, seconds }) as const;

describe("waits", () => {
  it("say since when and until when, over several tries", () => {
    const story: Story = [
      [0, waiting("for quota", 60)],
      [60, waiting("for quota", 120)],
      [70, waiting("the database", 5)],
    ];
    expect(after(story, 72).waits).toEqual([
      { why: "for quota", sinceSeconds: 72, againSeconds: 108 },
      { why: "the database", sinceSeconds: 2, againSeconds: 3 },
    ]);
    // what ran out is over
    expect(after(story, 80).waits.map(({ why }) => why)).toEqual(["for quota"]);
  });

  it("end early when what was waited for came", () => {
    const story: Story = [
      [0, waiting("for quota", 900)],
      [10, { type: "resumed", why: "for quota" }],
    ];
    expect(after(story, 11).waits).toEqual([]);
    // a later one is a new one
    expect(after([...story, [500, waiting("for quota", 60)]], 510).waits).toMatchObject([
      { sinceSeconds: 10 },
    ]);
  });
});
