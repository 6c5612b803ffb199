/**
 * `--pace`: how fast a database in use is written to. Either so many rows a second, or `auto`: the
 * time that statements take is watched, and when one takes longer than is usual, the next one waits,
 * the longer the slower it was. What is usual is the shortest time seen, which fades: a database that
 * stays slow is slow for another reason, and waiting helps nobody.
 */
import { type Clock, MS_PER_SECOND } from "../clock.ts";

/** Rows a second, or `auto`. */
export type Pace = number | "auto";

/** Shared by everything that writes to the database. */
export type Pacer = Readonly<{
  /** More rows in one statement would be a burst. */
  maxRows: number;
  /**
   * Writes when its turn has come. `rows`: offered to the store, whatever comes of them. Once the signal is aborted
   * nothing waits: the few chunks in hand are written at once.
   */
  paced<T>(rows: number, signal: AbortSignal, write: () => Promise<T>): Promise<T>;
}>;

/** Slower than this, in usual times, is not chance. */
const SLOW = 2;
/** The usual time grows so much with every statement that takes longer. */
const FADING = 1.01;
const MAX_REST_MS = 10_000;
/** In smaller statements the way there and back is what takes time. */
const MIN_ROWS_TO_LEARN_FROM = 100;

/** Undefined: as fast as can be. */
export function createPacer(pace: Pace | undefined, clock: Clock): Pacer {
  if (pace === undefined) return UNPACED;
  return pace === "auto" ? backingOff(clock) : atRate(pace, clock);
}

export const UNPACED: Pacer = { maxRows: Infinity, paced: (_rows, _signal, write) => write() };

function atRate(rowsASecond: number, clock: Clock): Pacer {
  let freeAtMs = 0;
  return {
    maxRows: rowsASecond,
    async paced(rows, signal, write) {
      const turnMs = Math.max(clock.elapsedMs(), freeAtMs);
      freeAtMs = turnMs + (rows / rowsASecond) * MS_PER_SECOND;
      await restUntil(turnMs, clock, signal);
      return write();
    },
  };
}

function backingOff(clock: Clock): Pacer {
  let freeAtMs = 0;
  let usualMsARow = Infinity;
  const learn = (rows: number, tookMs: number) => {
    if (rows < MIN_ROWS_TO_LEARN_FROM) return;
    const slowness = tookMs / rows / usualMsARow;
    usualMsARow = Math.min(tookMs / rows, usualMsARow * FADING);
    if (slowness < SLOW) return;
    freeAtMs = clock.elapsedMs() + Math.min(tookMs * (slowness - 1), MAX_REST_MS);
  };
  return {
    maxRows: Infinity,
    async paced(rows, signal, write) {
      await restUntil(freeAtMs, clock, signal);
      const startMs = clock.elapsedMs();
      const result = await write();
      learn(rows, clock.elapsedMs() - startMs);
      return result;
    },
  };
}

async function restUntil(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  const leftMs = ms - clock.elapsedMs();
  if (leftMs <= 0) return;
  try {
    await clock.sleep(leftMs, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
