// Gemini refuses with a bare 429. Does a run find out by itself how much may be queued and what gives
// it back, keep the queue busy, ask seldom in vain, and upload nothing for nothing?
import { describe, expect, test } from "vitest";
import { simulate, type Scenario, START_MS } from "../bench/quota/simulation.ts";
import {
  enqueuedTokens,
  hasRoom,
  type QueuedBatch,
  type TokenQuota,
} from "../src/emulator/state/quota.ts";
import {
  NEW_QUOTA,
  type QuotaLog,
  accepted,
  ended,
  refused,
} from "../src/manifest/quota/quota-log.ts";
import type { Job } from "../src/manifest/job.ts";
import { roomFor } from "../src/quota/window.ts";
import { newJob } from "./job/sample.ts";
import { emptyState, apply } from "../src/manifest/fold.ts";

const MINUTE_MS = 60_000;
const QUEUE = 100_000;
const BIG: Scenario = {
  rows: 600,
  tokensPerRow: 1_000,
  window: { maxActiveJobs: 90, maxEnqueuedTokens: QUEUE, isAdvertised: true },
  bounds: { maxRows: 1_000, maxTokens: QUEUE / 10, maxBytes: 1_000_000 },
  quota: {
    kind: "level",
    tokens: QUEUE,
    refillMs: 12.5 * MINUTE_MS,
    change: undefined,
    cancelled: "released",
  },
  batchMs: 10 * MINUTE_MS,
};

describe("a whole run in virtual time, of sixty jobs", { timeout: 120_000 }, () => {
  test.each([
    { kind: "level", tokens: QUEUE, mostRefused: 0 },
    { kind: "level", tokens: QUEUE / 2, mostRefused: 3 },
    { kind: "bucket", tokens: QUEUE, mostRefused: 3 },
    { kind: "bucket", tokens: QUEUE / 2, mostRefused: 4 },
  ] as const)("$kind of $tokens tokens", async ({ kind, tokens, mostRefused }) => {
    const outcome = await simulate({ ...BIG, quota: { ...BIG.quota, kind, tokens } });
    expect(outcome).toMatchObject({ written: 600, jobs: 60, uploadsWasted: 0 });
    expect(outcome.refused).toBeLessThanOrEqual(mostRefused);
    expect(outcome.utilisation).toBeGreaterThan(0.9);
    // nothing is uploaded before there is room for it
    expect(outcome.uploadLeadMs).toBeLessThan(MINUTE_MS);
  });

  test("nothing fits for two hours: it is asked seldom, and goes on when there is room", async () => {
    const change = { atMs: START_MS + 120 * MINUTE_MS, tokens: QUEUE };
    const quota = { ...BIG.quota, tokens: 5_000, change };
    const outcome = await simulate({ ...BIG, rows: 20, quota });
    expect(outcome).toMatchObject({ written: 20, uploadsWasted: 0 });
    expect(outcome.refusedAnHour).toBeLessThanOrEqual(8);
  });
});

describe("a bucket that becomes half as large and slow", () => {
  test.each([10, 33])("filled by %i jobs, at whatever moment", (jobsAQueue) => {
    for (const share of [0.1, 0.2, 0.25, 0.3, 0.33, 0.37, 0.4, 0.45, 0.5, 0.52, 0.55, 0.6, 0.7]) {
      const { used, refusedShare } = fill({ jobsAQueue, queues: 12, halvedAfter: share });
      expect.soft(used, `used, halved after ${share}`).toBeGreaterThan(0.9);
      expect.soft(refusedShare, `refused, halved after ${share}`).toBeLessThan(0.05);
    }
  });
});

describe("what was learned", () => {
  const window = BIG.window;

  const refusal = { tokens: 10_000, probe: undefined, limit: undefined };

  test("what was queued at the first refusal is the limit: no more is sent until a batch ends", () => {
    const log = refused(filled(5), { ...refusal, atMs: 1_000 });
    const full = jobs(5);
    expect(roomFor(full.waiting, full.all, window, log, 2_000)).toMatchObject({
      hasRoom: false,
      queued: 50_000,
      allowed: 50_000,
    });
    const one = jobs(4);
    expect(roomFor(one.waiting, one.all, window, ended(log, 10_000), 2_000).hasRoom).toBe(true);
  });

  test("refused although less is queued than did fit, and no bucket can be full: half is the limit", () => {
    const once = refused(filled(8), { ...refusal, atMs: 1_000 });
    const later = refused(ended(once, 10_000), { ...refusal, atMs: 180 * MINUTE_MS });
    expect(later).toMatchObject({ release: "ends", limit: 40_000 });
    const { waiting, all } = jobs(4);
    expect(roomFor(waiting, all, window, later, 181 * MINUTE_MS).hasRoom).toBe(false);
  });

  test("creates that go through raise it by a job", () => {
    const once = refused(filled(8), { ...refusal, atMs: 1_000 });
    let log = ended(ended(once, 10_000), 10_000);
    const limit = log.limit ?? 0;
    for (let creates = 0; creates < 25; creates += 1) {
      log = ended(accepted(log, { tokens: 10_000, atMs: 3_000, probe: undefined }), 10_000);
    }
    const { waiting, all } = jobs(limit / 10_000);
    expect(roomFor(waiting, all, window, log, 4_000).hasRoom).toBe(true);
    // what was asked for in vain is asked for more seldom
    const atLimit = { ...log, active: { tokens: limit, batches: limit / 10_000 } };
    const more = accepted(atLimit, { tokens: 10_000, atMs: 5_000, probe: undefined });
    expect(more.limit).toBe(limit + 10_000);
    const refusedAgain = refused(atLimit, { ...refusal, atMs: 5_000 });
    expect(refusedAgain).toMatchObject({ limit, probeAfter: 50 });
  });

  test("what fitted when more was tried, and is then refused, fitted by a batch that had just ended", () => {
    let log = ended(refused(filled(5), { ...refusal, atMs: 1_000 }), 10_000);
    for (let create = 0; create <= 25; create += 1) {
      log = ended(accepted(log, { ...refusal, atMs: MINUTE_MS * (1 + create) }), 10_000);
    }
    // five are at Gemini as far as anybody has looked, in truth four: one more is tried and fits
    const five = accepted(log, { ...refusal, atMs: 27 * MINUTE_MS });
    const six = accepted(five, { ...refusal, atMs: 28 * MINUTE_MS });
    expect(six).toMatchObject({ limit: 60_000, release: "ends" });
    const no = refused(ended(six, 10_000), { ...refusal, atMs: 29 * MINUTE_MS });
    expect(no).toMatchObject({ limit: 50_000, release: "ends", probeAfter: 50 });
    // once it is tried no more, what is refused says something
    expect(refused(ended(no, 20_000), { ...refusal, atMs: 30 * MINUTE_MS }).limit).not.toBe(50_000);
  });

  test("refused while little is queued: then time gives it back, not the ends", () => {
    let log = filled(10);
    for (let batch = 0; batch < 9; batch += 1) log = ended(log, 10_000);
    log = refused(log, { ...refusal, atMs: MINUTE_MS });
    expect(log.release).toBe("time");
    const { waiting, all } = jobs(0);
    const room = roomFor(waiting, all, window, log, 2 * MINUTE_MS);
    if (room.hasRoom) throw new Error("it takes a job into a full bucket");
    expect(room.inMs).toBeGreaterThan(5 * MINUTE_MS);
    expect(roomFor(waiting, all, window, log, 2 * MINUTE_MS + room.inMs).hasRoom).toBe(true);
  });

  test("the pace of a bucket is what went in between two moments at which it was full", () => {
    let log = filled(10);
    for (let batch = 1; batch <= 4; batch += 1) {
      log = accepted(ended(log, 10_000), { ...refusal, atMs: batch * 2 * MINUTE_MS });
    }
    log = refused(ended(log, 10_000), { ...refusal, atMs: 8.1 * MINUTE_MS });
    expect(log.release).toBe("time");
    const perMinute = (log.drain ?? 0) * MINUTE_MS;
    expect(perMinute).toBeGreaterThan(4_500);
    expect(perMinute).toBeLessThanOrEqual(5_000);
  });

  test("it is thought faster with each create that had to wait, and slower after each refusal", () => {
    const start = accepted(filled(10), { tokens: 10_000, probe: "time", atMs: 60 * MINUTE_MS });
    let log = start;
    let nowMs = 60 * MINUTE_MS;
    for (let creates = 0; creates < 20; creates += 1) {
      const { waiting, all } = jobs(0);
      const room = roomFor(waiting, all, window, log, nowMs);
      nowMs += room.hasRoom ? 0 : room.inMs;
      log = accepted(log, { tokens: 10_000, probe: undefined, atMs: nowMs });
    }
    expect(log.drain).toBeGreaterThan(1.1 * (start.drain ?? 0));
    const once = refused(log, { ...refusal, atMs: nowMs });
    expect(once.drain).toBeLessThan(0.96 * (log.drain ?? 0));
    const twice = refused(once, { ...refusal, atMs: nowMs + MINUTE_MS });
    expect(twice.drain).toBeLessThan(0.7 * (once.drain ?? 0));
  });

  test("what is in a bucket stays in the books, and makes it no room all at once, for hours", () => {
    let nowMs = 60 * MINUTE_MS;
    let log = accepted(filled(10), { tokens: 10_000, probe: "time", atMs: nowMs });
    const { waiting, all } = jobs(0);
    const waitsMs: number[] = [];
    while (nowMs < 5 * 60 * MINUTE_MS) {
      const room = roomFor(waiting, all, window, log, nowMs);
      waitsMs.push(room.hasRoom ? 0 : room.inMs);
      nowMs += waitsMs.at(-1) ?? 0;
      log = accepted({ ...log, drain: 2_000 / MINUTE_MS }, { ...refusal, atMs: nowMs });
    }
    const tenThousandMs = 5 * MINUTE_MS;
    expect(Math.min(...waitsMs.slice(10))).toBeGreaterThanOrEqual(tenThousandMs - 1);
  });

  test("two refusals close to each other cut its pace by two fifths, and no more", () => {
    const probe = accepted(filled(10), { tokens: 10_000, probe: "time", atMs: 60 * MINUTE_MS });
    const few = Array.from({ length: 5 }).reduce<QuotaLog>(
      (log) => accepted(log, { ...refusal, atMs: 61 * MINUTE_MS }),
      refused(probe, { ...refusal, atMs: 60 * MINUTE_MS }),
    );
    const { drain = 0 } = few;
    expect(refused(few, { ...refusal, atMs: 200 * MINUTE_MS }).drain).toBe(0.6 * drain);
  });

  test("time that gives nothing back through several waits does not: again the ends do", () => {
    let log = accepted(filled(10), { tokens: 10_000, probe: "time", atMs: 60 * MINUTE_MS });
    for (let wait = 0; wait < 4; wait += 1) {
      log = refused(log, { ...refusal, atMs: (61 + 5 * wait) * MINUTE_MS });
      expect(log.release).toBe("time");
    }
    log = refused(log, { ...refusal, atMs: 81 * MINUTE_MS });
    expect(log).toMatchObject({ release: "ends", limit: 110_000 });
    const { waiting, all } = jobs(10);
    // and what was found wrong is not tried at once again
    expect(roomFor(waiting, all, window, log, 150 * MINUTE_MS).hasRoom).toBe(false);
  });

  test("a full queue for as long as a bucket takes is tried once a day, unless a person set it", () => {
    const log = filled(10);
    const { waiting, all } = jobs(10);
    const later = 60 * MINUTE_MS;
    const room = roomFor(waiting, all, window, log, later);
    expect(room).toEqual({ hasRoom: true, probe: "time" });
    const wished = { ...window, isAdvertised: false };
    expect(roomFor(waiting, all, wished, log, later)).toMatchObject({ hasRoom: false });
    const no = refused(log, { ...refusal, probe: "time", atMs: later });
    expect(no.limit).toBeUndefined();
    expect(roomFor(waiting, all, window, no, later + 60 * MINUTE_MS)).toMatchObject({
      hasRoom: false,
    });
    const yes = accepted(log, { tokens: 10_000, probe: "time", atMs: later });
    expect(yes.release).toBe("time");
  });

  test("a refusal for the number of batches, for storage or for calls a minute is no word on tokens", () => {
    const log = filled(5);
    for (const limit of ["storage", "rate"] as const) {
      expect(refused(log, { ...refusal, limit, atMs: 1_000 })).toEqual(log);
    }
    const many = refused(log, { ...refusal, limit: "jobs", atMs: 1_000 });
    expect(many).toMatchObject({ batchLimit: 5, limit: undefined });
    const { waiting, all } = jobs(5);
    expect(roomFor(waiting, all, window, many, 2_000)).toMatchObject({
      hasRoom: false,
      limit: "jobs",
    });
    expect(refused(filled(97), { ...refusal, atMs: 1_000 }).batchLimit).toBe(97);
  });

  test("a clock that was set back stops nothing", () => {
    const time = accepted(filled(10, 1e12), { tokens: 10_000, probe: "time", atMs: 1e12 });
    const { waiting, all } = jobs(0);
    expect(roomFor(waiting, all, window, time, 1e12 - 86_400_000).hasRoom).toBe(true);
  });
});

/** So many queues of jobs, one after the other, into a bucket of 12.5 minutes; without files, which takes time. */
function fill(asked: { jobsAQueue: number; queues: number; halvedAfter: number }) {
  const tokens = QUEUE / asked.jobsAQueue;
  const atMs = asked.halvedAfter * asked.queues * BIG.quota.refillMs;
  const change = { atMs, tokens: QUEUE / 2 };
  const quota: TokenQuota = { ...BIG.quota, kind: "bucket", change };
  const batches: QueuedBatch[] = [];
  let [log, nowMs, refusals, ends] = [NEW_QUOTA, 0, 0, 0];
  while (batches.length < asked.queues * asked.jobsAQueue) {
    const endMs = (batches[ends]?.createdAtMs ?? Infinity) + BIG.batchMs;
    if (endMs <= nowMs) {
      log = ended(log, tokens);
      ends += 1;
      continue;
    }
    const { waiting, all } = jobs(batches.length - ends, tokens);
    const room = roomFor(waiting, all, BIG.window, log, nowMs);
    if (!room.hasRoom) {
      nowMs = Math.min(nowMs + room.inMs, endMs);
      continue;
    }
    nowMs += CREATE_MS;
    const create = { tokens, atMs: nowMs, probe: room.probe };
    if (hasRoom(quota, batches, tokens, nowMs)) {
      batches.push(queued(batches.length, tokens, nowMs));
      log = accepted(log, create);
    } else {
      refusals += 1;
      log = refused(log, { ...create, limit: undefined });
      nowMs += MINUTE_MS;
    }
  }
  const drained = batches.length * tokens - enqueuedTokens(quota, batches, nowMs);
  const possible =
    (QUEUE / quota.refillMs) * (Math.min(atMs, nowMs) + Math.max(0, nowMs - atMs) / 2);
  return { used: drained / possible, refusedShare: refusals / (refusals + batches.length) };
}

const CREATE_MS = 3_000;

function queued(number: number, tokens: number, createdAtMs: number): QueuedBatch {
  return { number, tokens, createdAtMs, end: undefined, deletedAtMs: undefined };
}

const TARGET = newJob("0001").target;

/** Jobs of 10,000 tokens that are at Gemini, and one that waits. */
function jobs(active: number, tokens = 10_000): { waiting: Job; all: Job[] } {
  const state = emptyState();
  apply(state, { type: "target", at: "2026-11-25T00:00:00.000Z", number: 0, target: TARGET });
  apply(state, { ...recorded("0001"), tokens });
  const waiting = state.jobs.get("0001");
  if (waiting === undefined) throw new Error("no job");
  const one = { ...waiting, state: "submitted" } as const;
  return { waiting, all: [waiting, ...Array.from({ length: active }, () => one)] };
}

function filled(batches: number, atMs = 0): QuotaLog {
  const create = { tokens: 10_000, atMs, probe: undefined };
  return Array.from({ length: batches }).reduce<QuotaLog>(
    (log) => accepted(log, create),
    NEW_QUOTA,
  );
}

function recorded(job: string) {
  const { target: _target, parent: _parent, ...rest } = newJob(job);
  return { type: "exported", at: "2026-11-25T00:00:01.000Z", target: 0, ...rest } as const;
}
