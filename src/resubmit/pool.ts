/** Jobs whose failed lines go together into few new jobs: of one target, and sent equally often. */
import { fillings, type JobBounds, type JobSize, plus } from "../jobs-folder/cut.ts";
import type { Job } from "../manifest/job.ts";
import { sameTarget } from "../row/target.ts";

/** `size`: of the lines that may succeed, about. */
export type Pool = Readonly<{ first: Job; jobs: ReadonlyMap<string, Job>; size: JobSize }>;

export class Pools {
  #pools: (Pool & { jobs: Map<string, Job>; size: JobSize })[] = [];

  constructor(jobs: readonly Job[] = []) {
    for (const job of jobs) this.add(job);
  }

  get isEmpty(): boolean {
    return this.#pools.length === 0;
  }

  /** How many jobs their lines make, about. */
  jobCount(bounds: JobBounds): number {
    return this.#pools.reduce((sum, { size }) => sum + Math.ceil(fillings(size, bounds)), 0);
  }

  /** Again does no harm. */
  add(job: Job): void {
    const pool = this.#pools.find(({ first }) => goesWith(first, job));
    const jobs = new Map([[job.id, job]]);
    if (pool === undefined) this.#pools.push({ first: job, jobs, size: retryable(job) });
    else if (!pool.jobs.has(job.id)) {
      pool.jobs.set(job.id, job);
      pool.size = plus(pool.size, retryable(job));
    }
  }

  some(isDue: (pool: Pool) => boolean): boolean {
    return this.#pools.some(isDue);
  }

  /** Those that hold, which are kept no longer. */
  take(isDue: (pool: Pool) => boolean = () => true): readonly Pool[] {
    const due = this.#pools.filter(isDue);
    if (due.length > 0) this.#pools = this.#pools.filter((pool) => !due.includes(pool));
    return due;
  }
}

function goesWith(first: Job, job: Job): boolean {
  return first.attempt === job.attempt && sameTarget(first.target, job.target);
}

function retryable({ outstanding, requests, tokens, requestFile }: Job): JobSize {
  const rows = outstanding.retryable;
  const share = rows / requests;
  return { rows, tokens: tokens * share, bytes: requestFile.bytes * share };
}
