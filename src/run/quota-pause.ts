import type { Clock } from "../clock.ts";
import type { Changes } from "./changes.ts";

const GROWTH = 2;
const MAX_WAIT_MS = 15 * 60 * 1000;
/** What the service asks for is believed up to here: the day's quota comes back after a day. */
const MAX_ASKED_MS = 24 * 60 * 60 * 1000;

/**
 * How long to wait after a create was refused for quota. The quota refills over minutes and the
 * refusal says nothing: the wait grows while refusals go on, and ends early when a batch has ended,
 * since that gives quota back.
 */
export class QuotaPause {
  readonly #clock: Clock;
  readonly #firstMs: number;
  #nextMs: number;

  constructor(clock: Clock, firstMs: number) {
    this.#clock = clock;
    this.#firstMs = firstMs;
    this.#nextMs = firstMs;
  }

  /** The wait after one more refusal; what the service asks for counts when it is longer. */
  next(retryAfterMs: number | undefined): number {
    const waitMs = Math.max(this.#nextMs, Math.min(retryAfterMs ?? 0, MAX_ASKED_MS));
    this.#nextMs = Math.min(this.#nextMs * GROWTH, Math.max(MAX_WAIT_MS, this.#firstMs));
    return waitMs;
  }

  reset(): void {
    this.#nextMs = this.#firstMs;
  }

  /** Waits so long, or until more jobs have ended than at the start. */
  async wait(
    ms: number,
    changes: Changes,
    signal: AbortSignal,
    endedJobs: () => number,
  ): Promise<void> {
    const endedBefore = endedJobs();
    const endsAtMs = this.#clock.elapsedMs() + ms;
    while (!signal.aborted) {
      const leftMs = endsAtMs - this.#clock.elapsedMs();
      if (leftMs <= 0) return;
      if (endedJobs() > endedBefore) return this.reset();
      await changes.nextWithin(leftMs, this.#clock, signal);
    }
  }
}
