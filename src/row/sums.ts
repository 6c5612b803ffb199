import type { Outcomes } from "../progress.ts";

/** What the rows of a job came to. For an ended job: requests = all the others together. */
export type Sums = Outcomes & Readonly<{ requests: number }>;

export const NO_ROWS: Sums = { requests: 0, written: 0, failed: 0, stale: 0, filled: 0, gone: 0 };

type Counts<K extends string> = Readonly<Record<K, number>>;

/** Member by member. */
export function addSums<K extends string>(a: Counts<K>, b: Counts<K>): Counts<K> {
  const sums: Record<K, number> = { ...a };
  for (const name in b) sums[name] += b[name];
  return sums;
}

export function balanced({ requests, written, failed, stale, filled, gone }: Sums): boolean {
  return requests === written + failed + stale + filled + gone;
}
