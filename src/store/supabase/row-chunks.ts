/**
 * Rows in calls of a bounded size, a bounded number of calls at once. Measured: 100 rows a call and
 * 4 calls at once write the most; an ANN index on the column asks for far fewer, see `ChunkSize`.
 */
import { ChunkSize } from "./chunk-size.ts";
import { isTooMuch, RestError } from "./rest-failure.ts";
import type { Placed } from "../rows.ts";

const MAX_ROWS = 100;
/** A quarter of the 8 seconds after which Supabase stops a statement. */
const TARGET_MS = 2_000;
const MAX_CALLS = 4;
/** What a gateway takes in one request is not published; this has room below 4 MB. */
const MAX_BODY_BYTES = 3_000_000;
const BYTES_A_NUMBER = 14;

export class RowChunks {
  readonly #size: ChunkSize;
  readonly #maxRows: number;
  #calls = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(dimensions: number) {
    const fitting = Math.floor(MAX_BODY_BYTES / (dimensions * BYTES_A_NUMBER));
    this.#maxRows = Math.max(1, Math.min(MAX_ROWS, fitting));
    this.#size = new ChunkSize({ start: this.#maxRows, max: this.#maxRows, targetMs: TARGET_MS });
  }

  /**
   * Hands every row to `work` once, in chunks; those that are too much are cut and handed over
   * again. Resolves, or throws the first failure, when no call is under way any more.
   */
  async each(
    rows: readonly Placed[],
    work: (chunk: readonly Placed[]) => Promise<void>,
  ): Promise<void> {
    const left = [...rows];
    const worker = async (): Promise<void> => {
      while (left.length > 0) {
        await this.#inTurn(async () => {
          const chunk = left.splice(0, this.#size.rows);
          try {
            if (chunk.length > 0) left.push(...(await this.#attempt(chunk, work)));
          } catch (error) {
            left.length = 0; // nobody takes more
            throw error;
          }
        });
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: MAX_CALLS }, worker));
    for (const end of ended) if (end.status === "rejected") throw end.reason;
  }

  /** The rows that have to be handed over once more. */
  async #attempt(
    chunk: readonly Placed[],
    work: (chunk: readonly Placed[]) => Promise<void>,
  ): Promise<readonly Placed[]> {
    const started = performance.now();
    try {
      await work(chunk);
      this.#size.took(chunk.length, performance.now() - started);
      return [];
    } catch (error) {
      if (isTooMuch(error) || isSlow(error)) this.#size.tooMuch(chunk.length);
      if (isTooMuch(error) && chunk.length > 1) return chunk;
      throw error;
    }
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    while (this.#calls >= MAX_CALLS) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#calls += 1;
    try {
      await work();
    } finally {
      this.#calls -= 1;
      this.#waiting.shift()?.();
    }
  }
}

function isSlow(error: unknown): boolean {
  return error instanceof RestError && error.code === "QUERY_TIMEOUT";
}
