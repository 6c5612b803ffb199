// The same figure and the same state are told by many commands: does each of them read right, at its edges too?
import { describe, expect, test } from "vitest";
import type { JobEvent } from "../../src/manifest/event.ts";
import type { DroppedIndex } from "../../src/manifest/dropped-index.ts";
import { type AnnIndex, TableRefusal } from "../../src/store/port.ts";
import { costStopText, wouldStopText } from "../../src/words/cost-text.ts";
import { droppedIndexesText } from "../../src/words/dropped-index-text.ts";
import { eventNote } from "../../src/words/event-note.ts";
import { failureLines, mendLines } from "../../src/words/failures-text.ts";
import { count, counted, dollars, pace, percent, roughly } from "../../src/words/figures.ts";
import { paidRows } from "../../src/words/paid-rows.ts";
import { isWhole, verdictOn } from "../../src/words/verdict.ts";
import { widthAdvice } from "../../src/words/width-text.ts";
import { writeCostWarnings } from "../../src/words/write-cost-text.ts";
import { TARGET } from "../manifest/sample.ts";

function annIndex(name: string): AnnIndex {
  const unknown = { tablespace: undefined, comment: undefined };
  return { name, method: "hnsw", definition: "", valid: true, ...unknown };
}

const NONE = { lines: 0, retryable: 0 };
const ENDED = { state: "imported", requests: 10, outstanding: NONE } as const;

describe("figures", () => {
  test.each([
    [count(1_234_567), "1,234,567"],
    [count(-1_234), "-1,234"],
    [counted(1, "query"), "1 query"],
    [counted(2, "query"), "2 queries"],
    [counted(2, "day"), "2 days"],
    [counted(2, "batch"), "2 batches"],
    [dollars(0.00004), "$0.00004"],
    [dollars(0.05), "$0.0500"],
    [dollars(0.1), "$0.10"],
    [pace(1), "1 row a second"],
    [pace(0.5), "30 rows a minute"],
    [pace(1 / 3_600), "1 row an hour"],
    [roughly(61), "2 min"],
    [roughly(3_601), "1 h 5 min"],
    [roughly(36_001), "11 h"],
    [String(percent(0, 0)), "100"],
    [String(percent(99_999, 100_000)), "99.99"],
  ])("%s", (told, expected) => {
    expect(told).toBe(expected);
  });
});

describe("how it stands", () => {
  test("rows that no run takes are told by why, where there is more than one reason", () => {
    const leftOut = { empty: 2, tooLong: 3, failedBefore: 0 };
    expect(verdictOn({ coverage: { total: 20, pending: 5, leftOut }, jobs: [ENDED] })).toEqual({
      tone: "good",
      words: "Done but for 5 rows that no run takes: 2 without text, 3 too long for the model.",
      next: undefined,
    });
  });

  test("it is whole only where somebody looked at what is left", () => {
    expect(isWhole({ pending: 0 })).toBe(false);
    expect(isWhole({ pending: 3, leftOut: { empty: 1, tooLong: 1, failedBefore: 0 } })).toBe(false);
  });
});

test("what a limit on cost stops tells what was spent, and what it needs", () => {
  const stop = { spentUsd: 1, maxUsd: 2, neededUsd: 4 };
  expect(costStopText(stop)).toMatch(
    /about \$1\.00 of \$2\.00 is spent.*\$2\.00 more: --max-cost 4\.2\./,
  );
  expect(costStopText({ ...stop, spentUsd: 3 })).toMatch(
    /\$3\.00 is spent already, past the limit of \$2/,
  );
  expect(wouldStopText(stop)).toContain(
    "about $4.00, with about $1.00 so far, and the limit is $2.00",
  );
});

test("each event of a job's history says what it is about", () => {
  const about = { at: "2026-11-30T10:00:00.000Z", job: "0001" };
  const told = (members: object) => {
    // as it comes from a journal
    const event: JobEvent = JSON.parse(JSON.stringify({ ...about, ...members }));
    return eventNote(event);
  };
  expect(told({ type: "submitted", batch: "batches/1", adopted: true })).toMatch(
    /^batches\/1, found/,
  );
  expect(told({ type: "submitted", batch: "batches/1" })).toBe("batches/1");
  expect(told({ type: "duplicate", batch: "batches/2" })).toMatch(/^batches\/2: a second batch/);
  expect(told({ type: "revoking", file: "files/1", fences: true })).toMatch(
    /^files\/1: to be deleted/,
  );
  expect(told({ type: "revoking", fences: false })).toMatch(/^no file: to expire first/);
  expect(told({ type: "absent", reads: 3 })).toMatch(/^not at Gemini after 3 readings/);
  expect(told({ type: "resubmitted", children: [] })).toBe("settled without a new job");
});

test("failed rows are told by their reasons, the largest first, and what a person can do", () => {
  const group = {
    class: "permanent",
    reason: "service",
    code: 3,
    message: "Too long.",
    rows: 2,
    ids: ["7", "9"],
    files: ["a", "b", "c", "d"],
  };
  const others = Array.from({ length: 6 }, () => ({ ...group, class: "retryable", rows: 1 }));
  const failures = { groups: [group, ...others], unread: 3, waiting: 8, settled: 0 };
  const lines = failureLines(failures);
  expect(lines[0]).toBe("2 failed, permanent, code 3 (Too long): ids 7, 9, in a, b, c and 1 more");
  // two groups that are not told, and three rows that nobody read
  expect(lines.at(-1)).toBe("5 further failed rows: see the failed files.");
  expect(mendLines(failures)).toHaveLength(1);
  expect(mendLines({ ...failures, groups: others })).toEqual([]);
});

test("rows that were paid for are told as what they came to", () => {
  const refusal = new TableRefusal("It is too wide.", { hint: "" });
  const { written, refused, lines } = paidRows(["written", "stale", "gone", refusal]);
  expect({ written, refused }).toEqual({ written: 1, refused: 1 });
  expect(lines.join("\n")).toMatch(
    /^1 row .* is written.*\n2 rows .* were changed.*\nThe table takes no/,
  );
});

function costText(names: readonly string[], seconds: { least: number; most: number }) {
  const cost = { indexes: names.map(annIndex), triggers: [], seconds };
  return writeCostWarnings(TARGET, cost, 9)[0]?.message;
}

test("what slows writing down is told with its time", () => {
  expect(costText(["a"], { least: 3, most: 60 })).toMatch(
    /has an index .*a \(hnsw\).*so 3 s to 1 min for 9 rows/,
  );
  expect(costText(["a", "b"], { least: 3, most: 3 })).toMatch(/has indexes .*so about 3 s/);
});

function dropped(name: string, isDropped: boolean): DroppedIndex {
  return { target: TARGET, index: annIndex(name), isDropped, since: "today" };
}

test("an index that is missing is named with its column, and several by the plural", () => {
  const [one] = droppedIndexesText([dropped("a", true)]);
  expect(one?.message).toMatch(
    /^The index is not built again yet: a \(hnsw\) on .*, dropped today\./,
  );
  const [two] = droppedIndexesText([dropped("a", true), dropped("b", false)]);
  expect(two?.message).toMatch(/^The indexes are .*; b \(hnsw\) on .*, to be dropped today\./);
});

test("a width that no index takes as vector is advised as halfvec", () => {
  expect(widthAdvice({ ...TARGET, dimensions: 2_000 })).toMatch(/^vector\(2000\)/);
  expect(widthAdvice({ ...TARGET, dimensions: 2_001 })).toMatch(/^halfvec\(2001\)/);
});
