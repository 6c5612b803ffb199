// May a job go from anywhere to anywhere? And does the journal, read back, tell the same story as
// the process that wrote it, whatever happened in between?
import { DEFAULT_PROJECT } from "../../src/row/project.ts";
import { quotaName } from "../../src/manifest/quota/quota-log.ts";
import { openManifest, readManifest } from "../../src/jobs-folder/open.ts";
import fc from "fast-check";
import { rm } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { JobEvent, JournalEvent } from "../../src/manifest/event.ts";
import { apply, emptyState, type ManifestState } from "../../src/manifest/fold.ts";
import type { JobState } from "../../src/manifest/job.ts";
import { type Manifest } from "../../src/manifest/manifest.ts";
import { readState, saveState } from "../../src/manifest/saved/saved-state.ts";
import { newJob, TARGET, temporaryFolder } from "./sample.ts";
import { sized } from "../size.ts";

const at = "2026-11-22T10:00:00.000Z";
const job = "0001";
const file = { bytes: 300, sha256: "a".repeat(64) };
const sums = { requests: 3, written: 1, failed: 2, stale: 0, filled: 0, gone: 0 };
const ending = { sums, outstanding: { lines: 2, retryable: 1 }, failedFile: file };
const error = { code: 13, message: "told by the test" };
const recorded = { target: 0, requests: 3, tokens: 30, file, attempt: 1 };
const child = { ...recorded, job: "0002", parent: job, attempt: 2 };
const nothingLeft = { outstanding: { lines: 0, retryable: 0 } };

/** One of each kind, all about the same job. */
const EVENTS: { readonly [Type in JobEvent["type"]]: Extract<JobEvent, { type: Type }> } = {
  exported: { type: "exported", at, job, ...recorded },
  uploaded: { type: "uploaded", at, job, remoteFile: { name: "files/f", expiresAt: at } },
  submitting: { type: "submitting", at, job, displayName: "d-0001-1", submission: 1 },
  refused: { type: "refused", at, job, error, fileGone: false },
  revoking: { type: "revoking", at, job, reads: 2, keyId: "k", fences: true },
  absent: { type: "absent", at, job, reads: 2 },
  submitted: { type: "submitted", at, job, batch: "batches/b", adopted: false, keyId: "k" },
  duplicate: { type: "duplicate", at, job, batch: "batches/c" },
  recovered: {
    type: "recovered",
    at,
    job,
    target: 0,
    batch: "batches/o",
    displayName: "of another folder",
    requests: 3,
    tokens: 30,
    keyId: "k",
    createdAt: at,
  },
  succeeded: { type: "succeeded", at, job, resultsName: "files/r" },
  failed: { type: "failed", at, job, error, ...ending },
  expired: { type: "expired", at, job, error, ...ending },
  cancelled: { type: "cancelled", at, job, error, ...ending },
  downloaded: { type: "downloaded", at, job, file },
  rowsFound: { type: "rowsFound", at, job, requests: 3, copies: 1, file },
  imported: { type: "imported", at, job, tokens: 25, ...ending },
  resubmitted: { type: "resubmitted", at, job, children: [child], ...nothingLeft },
  rollingBack: { type: "rollingBack", at, job, rows: 1, file },
  rolledBack: { type: "rolledBack", at, job, rows: 1 },
  writtenAgain: { type: "writtenAgain", at, job, rows: 1 },
  cleaned: { type: "cleaned", at, job, files: ["requests", "upload"], rows: file },
  embedding: { type: "embedding", at, job },
};
type EventType = keyof typeof EVENTS;

/** A way to each state. */
const WAYS: Readonly<Record<JobState | "none", readonly EventType[]>> = {
  none: [],
  exported: ["exported"],
  embedding: ["exported", "embedding"],
  submitting: ["exported", "submitting"],
  submitted: ["exported", "submitting", "submitted"],
  succeeded: ["exported", "submitting", "submitted", "succeeded"],
  downloaded: ["exported", "submitting", "submitted", "succeeded", "downloaded"],
  imported: ["exported", "submitting", "submitted", "succeeded", "downloaded", "imported"],
  failed: ["exported", "submitting", "submitted", "failed"],
  expired: ["exported", "submitting", "submitted", "expired"],
  cancelled: ["exported", "submitting", "submitted", "cancelled"],
  rolledBack: [
    "exported",
    "submitting",
    "submitted",
    "succeeded",
    "downloaded",
    "imported",
    "rolledBack",
  ],
};

/** What may happen in each state, and the state after it. Everything else may not. */
const MOVES: Readonly<Record<JobState | "none", Partial<Record<EventType, JobState>>>> = {
  none: { exported: "exported", recovered: "submitted" },
  exported: {
    uploaded: "exported",
    submitting: "submitting",
    cancelled: "cancelled",
    embedding: "embedding",
  },
  embedding: { duplicate: "embedding", downloaded: "downloaded", cancelled: "cancelled" },
  submitting: {
    refused: "exported",
    revoking: "submitting",
    absent: "exported",
    submitted: "submitted",
    cancelled: "cancelled",
  },
  submitted: {
    duplicate: "submitted",
    succeeded: "succeeded",
    failed: "failed",
    expired: "expired",
    cancelled: "cancelled",
  },
  succeeded: {
    duplicate: "succeeded",
    downloaded: "downloaded",
    failed: "failed",
    cancelled: "cancelled",
    cleaned: "succeeded",
  },
  downloaded: {
    cancelled: "cancelled",
    duplicate: "downloaded",
    cleaned: "downloaded",
    downloaded: "downloaded",
    rowsFound: "downloaded",
    imported: "imported",
    failed: "failed",
  },
  imported: {
    duplicate: "imported",
    resubmitted: "imported",
    rollingBack: "imported",
    rolledBack: "rolledBack",
    writtenAgain: "imported",
    cleaned: "imported",
  },
  failed: { duplicate: "failed", resubmitted: "failed", cleaned: "failed" },
  expired: { duplicate: "expired", resubmitted: "expired", cleaned: "expired" },
  cancelled: { duplicate: "cancelled", resubmitted: "cancelled", cleaned: "cancelled" },
  rolledBack: { duplicate: "rolledBack", resubmitted: "rolledBack", cleaned: "rolledBack" },
};

function stateAfter(events: readonly JournalEvent[]): ManifestState {
  const state = emptyState();
  apply(state, { type: "target", at, number: 0, target: TARGET });
  for (const event of events) apply(state, event);
  return state;
}

function reached(from: JobState | "none"): ManifestState {
  return stateAfter(WAYS[from].map((type) => EVENTS[type]));
}

const STATES: readonly (JobState | "none")[] = [
  "none",
  "exported",
  "embedding",
  "submitting",
  "submitted",
  "succeeded",
  "downloaded",
  "imported",
  "failed",
  "expired",
  "cancelled",
  "rolledBack",
];

describe.each(STATES)("a job in state %s", (from) => {
  test("moves where it may, and is what the event says", () => {
    for (const event of Object.values(EVENTS)) {
      const to = MOVES[from][event.type];
      if (to === undefined) continue;
      const state = reached(from);
      apply(state, event);
      expect([event.type, state.jobs.get(job)?.state]).toEqual([event.type, to]);
    }
  });

  test("goes nowhere else: the event throws, and nothing is changed", () => {
    for (const event of Object.values(EVENTS)) {
      if (MOVES[from][event.type] !== undefined) continue;
      const state = reached(from);
      expect(() => apply(state, event), `${from}, ${event.type}`).toThrow(Error);
      expect(state).toEqual(reached(from));
    }
  });
});

function active(...types: readonly JobEvent["type"][]) {
  return stateAfter(types.map((type) => EVENTS[type])).quotas.get(
    quotaName(TARGET.model, DEFAULT_PROJECT),
  )?.active;
}

test("what is at Gemini counts towards its model's quota until its batch has ended, and once", () => {
  const sent = ["exported", "submitting", "submitted"] as const;
  const none = { tokens: 0, batches: 0 };
  expect(active("exported", "submitting")).toEqual(none);
  expect(active(...sent)).toEqual({ tokens: 30, batches: 1 });
  expect(active(...sent, "duplicate")).toEqual({ tokens: 30, batches: 1 });
  for (const end of ["succeeded", "failed", "expired", "cancelled"] as const)
    expect(active(...sent, end)).toEqual(none);
  expect(active(...sent, "succeeded", "downloaded", "imported", "rolledBack")).toEqual(none);
});

test("a second clean does not forget where a job's rows are kept", () => {
  const state = reached("imported");
  apply(state, EVENTS.cleaned);
  apply(state, { type: "cleaned", at, job, files: ["results"] });
  expect(state.jobs.get(job)).toMatchObject({ rowsFile: file });
});

test("a migration that is undone before its swap leaves the columns their names", () => {
  const next = { ...TARGET, embedding: "embedding_new" };
  const names = { old: "embedding", next: "embedding_new", kept: "embedding_old", indexes: [] };
  const plan = { old: 0, names, columnType: "vector", swaps: true } as const;
  const migration = { type: "migration", at, target: 1 } as const;
  const { targets } = stateAfter([
    { type: "target", at, number: 1, target: next },
    { ...migration, step: "planned", plan },
    { ...migration, step: "added" },
    { ...migration, step: "undone" },
  ]);
  expect(targets).toEqual([TARGET, next]);
});

describe("a batch that turns up late", () => {
  test("is taken by a job that was given up as absent, not by one that was never sent", () => {
    const sent = stateAfter([EVENTS.exported, EVENTS.submitting, EVENTS.absent]);
    apply(sent, { ...EVENTS.submitted, adopted: true });
    expect(sent.jobs.get(job)).toMatchObject({ state: "submitted", batch: "batches/b" });
    const unsent = reached("exported");
    expect(() => apply(unsent, EVENTS.submitted)).toThrow("without intent");
    expect(unsent).toEqual(reached("exported"));
  });
});

describe("an event that does not fit in another way throws, and changes nothing", () => {
  const misfits: Record<string, JournalEvent> = {
    "a target out of order": { type: "target", at, number: 2, target: TARGET },
    "a job of an unknown target": { ...EVENTS.exported, job: "0007", target: 1 },
    "a child of an unknown target": {
      ...EVENTS.resubmitted,
      children: [child, { ...child, job: "0003", target: 1 }],
    },
    "a child that is there already": {
      ...EVENTS.resubmitted,
      children: [
        { ...child, job: "0003" },
        { ...child, job },
      ],
    },
    "a child that stands twice": { ...EVENTS.resubmitted, children: [child, child] },
  };

  test.each(Object.entries(misfits))("%s", (_, event) => {
    const state = reached("imported");
    expect(() => apply(state, event)).toThrow(Error);
    expect(state).toEqual(reached("imported"));
  });
});

test("a file that is gone at Gemini is forgotten, one that was only refused is kept", () => {
  const before = [EVENTS.exported, EVENTS.uploaded, EVENTS.submitting];
  const refused = stateAfter([...before, EVENTS.refused]).jobs.get(job);
  expect(refused?.remoteFile).toEqual({ name: "files/f", expiresAt: at });
  const gone = stateAfter([...before, { ...EVENTS.refused, fileGone: true }]).jobs.get(job);
  expect(gone?.remoteFile).toBeUndefined();
});

test("a resubmission makes its children and leaves the rest of the lines with the parent", () => {
  const left = { outstanding: { lines: 1, retryable: 0 }, failedFile: file };
  const state = stateAfter([
    ...WAYS.imported.map((type) => EVENTS[type]),
    { ...EVENTS.resubmitted, ...left },
    { ...EVENTS.resubmitted, children: [{ ...child, job: "0003" }] },
  ]);
  expect(state.jobs.get("0001")).toMatchObject({
    state: "imported",
    children: ["0002", "0003"],
    outstanding: { lines: 0, retryable: 0 },
  });
  expect(state.jobs.get("0001")?.failedFile).toBeUndefined();
  expect(state.jobs.get("0002")).toMatchObject({
    state: "exported",
    parents: ["0001"],
    attempt: 2,
  });
  expect(state.lastJob).toBe(3);
});

describe("lines of two jobs that go on together", () => {
  const imported = (id: string) => WAYS.imported.map((type) => ({ ...EVENTS[type], job: id }));
  const pool = {
    ...EVENTS.resubmitted,
    children: [
      { ...child, job: "0003", parents: ["0001", "0002"] },
      { ...child, job: "0004", parent: "0002" },
    ],
    outstanding: { lines: 1, retryable: 0 },
    failedFile: file,
    others: [{ job: "0002", ...nothingLeft }],
  };

  test("leave each of them in the same step, and go into the children that say so", () => {
    const state = stateAfter([...imported("0001"), ...imported("0002"), pool]);
    const [first, second] = [state.jobs.get("0001"), state.jobs.get("0002")];
    expect(first).toMatchObject({
      children: ["0003"],
      outstanding: { lines: 1 },
      failedFile: file,
    });
    expect(second).toMatchObject({ children: ["0003", "0004"], outstanding: { lines: 0 } });
    expect(second?.failedFile).toBeUndefined();
    expect(state.jobs.get("0003")).toMatchObject({ parents: ["0001", "0002"] });
    expect(state.jobs.get("0004")).toMatchObject({ parents: ["0002"] });
  });

  test.each([
    ["one is not known", [...imported("0001")]],
    ["one has not ended", [...imported("0001"), { ...EVENTS.exported, job: "0002" }]],
    ["a child is there already", [...imported("0001"), ...imported("0002"), ...imported("0003")]],
  ])("change nothing where %s", (_, events: readonly JournalEvent[]) => {
    const state = stateAfter(events);
    const before = structuredClone(state);
    expect(() => apply(state, pool)).toThrow(Error);
    expect(state).toEqual(before);
  });

  test("are those of two jobs, not of one twice", () => {
    const twice = { ...pool, others: [{ job: "0001", ...nothingLeft }] };
    expect(() => stateAfter([...imported("0001"), twice])).toThrow("twice");
  });
});

describe("indexes that were dropped", () => {
  const other = { ...TARGET, text: "{a} {b}" };
  const elsewhere = { ...TARGET, table: "others" };
  const name = "ann";
  const index = { name, method: "hnsw", definition: "CREATE INDEX ann ON …", valid: true };
  const known: readonly JournalEvent[] = [
    { type: "target", at, number: 1, target: other },
    { type: "target", at, number: 2, target: elsewhere },
  ];
  const dropping: JournalEvent = { type: "indexDropping", at, target: 0, index };
  const dropped: JournalEvent = { type: "indexDropped", at, target: 0, name };
  const settled = (target: number): JournalEvent => ({
    type: "indexSettled",
    at,
    target,
    name,
    how: "built",
  });
  const left = (events: readonly JournalEvent[]) =>
    [...stateAfter([...known, ...events]).indexes.values()].map(({ index: each, isDropped }) => [
      each.definition,
      isDropped,
    ]);

  test("are known from before they are dropped until they stand again", () => {
    expect(left([dropping])).toEqual([[index.definition, false]]);
    expect(left([dropping, dropped])).toEqual([[index.definition, true]]);
    expect(left([dropping, dropped, settled(0)])).toEqual([]);
    expect(left([dropping, settled(0)])).toEqual([]);
  });

  test("count as their last definition says", () => {
    const changed = { ...dropping, index: { ...index, definition: "CREATE INDEX ann, but other" } };
    expect(left([dropping, dropped, changed])).toEqual([["CREATE INDEX ann, but other", false]]);
  });

  test("belong to a table: another target in it may settle them, one elsewhere may not", () => {
    expect(left([dropping, dropped, settled(1)])).toEqual([]);
    expect(() => left([dropping, dropped, settled(2)])).toThrow("was not dropped");
  });

  test.each([
    ["dropped without its definition", [dropped]],
    ["settled without having been dropped", [settled(0)]],
    ["settled twice", [dropping, settled(0), settled(0)]],
    ["of an unknown target", [{ ...dropping, target: 7 } as const]],
  ])("do not fit when %s", (_, events: readonly JournalEvent[]) => {
    const state = stateAfter([...known, ...events.slice(0, -1)]);
    const before = structuredClone(state);
    for (const event of events.slice(-1)) expect(() => apply(state, event)).toThrow(Error);
    expect(state).toEqual(before);
  });
});

/** What may happen next to a job, drawn by `choice`; undefined when nothing may. */
function draw(state: JobState, choice: number): EventType | undefined {
  const possible = Object.values(EVENTS).filter(({ type }) => MOVES[state][type] !== undefined);
  return possible[choice % Math.max(1, possible.length)]?.type;
}

async function record(manifest: Manifest, id: string, type: EventType, n: number): Promise<void> {
  if (type === "exported" || type === "recovered") return;
  if (type === "resubmitted") {
    const next = newJob(await manifest.reserveJobId(), { parents: [id], attempt: 2, tokens: n });
    await manifest.recordResubmitted(
      [next],
      [{ job: manifest.job(id), failedFile: undefined, ...nothingLeft }],
    );
  } else if (type === "submitting") {
    const submission = manifest.job(id).submissions + 1;
    await manifest.record({ ...EVENTS.submitting, job: id, submission });
  } else {
    await manifest.record({ ...EVENTS[type], job: id });
  }
}

test("whatever legal events happen, what is read back is what the writer knew", async () => {
  const steps = fc.array(fc.tuple(fc.nat(3), fc.nat(9)), { minLength: 1, maxLength: 25 });
  await fc.assert(
    fc.asyncProperty(steps, async (choices) => {
      const folder = await temporaryFolder();
      const manifest = await openManifest(folder, systemClock);
      const [first, second] = [await manifest.reserveJobId(), await manifest.reserveJobId()];
      // in the order in which they become complete, which need not be that of their numbers
      await manifest.recordExported(newJob(second, { target: { ...TARGET, table: "others" } }));
      await manifest.recordExported(newJob(first));
      for (const [which, choice] of choices) {
        const jobs = manifest.jobs();
        const chosen = jobs[which % jobs.length];
        const type = chosen && draw(chosen.state, choice);
        if (chosen && type) await record(manifest, chosen.id, type, choice);
      }
      const known = manifest.jobs();
      expect(known.map(({ id }) => id)).toEqual(known.map(({ id }) => id).toSorted());
      await manifest.close();
      expect((await readManifest(folder)).jobs()).toEqual(known);
      const { state, content } = await readState(folder);
      await saveState(folder, { state, savedBytes: -Infinity }, content);
      const saved = await readState(folder);
      expect(saved.savedBytes).toBe(content.endsAt);
      expect(saved.state).toEqual({ ...state, index: undefined });
      const reopened = await openManifest(folder, systemClock);
      expect(reopened.jobs()).toEqual(known);
      expect(Number(await reopened.reserveJobId())).toBe(known.length + 1);
      await reopened.close();
      await rm(folder, { recursive: true });
    }),
    { numRuns: sized({ quick: 12, full: 25 }) },
  );
});

test("an event that the state refuses never reaches the journal", async () => {
  const folder = await temporaryFolder();
  const manifest = await openManifest(folder, systemClock);
  await manifest.recordExported(newJob("0001"));
  await expect(manifest.record(EVENTS.submitted)).rejects.toThrow("without intent");
  await manifest.close();
  expect((await readManifest(folder)).job("0001").state).toBe("exported");
});
