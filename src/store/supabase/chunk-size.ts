/**
 * How much goes into one call: it follows the time that calls take, since a server that stops
 * statements after a few seconds stops the whole call.
 */
export type ChunkLimits = Readonly<{ start: number; max: number; targetMs: number }>;

/** A step never changes the size by more than this, so that one odd call does little. */
const MAX_STEP = 2;
/** Of what was too much, so much is tried again while the memory of it is fresh. */
const CEILING_SHARE = 0.75;
/** What was too much once is not tried again before so many calls have passed. */
const CALLS_BELOW_CEILING = 100;

export class ChunkSize {
  readonly #limits: ChunkLimits;
  #rows: number;
  #ceiling: number;
  #callsLeft = 0;

  constructor(limits: ChunkLimits) {
    this.#limits = limits;
    this.#rows = limits.start;
    this.#ceiling = limits.max;
  }

  /** For the next call; at least 1. */
  get rows(): number {
    return this.#rows;
  }

  /** A call of `rows` rows took so long. A small one says nothing about larger ones. */
  took(rows: number, ms: number): void {
    const { max, targetMs } = this.#limits;
    this.#callsLeft -= 1;
    if (this.#callsLeft <= 0) this.#ceiling = max;
    const ideal = (rows * targetMs) / Math.max(ms, 1);
    const step = Math.min(this.#rows * MAX_STEP, Math.max(this.#rows / MAX_STEP, ideal));
    if (step > this.#rows && rows < this.#rows) return;
    this.#rows = Math.max(1, Math.min(this.#ceiling, Math.floor(step)));
  }

  /** A call of `rows` rows was more than the server does at once. */
  tooMuch(rows: number): void {
    this.#ceiling = Math.max(1, Math.min(this.#ceiling, Math.floor(rows * CEILING_SHARE)));
    this.#callsLeft = CALLS_BELOW_CEILING;
    this.#rows = Math.max(1, Math.min(this.#rows, Math.floor(rows / MAX_STEP)));
  }
}
