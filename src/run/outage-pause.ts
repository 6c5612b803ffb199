import type { Clock } from "../clock.ts";
const GROWTH = 2;
const MAX_WAIT_MS = 15 * 60 * 1000;

/** How long to wait where Gemini did not answer: the longer, the more often in a row. */
export class OutagePause {
  readonly #clock: Clock;
  readonly #firstMs: number;
  #nextMs: number;

  constructor(clock: Clock, firstMs: number) {
    this.#clock = clock;
    this.#firstMs = firstMs;
    this.#nextMs = firstMs;
  }

  next(): number {
    const waitMs = this.#nextMs;
    this.#nextMs = Math.min(this.#nextMs * GROWTH, Math.max(MAX_WAIT_MS, this.#firstMs));
    return waitMs;
  }

  reset(): void {
    this.#nextMs = this.#firstMs;
  }

  wait(ms: number, signal: AbortSignal): Promise<void> {
    // whoever is stopped looks at the signal next
    return this.#clock.sleep(ms, signal).catch(() => {});
  }
}
