import { fillings, type JobBounds, type JobSize, plus } from "../jobs-folder/cut.ts";
import { CANARY_ROWS } from "../quota/canary.ts";

/** Rows that are counted together: a job's end is known to so many of them. The first may go alone. */
const ROWS_A_SLICE = CANARY_ROWS;

/**
 * How many jobs the rows would be cut into, for a correction of their tokens that is known only when
 * all of them were seen. Sizes of slices are kept, so that it is right to a slice a job.
 */
export class JobCount {
  readonly #bounds: JobBounds;
  readonly #slices: JobSize[] = [];
  readonly #rowsASlice: number;
  #open: JobSize = EMPTY;

  constructor(bounds: JobBounds) {
    this.#bounds = bounds;
    // whole jobs, where these are smaller
    this.#rowsASlice = ROWS_A_SLICE - (ROWS_A_SLICE % Math.min(bounds.maxRows, ROWS_A_SLICE));
  }

  add(row: JobSize): void {
    this.#open = plus(this.#open, row);
    if (this.#open.rows < this.#rowsASlice) return;
    this.#slices.push(this.#open);
    this.#open = EMPTY;
  }

  /** `ratio`: of corrected tokens to those that were added. `withCanary`: the first slice goes alone. */
  jobs(ratio: number, withCanary = false): number {
    const slices = [...this.#slices, this.#open];
    // where jobs are as small as that anyway, it is one of them
    const alone = withCanary && this.#bounds.maxRows > ROWS_A_SLICE ? 1 : 0;
    return this.#jobsOf(slices.slice(0, alone), ratio) + this.#jobsOf(slices.slice(alone), ratio);
  }

  #jobsOf(slices: readonly JobSize[], ratio: number): number {
    let jobs = 0;
    let size = EMPTY;
    for (const { tokens, ...counted } of slices) {
      if (counted.rows === 0) continue;
      const slice = { ...counted, tokens: tokens * ratio };
      // a slice that no job holds is cut by its tokens, bytes and rows alone
      const own = Math.max(1, fillings(slice, this.#bounds));
      if (size.rows > 0 && fillings(plus(size, slice), this.#bounds) <= 1) {
        size = plus(size, slice);
      } else {
        jobs += Math.ceil(own);
        size = own > 1 ? EMPTY : slice;
      }
    }
    return jobs;
  }
}

const EMPTY: JobSize = { rows: 0, tokens: 0, bytes: 0 };
