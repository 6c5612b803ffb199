/**
 * Gemini's queue in a few numbers, for hundreds of cells a second: what gives quota back, how much there
 * is, what changes, and what the best planner, who knows all that, would have done.
 */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** `holds`: until so long after a batch's end its tokens count; `refillMs`: a bucket that drains. */
type Giving = Readonly<{ holds?: number; refillMs?: number }>;

export const GIVING = {
  "at ends": { holds: 0 },
  "1 min after": { holds: MINUTE_MS },
  "5 min after": { holds: 5 * MINUTE_MS },
  "20 min after": { holds: 20 * MINUTE_MS },
  "bucket of 5 min": { refillMs: 5 * MINUTE_MS },
  "bucket of 12.5 min": { refillMs: 12.5 * MINUTE_MS },
  "bucket of 30 min": { refillMs: 30 * MINUTE_MS },
  "bucket of 60 min": { refillMs: HOUR_MS },
  both: { holds: 0, refillMs: 12.5 * MINUTE_MS },
} as const satisfies Record<string, Giving>;
export const BATCH_MS = {
  "10 s": 10_000,
  "1 min": MINUTE_MS,
  "10 min": 10 * MINUTE_MS,
  "1 h": HOUR_MS,
  "6 h": 6 * HOUR_MS,
} as const;
export const SIZE = { advertised: 1, half: 0.5, tenth: 0.1, double: 2 } as const;
const CHANGE = ["none", "halved", "doubled", "half for an hour"] as const;
const JOBS_A_QUEUE = [33, 10, 1] as const;
const STOPS = ["none", "an hour"] as const;

export type Cell = Readonly<{
  giving: keyof typeof GIVING;
  batch: keyof typeof BATCH_MS;
  size: keyof typeof SIZE;
  change: (typeof CHANGE)[number];
  jobsAQueue: (typeof JOBS_A_QUEUE)[number];
  stop: (typeof STOPS)[number];
}>;

export function everyCell(): Cell[] {
  const cells: Cell[] = [];
  for (const giving of keysOf(GIVING))
    for (const batch of keysOf(BATCH_MS))
      for (const size of keysOf(SIZE))
        for (const change of CHANGE)
          for (const jobsAQueue of JOBS_A_QUEUE)
            for (const stop of STOPS) cells.push({ giving, batch, size, change, jobsAQueue, stop });
  return cells;
}

export function nameOf(cell: Cell): string {
  return Object.values(cell).join(", ");
}

/** From a moment on, so many times the quota. */
type Change = Readonly<{ atMs: number; times: number }>;

export type Plan = Readonly<{
  changes: readonly Change[];
  stop: Readonly<{ fromMs: number; toMs: number }> | undefined;
}>;

/** What is advertised. */
export const QUEUE = 1_000_000;
export const UPLOAD_MS = 1_000;
export const CREATE_MS = 2_000;
export const ACTIVE_MAX = 90;

/** The change comes in the middle of what the best planner would need without it, the stop after a third. */
export function planOf(cell: Cell, jobs: readonly number[]): Plan {
  const size = QUEUE * SIZE[cell.size];
  const fitting = jobs.every((tokens) => tokens <= size) ? jobs : jobs.flatMap(tenths);
  const allMs = bestMs(cell, fitting, { changes: [], stop: undefined });
  const middleMs = allMs / 2;
  const changes = {
    none: [],
    halved: [{ atMs: middleMs, times: 0.5 }],
    doubled: [{ atMs: middleMs, times: 2 }],
    "half for an hour": [
      { atMs: middleMs, times: 0.5 },
      { atMs: middleMs + HOUR_MS, times: 1 },
    ],
  }[cell.change];
  const fromMs = STOP_AFTER * allMs;
  return { changes, stop: cell.stop === "none" ? undefined : { fromMs, toMs: fromMs + HOUR_MS } };
}

const STOP_AFTER = 0.35;

/** When the last of these jobs is accepted, if each is sent as soon as it fits. */
export function bestMs(cell: Cell, jobs: readonly number[], plan: Plan): number {
  const quota = new Quota(cell, plan);
  const batchMs = BATCH_MS[cell.batch];
  const ends: number[] = [];
  let [nowMs, ended] = [0, 0];
  for (const tokens of jobs) {
    nowMs = whileNotStopped(nowMs + UPLOAD_MS + CREATE_MS, plan);
    for (;;) {
      while ((ends[ended] ?? Infinity) <= nowMs) ended += 1;
      const isFull = ends.length - ended >= ACTIVE_MAX;
      const fitsMs = isFull ? (ends[ended] ?? nowMs) : quota.fitsFromMs(nowMs, tokens);
      if (fitsMs === Infinity) return Infinity;
      if (fitsMs <= nowMs) break;
      nowMs = whileNotStopped(fitsMs, plan);
    }
    quota.take(nowMs, tokens, batchMs);
    ends.push(nowMs + batchMs);
  }
  return nowMs;
}

function whileNotStopped(nowMs: number, { stop }: Plan): number {
  if (stop === undefined || nowMs <= stop.fromMs || nowMs >= stop.toMs) return nowMs;
  return stop.toMs + UPLOAD_MS + CREATE_MS;
}

export class Quota {
  readonly #giving: Giving;
  readonly #size: number;
  readonly #changes: readonly Change[];
  readonly #held: { untilMs: number; tokens: number }[] = [];
  #first = 0;
  #heldTokens = 0;
  #level = 0;
  #nowMs = 0;

  constructor(cell: Cell, { changes }: Plan) {
    this.#giving = GIVING[cell.giving];
    this.#size = QUEUE * SIZE[cell.size];
    this.#changes = changes;
  }

  /** Times are to be asked in their order. */
  fits(nowMs: number, tokens: number): boolean {
    this.#advance(nowMs);
    const size = this.#sizeAt(nowMs) + ROUNDING;
    const { holds, refillMs } = this.#giving;
    const isHeld = holds !== undefined && this.#heldTokens + tokens > size;
    return !isHeld && !(refillMs !== undefined && this.#level + tokens > size);
  }

  take(nowMs: number, tokens: number, batchMs: number): void {
    this.#advance(nowMs);
    const { holds, refillMs } = this.#giving;
    if (holds !== undefined) {
      this.#held.push({ untilMs: nowMs + batchMs + holds, tokens });
      this.#heldTokens += tokens;
    }
    if (refillMs !== undefined) this.#level += tokens;
  }

  /** The next moment at which so many tokens may fit; it is to be asked again then. */
  fitsFromMs(nowMs: number, tokens: number): number {
    if (this.fits(nowMs, tokens)) return nowMs;
    const size = this.#sizeAt(nowMs);
    const next = Math.max(
      this.#releasedMs(nowMs, size - tokens),
      this.#drainedMs(nowMs, size, tokens),
    );
    return Math.min(Math.max(next, nowMs + 1), this.#nextChangeMs(nowMs));
  }

  #releasedMs(nowMs: number, room: number): number {
    let [sum, at] = [this.#heldTokens, this.#first];
    let untilMs = nowMs;
    while (at < this.#held.length && sum > room + ROUNDING) {
      sum -= this.#held[at]?.tokens ?? 0;
      untilMs = this.#held[at]?.untilMs ?? nowMs;
      at += 1;
    }
    return sum > room + ROUNDING ? Infinity : untilMs;
  }

  #drainedMs(nowMs: number, size: number, tokens: number): number {
    const { refillMs } = this.#giving;
    if (refillMs === undefined) return nowMs;
    if (tokens > size + ROUNDING) return Infinity;
    return nowMs + Math.max(0, ((this.#level + tokens - size) * refillMs) / size);
  }

  #advance(nowMs: number): void {
    for (;;) {
      const first = this.#held[this.#first];
      if (first === undefined || first.untilMs > nowMs) break;
      this.#heldTokens -= first.tokens;
      this.#first += 1;
    }
    const { refillMs } = this.#giving;
    while (this.#nowMs < nowMs) {
      const toMs = Math.min(nowMs, this.#nextChangeMs(this.#nowMs));
      const drained =
        refillMs === undefined ? 0 : (this.#sizeAt(this.#nowMs) / refillMs) * (toMs - this.#nowMs);
      this.#level = Math.max(0, this.#level - drained);
      this.#nowMs = toMs;
    }
  }

  #sizeAt(nowMs: number): number {
    return this.#size * (this.#changes.findLast(({ atMs }) => atMs <= nowMs)?.times ?? 1);
  }

  #nextChangeMs(nowMs: number): number {
    return this.#changes.find(({ atMs }) => atMs > nowMs)?.atMs ?? Infinity;
  }
}

const ROUNDING = 1e-3;
const TENTHS = 10;

function tenths(tokens: number): number[] {
  return Array.from({ length: TENTHS }, () => tokens / TENTHS);
}

function keysOf<Key extends string>(from: Readonly<Record<Key, unknown>>): Key[] {
  const isKey = (key: string): key is Key => Object.hasOwn(from, key);
  return Object.keys(from).filter(isKey);
}
