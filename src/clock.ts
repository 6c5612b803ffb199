import { setTimeout as delay } from "node:timers/promises";

export const MS_PER_SECOND = 1000;
export const MS_PER_MINUTE = 60_000;
export const MS_PER_HOUR = 3_600_000;

/** Time as the stages see it, so that a simulation can run days in a second. */
export type Clock = {
  /** Wall-clock time, for what is recorded. It may jump. */
  now(): Date;
  /** Milliseconds that only grow, for measuring how long something took. */
  elapsedMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
};

export const systemClock: Clock = {
  now: () => new Date(),
  elapsedMs: () => performance.now(),
  async sleep(ms, signal) {
    const endsAtMs = performance.now() + ms;
    let leftMs = ms;
    do {
      await delay(Math.min(leftMs, TIMER_MS_MAX), undefined, signal ? { signal } : {});
      leftMs = endsAtMs - performance.now();
    } while (leftMs >= 1);
  },
};

/** A timer of Node's set for longer than this fires at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Goes by the clock of others, as far as it was heard of: two machines may differ by an hour. */
export type SharedClock = Clock &
  Readonly<{
    /** Of this machine alone, as the times of its files are. */
    own: Clock;
    /** `told`: what the others' clock said at some moment since `since`, by our own. */
    heard(told: string, since: Date): void;
  }>;

export function sharedClock(own: Clock): SharedClock {
  let aheadMs = 0;
  return {
    ...own,
    own,
    now: () => new Date(own.now().getTime() + aheadMs),
    // no more than it must: an answer that was long under way tells little, and must not hide that we slept
    heard: (told, since) => {
      const leastMs = Date.parse(told) - own.now().getTime();
      const mostMs = Date.parse(told) - since.getTime();
      aheadMs = Math.max(leastMs, Math.min(mostMs, aheadMs));
    },
  };
}
