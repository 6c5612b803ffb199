/**
 * A clock whose time goes by only while nothing is at work: it jumps to the next sleeper's moment
 * when neither the event loop nor the file system has anything left to do. So hours of a real
 * pipeline, with its real files, take seconds.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../../src/clock.ts";

type Sleeper = Readonly<{ atMs: number; wake: () => void }>;

/** A file is being opened, read, written, synced or closed. */
const FILE_WORK = /^(FSReq|CloseReq)/;
const FILE_WAIT_MS = 1;
/** Turns of the event loop without file system calls after which nothing is at work. */
const QUIET_TURNS = 4;

export class VirtualClock implements Clock {
  #nowMs: number;
  readonly #startMs: number;
  #sleepers: Sleeper[] = [];

  constructor(startMs: number) {
    this.#nowMs = startMs;
    this.#startMs = startMs;
  }

  now(): Date {
    return new Date(this.#nowMs);
  }

  elapsedMs(): number {
    return this.#nowMs - this.#startMs;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const over = () => {
        this.#sleepers = this.#sleepers.filter((each) => each !== sleeper);
        signal?.removeEventListener("abort", abort);
      };
      const abort = () => {
        over();
        reject(signal?.reason);
      };
      const wake = () => {
        over();
        resolve();
      };
      const sleeper = { atMs: this.#nowMs + Math.max(0, ms), wake };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Lets time go by until the work is done. Throws where it waits for nothing that will come. */
  async during<T>(work: Promise<T>): Promise<T> {
    const state = { isDone: false };
    const settled = Promise.allSettled([work]).then(() => (state.isDone = true));
    for (;;) {
      await quiet();
      if (state.isDone) {
        await settled;
        return work;
      }
      const next = this.#sleepers.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) throw new Error("everything waits, and nobody sleeps");
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.wake();
    }
  }
}

async function quiet(): Promise<void> {
  for (let turns = 0; turns < QUIET_TURNS; turns += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    while (process.getActiveResourcesInfo().some((name) => FILE_WORK.test(name))) {
      await delay(FILE_WAIT_MS);
      turns = -1;
    }
  }
}
