import type { Outcomes } from "../progress.ts";

/** What the rows of a job came to. For an ended job: requests = all the others together. */
export type Sums = Outcomes & Readonly<{ requests: number }>;

export const NO_ROWS: Sums = { requests: 0, written: 0, failed: 0, stale: 0, filled: 0, gone: 0 };

export function addSums(a: Sums, b: Sums): Sums {
  return {
    requests: a.requests + b.requests,
    written: a.written + b.written,
    failed: a.failed + b.failed,
    stale: a.stale + b.stale,
    filled: a.filled + b.filled,
    gone: a.gone + b.gone,
  };
}

export function balanced({ requests, written, failed, stale, filled, gone }: Sums): boolean {
  return requests === written + failed + stale + filled + gone;
}
