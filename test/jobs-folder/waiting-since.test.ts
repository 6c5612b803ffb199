// A row failed, was sent again in another job, and waits still: does its age count from the first export?
import { expect, test } from "vitest";
import type { JournalEvent } from "../../src/manifest/event.ts";
import { apply, emptyState, indexOf } from "../../src/manifest/fold.ts";
import { waitingSince } from "../../src/jobs-folder/waiting-since.ts";
import { TARGET } from "../manifest/sample.ts";

const [FIRST, SECOND, THIRD] = [1, 2, 3].map((day) => `2026-11-0${day}T10:00:00.000Z`);
const file = { bytes: 300, sha256: "a".repeat(64) };
const made = { target: 0, requests: 3, tokens: 30, file, attempt: 1 };
const sums = { requests: 3, written: 0, failed: 3, stale: 0, filled: 0, gone: 0 };

function after(...events: readonly (JournalEvent | undefined)[]) {
  const state = emptyState();
  apply(state, { type: "target", at: FIRST ?? "", number: 0, target: TARGET });
  for (const event of events) if (event !== undefined) apply(state, event);
  return waitingSince(indexOf(state).all());
}

test("rows sent again have waited since their first job", () => {
  const [first = "", second = "", third = ""] = [FIRST, SECOND, THIRD];
  const exported: JournalEvent = { type: "exported", at: first, job: "0001", ...made };
  const submitted: JournalEvent = {
    type: "submitted",
    at: first,
    job: "0001",
    batch: "batches/1",
    adopted: true,
    keyId: "k",
  };
  const failed: JournalEvent = {
    type: "failed",
    at: second,
    job: "0001",
    error: { message: "told by the test" },
    sums,
    outstanding: { lines: 3, retryable: 3 },
    failedFile: file,
  };
  const other: JournalEvent = { type: "exported", at: second, job: "0002", ...made };
  const again: JournalEvent = {
    type: "resubmitted",
    at: third,
    job: "0001",
    children: [{ job: "0003", ...made, parent: "0001", attempt: 2 }],
    outstanding: { lines: 0, retryable: 0 },
  };
  expect(after()).toBe(undefined);
  expect(after(exported, submitted, failed)).toEqual({ job: "0001", since: first });
  expect(after(exported, submitted, failed, other, again)).toEqual({ job: "0003", since: first });
  expect(after(other)).toEqual({ job: "0002", since: second });
});
