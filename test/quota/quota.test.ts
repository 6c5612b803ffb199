// Gemini refuses with a bare 429. Does a run keep the queue busy whatever gives quota back, is it never
// idle for longer than a pause, asks it seldom in vain, and is nothing uploaded for nothing?
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { play } from "../../bench/quota/play.ts";
import { simulate, type Scenario, START_MS } from "../../bench/quota/simulation.ts";
import { everyCell, nameOf, QUEUE as ADVERTISED } from "../../bench/quota/world.ts";
import {
  accepted,
  dueMs,
  ended,
  NEW_QUOTA,
  type QuotaLog,
  refused,
  tried,
} from "../../src/manifest/quota/quota-log.ts";
import { fullText } from "../../src/quota/full-text.ts";
import { nextTryOf, pauseMs } from "../../src/quota/next-try.ts";
import { IN_FULL, sized } from "../size.ts";

const MINUTE_MS = 60_000;
const QUEUE = 100_000;
/** Ten rows each. */
const JOBS = sized({ quick: 30, full: 60 });
const BIG: Scenario = {
  rows: JOBS * 10,
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

describe(`a whole run in virtual time, of ${JOBS} jobs`, { timeout: 120_000 }, () => {
  const worlds = [
    { kind: "level", tokens: QUEUE / 2, mostRefused: 5 },
    { kind: "bucket", tokens: QUEUE, mostRefused: 14 },
    { kind: "level", tokens: QUEUE, mostRefused: 3 },
    { kind: "bucket", tokens: QUEUE / 2, mostRefused: 29 },
  ] satisfies Readonly<{ kind: "level" | "bucket"; tokens: number; mostRefused: number }>[];

  test.each(sized({ quick: [], full: worlds }))(
    "$kind of $tokens tokens",
    async ({ kind, tokens, mostRefused }) => {
      const outcome = await simulate({ ...BIG, quota: { ...BIG.quota, kind, tokens } });
      expect(outcome).toMatchObject({ written: BIG.rows, jobs: JOBS, uploadsWasted: 0 });
      expect(outcome.refused).toBeLessThanOrEqual(mostRefused);
      expect(outcome.utilisation).toBeGreaterThan(0.85);
    },
  );

  test("nothing fits for two hours: it is asked seldom, and goes on when there is room", async () => {
    const change = { atMs: START_MS + 120 * MINUTE_MS, tokens: QUEUE };
    const quota = { ...BIG.quota, tokens: 100, change };
    const outcome = await simulate({ ...BIG, rows: 20, quota });
    expect(outcome.written).toBe(20);
    expect(outcome.refusedAnHour).toBeLessThanOrEqual(8);
  });

  test("jobs larger than the quota ever takes are cut again, and no row is lost or sent twice", async () => {
    const quota = { ...BIG.quota, tokens: 6_000 };
    const outcome = await simulate({ ...BIG, rows: 60, quota });
    expect(outcome.written).toBe(60);
    expect(outcome.batches.reduce((sum, { requests }) => sum + requests, 0)).toBe(60);
    // what was refused was never sent
    expect(outcome.attempts).toBe(1);
    expect(outcome.told.some((line) => /refused 2 times in a row/.test(line))).toBe(true);
  });
});

describe("the simplest case: room comes 0.6 s after a batch's end", () => {
  const limit = 500_000;
  const simple: Scenario = {
    ...BIG,
    rows: 54 * 50,
    window: { maxActiveJobs: 90, maxEnqueuedTokens: limit },
    bounds: { maxRows: 50, maxTokens: limit / 10, maxBytes: 10_000_000 },
    quota: { ...BIG.quota, tokens: limit },
    batchMs: 3_000,
    releaseMs: 600,
    uploadMs: 10,
    createMs: 10,
    quotaWaitMs: 500,
    pollIntervalMs: 1_000,
  };

  test(
    "54 jobs take less than half as long again as the 18 s that they need",
    IN_FULL,
    async () => {
      const outcome = await simulate(simple);
      expect(outcome.jobs).toBe(54);
      expect(outcome.sentAfterMs).toBeLessThan(1.5 * 18_000);
    },
  );
});

describe("the promise that being wrong is cheap", () => {
  /** A service that answers by a coin, batches that end by another: no belief about it can be right. */
  const service = fc.record({
    answers: fc.array(fc.boolean(), { minLength: 10, maxLength: 60 }),
    batchesMs: fc.array(fc.integer({ min: 1_000, max: 2 * 3_600_000 }), {
      minLength: 3,
      maxLength: 12,
    }),
    tokens: fc.integer({ min: 1_000, max: QUEUE }),
    retryAfterMs: fc.option(fc.integer({ min: 1, max: 7_200_000 }), { nil: undefined }),
    isAdvertised: fc.boolean(),
  });

  test("idle with a job waiting, or after an end, it tries within a pause, and rests for one after a refusal", () => {
    fc.assert(
      fc.property(service, ({ answers, batchesMs, tokens, retryAfterMs, isAdvertised }) => {
        let log: QuotaLog = NEW_QUOTA;
        let nowMs = 1e12;
        let active: number[] = [];
        const window = { maxActiveJobs: 90, maxEnqueuedTokens: QUEUE, isAdvertised };
        for (const [at, answer] of answers.entries()) {
          const isOwnLimit = !isAdvertised && (active.length + 1) * tokens > QUEUE;
          const queue = {
            batches: active.length,
            own: active.length,
            tokens: active.length * tokens,
          };
          const next = nextTryOf(tokens, queue, { window, log, quotaWaitMs: MINUTE_MS, nowMs });
          const pause = pauseMs(log, MINUTE_MS);
          const isIdle = active.length === 0;
          const latestMs = isIdle ? nowMs : Math.max(nowMs, log.firstEndMs ?? Infinity);
          expect(next.atMs).toBeLessThanOrEqual(
            isOwnLimit && !isIdle ? Infinity : latestMs + pause,
          );
          expect(isOwnLimit && !isIdle && next.atMs < Infinity).toBe(false);
          const mustRest = log.refusalsInRow > 0 && log.firstEndMs === undefined;
          expect(next.atMs).toBeGreaterThanOrEqual(mustRest ? log.lastTryMs + pause : -Infinity);
          const endMs = Math.min(...active);
          if (endMs <= next.atMs) {
            active = active.filter((ms) => ms !== endMs);
            nowMs = Math.max(nowMs, endMs);
            log = ended(log, tokens, nowMs);
            continue;
          }
          nowMs = Math.max(nowMs, next.atMs) + 10;
          const create = { tokens, atMs: nowMs, probe: next.probe };
          log = tried(log);
          if (answer) active.push(nowMs + (batchesMs[at % batchesMs.length] ?? 0) + at);
          log = answer
            ? accepted(log, create)
            : refused(log, { ...create, limit: undefined, retryAfterMs });
        }
      }),
      { numRuns: sized({ quick: 150, full: 5_000 }) },
    );
  });

  test("over the grid of quotas: never idle past the pause, and near the best that a planner could do", () => {
    const cells = everyCell().filter((_, at) => at % EACH === 0);
    const played = cells.map((cell) => {
      const jobs = Array.from({ length: 60 }, () => ADVERTISED / cell.jobsAQueue);
      return { name: nameOf(cell), ...play(cell, jobs) };
    });
    for (const { name, idlePauses, endPauses, tooOften } of played) {
      expect.soft(idlePauses, `${name}: pauses without a try, idle`).toBeLessThanOrEqual(1.001);
      expect
        .soft(endPauses, `${name}: pauses without a try after an end`)
        .toBeLessThanOrEqual(1.001);
      expect.soft(tooOften, `${name}: refused again within a pause`).toBe(0);
    }
    const ratios = played.map(({ ratio }) => ratio).toSorted((a, b) => a - b);
    expect(ratios[Math.floor(ratios.length / 2)]).toBeLessThan(1.1);
    expect(ratios[Math.floor(ratios.length * 0.95)]).toBeLessThan(1.9);
  });
});

/** Of 4,320 cells; all of them are in the benchmark. */
const EACH = sized({ quick: 61, full: 3 });

describe("what is set and what is believed", () => {
  const create = { tokens: 10_000, atMs: 1_000, probe: undefined };
  const refusal = { ...create, limit: undefined, retryAfterMs: undefined };
  const full = { batches: 10, own: 10, tokens: QUEUE };
  const asked = { window: BIG.window, quotaWaitMs: MINUTE_MS, nowMs: 3_600_000 };

  test("a limit that a person set is never passed; an advertised one is tried after a while", () => {
    const log = accepted(NEW_QUOTA, create);
    const wished = { ...asked, log, window: { ...BIG.window, isAdvertised: false } };
    expect(nextTryOf(10_000, full, wished).atMs).toBe(Infinity);
    expect(nextTryOf(10_000, full, { ...asked, log }).probe).toBe("time");
  });

  test("a refusal for the number of batches or for calls a minute is no word on tokens", () => {
    const { limit, full: since } = refused(filled(5), { ...refusal, limit: "rate" });
    expect([limit, since]).toEqual([undefined, undefined]);
    const many = refused(filled(5), { ...refusal, limit: "jobs" });
    expect(
      nextTryOf(1, { batches: 5, own: 5, tokens: 50_000 }, { ...asked, log: many }),
    ).toMatchObject({
      atMs: Infinity,
      waitsFor: "jobs",
      allowed: 5,
    });
    expect(refused(filled(97), refusal).batchLimit).toBe(97);
  });

  test("a clock that was set back stops nothing", () => {
    const log = refused(filled(3, 1e12), { ...refusal, atMs: 1e12 });
    const next = nextTryOf(1, { batches: 0, own: 0, tokens: 0 }, { ...asked, log, nowMs: 1e11 });
    expect(next.atMs).toBeLessThanOrEqual(1e11);
  });

  test("what is waited for is said as it is", () => {
    const log = refused(refused(NEW_QUOTA, refusal), { ...refusal, atMs: 61_000 });
    const next = nextTryOf(1, { batches: 0, own: 0, tokens: 0 }, { ...asked, log, nowMs: 62_000 });
    expect(fullText(next, [], log)).toBe(
      "quota full: refused 2 times in a row, last 00:01 UTC; nothing of this folder is queued; next try 00:03 UTC",
    );
  });
});

describe("what creates, refusals and ends tell", () => {
  const JOB = 10_000;
  type Step = readonly [what: "ok" | "no" | "end", atMinute: number, probe?: "time"];

  function after(steps: readonly Step[]): QuotaLog {
    return steps.reduce<QuotaLog>((log, [what, atMinute, probe]) => {
      const create = { tokens: JOB, atMs: atMinute * MINUTE_MS, probe };
      if (what === "end") return ended(log, JOB, create.atMs);
      if (what === "ok") return accepted(tried(log), create);
      return refused(tried(log), { ...create, limit: undefined, retryAfterMs: undefined });
    }, NEW_QUOTA);
  }

  /** The limit of one job was found to be none; then one job came back in ten minutes. */
  const PACED = [
    ["ok", 0],
    ["no", 0],
    ["ok", 3, "time"],
    ["no", 10],
  ] as const satisfies readonly Step[];

  test("a job that was refused while others counted is not too large, twice alone it is", () => {
    const withOthers = [
      ["ok", 0],
      ["no", 1],
      ["end", 2],
      ["no", 2],
    ] as const satisfies Step[];
    expect(after(withOthers).tooLarge).toBeUndefined();
    const alone = [...withOthers, ["no", 4]] as const;
    expect(after(alone).tooLarge).toBe(JOB);
    expect(after([...alone, ["ok", 8]]).tooLarge).toBeUndefined();
  });

  test("more than the limit is tried by the time since the last refusal, however much is sent meanwhile", () => {
    const log = after([
      ["ok", 0],
      ["no", 0],
      ["end", 1],
      ["ok", 2],
    ]);
    const queue = { batches: 1, own: 1, tokens: JOB };
    const asked = { window: BIG.window, log, quotaWaitMs: MINUTE_MS, nowMs: 2 * MINUTE_MS };
    expect(nextTryOf(JOB, queue, asked)).toMatchObject({ atMs: 3 * MINUTE_MS, probe: "time" });
  });

  test("an hour in which nobody was there is not taken for a slow quota", () => {
    const dueMinute = dueMs(after(PACED), JOB) / MINUTE_MS;
    const pace = (lateMinutes: number) => {
      const sent = dueMinute + lateMinutes;
      return after([...PACED, ["ok", sent], ["no", sent + 1]]).pace ?? 0;
    };
    expect(pace(0)).toBeGreaterThan(0);
    expect(pace(600)).toBeCloseTo(pace(60), 12);
    expect(pace(60)).toBeGreaterThan(pace(0) / 5);
  });

  test("what comes back after several refusals came back at some time since the last of them", () => {
    const refusals = [...PACED, ["no", 22], ["no", 34]] as const;
    const { full: since } = after([...refusals, ["ok", 42]]);
    expect(since).toEqual({ sinceMs: 38 * MINUTE_MS, tokens: JOB });
  });

  test("a limit that was lowered is seen as such: nothing has come back, and less than it is there", () => {
    const found = after([
      ["ok", 0],
      ["ok", 0],
      ["no", 0],
    ]);
    expect(found.limit).toBe(2 * JOB);
    const lowered = after([
      ["ok", 0],
      ["ok", 0],
      ["no", 0],
      ["end", 1],
      ["end", 1],
      ["ok", 1],
      ["no", 2],
    ]);
    expect(lowered).toMatchObject({ limit: JOB, pace: undefined });
  });
});

function filled(batches: number, atMs = 0): QuotaLog {
  const create = { tokens: 10_000, atMs, probe: undefined };
  return Array.from({ length: batches }).reduce<QuotaLog>(
    (log) => accepted(log, create),
    NEW_QUOTA,
  );
}

test("as long as only the limit counts, a create that goes through after a refusal makes no pace", () => {
  const create = { tokens: 100, probe: undefined, limit: undefined, retryAfterMs: undefined };
  const full = refused(accepted(NEW_QUOTA, { ...create, atMs: 0 }), { ...create, atMs: 60_000 });
  expect([full.full?.tokens, full.pace]).toEqual([0, undefined]);
  expect(accepted(full, { ...create, atMs: 600_000 })).toMatchObject({
    pace: undefined,
    beforeDue: 0,
  });
});
