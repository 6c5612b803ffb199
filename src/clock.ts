import { setTimeout as delay } from "node:timers/promises";

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
  sleep: (ms, signal) => delay(ms, undefined, signal ? { signal } : {}),
};
