// Whoever works asks the index what there is to do: does it ever say anything else than a look at all
// jobs would, whatever has happened?
import fc from "fast-check";
import { expect, test } from "vitest";
import { correctionBy, correctionOf } from "../../src/cost/correction.ts";
import { addSent, NOTHING_SENT, sentBy } from "../../src/manifest/bill.ts";
import type { JournalEvent } from "../../src/manifest/event.ts";
import {
  apply,
  changeOf,
  commit,
  emptyState,
  indexOf,
  type ManifestState,
} from "../../src/manifest/fold.ts";
import { type Need, needs } from "../../src/manifest/states.ts";
import { TARGET } from "./sample.ts";
import { sized } from "../size.ts";

const at = "2026-11-29T10:00:00.000Z";
const file = { bytes: 300, sha256: "a".repeat(64) };
const sums = { requests: 3, written: 1, failed: 2, stale: 0, filled: 0, gone: 0 };
const ending = { sums, outstanding: { lines: 2, retryable: 1 }, failedFile: file };
const error = { message: "told by the test" };
const NEEDS: readonly Need[] = ["send", "embed", "settle", "poll", "fetch", "write"];

const EVENTS: readonly ((job: string) => JournalEvent)[] = [
  (job) => ({ type: "exported", at, job, target: 0, requests: 3, tokens: 30, file, attempt: 1 }),
  (job) => {
    const its = { target: 0, requests: 2, tokens: 20, file, attempt: 2, parent: "0001" };
    return { type: "exported", at, job, ...its };
  },
  (job) => ({ type: "embedding", at, job }),
  (job) => ({ type: "submitting", at, job, displayName: `d-${job}`, submission: 1 }),
  (job) => ({ type: "refused", at, job, error, fileGone: false }),
  (job) => ({ type: "submitted", at, job, batch: `batches/${job}`, adopted: true, keyId: "k" }),
  (job) => ({ type: "succeeded", at, job, resultsName: "files/r" }),
  (job) => ({ type: "failed", at, job, error, ...ending }),
  (job) => ({ type: "cancelled", at, job, error, ...ending }),
  (job) => ({ type: "downloaded", at, job, file }),
  (job) => ({ type: "imported", at, job, tokens: 25, ...ending }),
  (job) => ({ type: "rolledBack", at, job, rows: 1 }),
];

function isPossible(state: ManifestState, event: JournalEvent): boolean {
  try {
    changeOf(state, event);
    return true;
  } catch {
    return false;
  }
}

/** What a look at all jobs says. */
function scanned(state: ManifestState) {
  const all = [...state.jobs.values()].toSorted((a, b) => Number(a.id) - Number(b.id));
  return {
    all,
    byNeed: NEEDS.map((need) => all.filter((job) => needs(job) === need)),
    open: all.filter((job) => needs(job) !== undefined),
    ratio: correctionOf(all, undefined, TARGET),
    sent: all.map(sentBy).reduce((sum, sent) => addSent(sum, sent), NOTHING_SENT),
    selections: all.filter(({ parents }) => parents.length === 0).length,
  };
}

function indexed(state: ManifestState) {
  const index = indexOf(state);
  return {
    all: index.all(),
    byNeed: NEEDS.map((need) => index.needing(need)),
    open: index.needing(...NEEDS),
    ratio: correctionBy(index.billed({ ...TARGET }), undefined),
    sent: [...index.sent()].reduce((sum, [, sent]) => addSent(sum, sent), NOTHING_SENT),
    selections: index.selections({ ...TARGET }),
  };
}

test("after every event it says what a look at all jobs says, and so after the journal is read", () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 6 }), fc.nat(EVENTS.length - 1)), {
    minLength: 20,
    maxLength: 120,
  });
  fc.assert(
    fc.property(steps, (chosen) => {
      const [live, read] = [emptyState(), emptyState()];
      const target: JournalEvent = { type: "target", at, number: 0, target: TARGET };
      commit(live, changeOf(live, target));
      apply(read, target);
      for (const [number, which] of chosen) {
        const event = EVENTS[which]?.(String(number).padStart(4, "0"));
        if (event === undefined || !isPossible(live, event)) continue;
        const before = indexOf(live).all();
        const kept = [...before];
        commit(live, changeOf(live, event));
        apply(read, event);
        expect(indexed(live)).toEqual(scanned(live));
        // who holds a list goes on with the one that was handed out
        expect(before).toEqual(kept);
      }
      expect(indexed(read)).toEqual(scanned(live));
    }),
    { numRuns: sized({ quick: 70, full: 200 }) },
  );
});
