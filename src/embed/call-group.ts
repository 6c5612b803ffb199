/**
 * How calls that are paid for once they have left come to an end together: when the work is to stop,
 * or one of them has failed, nothing more is sent, and what is under way is waited for, but briefly.
 */
import type { EmbedSignals } from "../gemini/port.ts";

/** Of real time: an answer takes a second or two. */
const GRACE_MS = 10_000;

export class CallGroup implements EmbedSignals {
  readonly stop: AbortSignal;
  readonly drop: AbortSignal;
  readonly #outer: AbortSignal;
  readonly #failed = new AbortController();
  readonly #dropped = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(signal: AbortSignal) {
    this.#outer = signal;
    this.stop = AbortSignal.any([signal, this.#failed.signal]);
    this.drop = this.#dropped.signal;
  }

  /** Starts all of it and waits for each. Throws what failed first, but not what the stop itself made. */
  async all(works: readonly (() => Promise<void>)[]): Promise<void> {
    const startTimer = () => {
      this.#timer ??= setTimeout(() => this.#dropped.abort(), GRACE_MS);
    };
    if (this.stop.aborted) startTimer();
    this.stop.addEventListener("abort", startTimer, { once: true });
    const failures: unknown[] = [];
    const guarded = async (work: () => Promise<void>) => {
      try {
        await work();
      } catch (error) {
        if (!this.#isOwn(error)) failures.push(error);
        this.#failed.abort();
      }
    };
    await Promise.all(works.map(guarded));
    this.stop.removeEventListener("abort", startTimer);
    clearTimeout(this.#timer);
    if (failures.length > 0) throw failures[0];
  }

  /** The end of a wait or of a call that was given up. */
  #isOwn(error: unknown): boolean {
    if (!this.stop.aborted || !(error instanceof Error)) return false;
    return error === this.#outer.reason || error.name === "AbortError";
  }
}
