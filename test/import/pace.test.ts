// My database is in use: does --pace keep to its rows a second, does auto wait when the database is
// slow and only then, and does neither keep me waiting when I press Ctrl-C?
import { describe, expect, test } from "vitest";
import type { Clock } from "../../src/clock.ts";
import { createPacer, type Pace } from "../../src/import/pace.ts";

const NEVER = new AbortController().signal;

describe("rows a second", () => {
  test("are kept, however quick the database is", async () => {
    const { clock, write } = databaseTaking(() => 1);
    const pacer = createPacer(1000, clock);
    for (let chunk = 0; chunk < 10; chunk += 1) await pacer.paced(500, NEVER, write);
    expect(clock.elapsedMs()).toBe(4501);
  });

  test("are kept by writers at the same time, together", async () => {
    const { clock, write } = databaseTaking(() => 1);
    const pacer = createPacer(1000, clock);
    await Promise.all([1, 2, 3, 4, 5].map(() => pacer.paced(500, NEVER, write)));
    expect(clock.elapsedMs()).toBeGreaterThanOrEqual(2000);
  });

  test("cost nothing where the database is slower by itself, and are not caught up on", async () => {
    let tookMs = 2000;
    const { clock, write, waitedMs } = databaseTaking(() => tookMs);
    const pacer = createPacer(1000, clock);
    for (let chunk = 0; chunk < 5; chunk += 1) await pacer.paced(500, NEVER, write);
    expect(waitedMs()).toBe(0);
    tookMs = 1;
    for (let chunk = 0; chunk < 3; chunk += 1) await pacer.paced(500, NEVER, write);
    expect(waitedMs()).toBeGreaterThan(900);
  });

  test("bound a statement as well: a second's rows at most", () => {
    expect(createPacer(50, databaseTaking(() => 1).clock).maxRows).toBe(50);
  });
});

describe("auto", () => {
  test("does not wait while statements take what they always take", async () => {
    let chunk = 0;
    const { clock, write, waitedMs } = databaseTaking(() => 20 + (chunk++ % 3) * 8);
    const pacer = createPacer("auto", clock);
    for (let count = 0; count < 100; count += 1) await pacer.paced(500, NEVER, write);
    expect(waitedMs()).toBe(0);
  });

  test("waits when they take longer, the longer the slower, and stops when they are quick again", async () => {
    expect(await waitAfter([20, 20, 80])).toBe(240);
    expect(await waitAfter([20, 20, 160])).toBeGreaterThan(1000);
    expect(await waitAfter([20, 20, 160, 20])).toBe(await waitAfter([20, 20, 160]));
  });

  test("never waits long at once", async () => {
    expect(await waitAfter([20, 60_000])).toBe(10_000);
  });

  test("takes what stays slow for usual in the end", async () => {
    const slow = Array.from({ length: 150 }, () => 100);
    const all = await waitAfter([20, ...slow]);
    expect(await waitAfter([20, ...slow, ...slow])).toBe(all);
  });

  test("is not misled by the last few rows of a job", async () => {
    const { clock, write, waitedMs } = databaseTaking(() => 20);
    const pacer = createPacer("auto", clock);
    for (const rows of [500, 3, 500, 1, 500]) await pacer.paced(rows, NEVER, write);
    expect(waitedMs()).toBe(0);
  });
});

describe("at Ctrl-C", () => {
  test.each<Pace>([1, "auto"])("what is in hand is written at once, with %s", async (pace) => {
    const controller = new AbortController();
    const { clock, write, written } = databaseTaking((count) => (count === 0 ? 20 : 60_000));
    const pacer = createPacer(pace, clock);
    for (let chunk = 0; chunk < 2; chunk += 1) await pacer.paced(500, NEVER, write);
    const asleep = { ...clock, sleep: abortedSleep };
    const late = createPacer(pace, asleep);
    for (let chunk = 0; chunk < 2; chunk += 1) await late.paced(500, AbortSignal.abort(), write);
    setImmediate(() => controller.abort());
    await late.paced(500, controller.signal, write);
    expect(written()).toBe(5);
  });
});

test("without a pace nothing waits", async () => {
  const { clock, write, waitedMs } = databaseTaking((count) => 20 + count * 1000);
  const pacer = createPacer(undefined, clock);
  for (let chunk = 0; chunk < 5; chunk += 1) await pacer.paced(500, NEVER, write);
  expect(waitedMs()).toBe(0);
  expect(pacer.maxRows).toBe(Infinity);
});

/** How long `auto` waited in all, over statements that took so long and one more. */
async function waitAfter(tookMs: readonly number[]): Promise<number> {
  const { clock, write, waitedMs } = databaseTaking((count) => tookMs[count] ?? 20);
  const pacer = createPacer("auto", clock);
  for (let chunk = 0; chunk <= tookMs.length; chunk += 1) await pacer.paced(500, NEVER, write);
  return Math.round(waitedMs());
}

/** Time moves only by statements and by waiting. */
function databaseTaking(ms: (count: number) => number) {
  let nowMs = 0;
  let waited = 0;
  let count = 0;
  const clock: Clock = {
    now: () => new Date(nowMs),
    elapsedMs: () => nowMs,
    sleep: async (sleepMs) => {
      nowMs += sleepMs;
      waited += sleepMs;
    },
  };
  const write = async () => {
    nowMs += ms(count);
    count += 1;
  };
  return { clock, write, waitedMs: () => waited, written: () => count };
}

/** Sleeps until it is woken. */
function abortedSleep(_ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((_resolve, reject) => {
    const wake = () => reject(new DOMException("woken", "AbortError"));
    if (signal?.aborted === true) wake();
    signal?.addEventListener("abort", wake);
  });
}
