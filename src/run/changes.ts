import type { Clock } from "../clock.ts";

/** Wakes the tasks of the pipeline when one of them has changed something for the others. */
export class Changes {
  #waiting: (() => void)[] = [];

  notify(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** Resolves at the next `notify`, or when the signal is aborted. */
  next(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const wake = () => {
        signal.removeEventListener("abort", wake);
        this.#waiting = this.#waiting.filter((each) => each !== wake);
        resolve();
      };
      signal.addEventListener("abort", wake, { once: true });
      this.#waiting.push(wake);
    });
  }

  /** As `next`, but no longer than `ms`; infinite is allowed. */
  async nextWithin(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
    if (!Number.isFinite(ms)) return this.next(signal);
    const woken = new AbortController();
    const either = AbortSignal.any([signal, woken.signal]);
    // the sleep that loses is aborted, and says so
    const slept = clock.sleep(ms, either).catch(() => {});
    await Promise.race([slept, this.next(either)]);
    woken.abort();
  }
}
