import type { Job } from "./job.ts";

/** Tokens of jobs: as they were estimated without correction, and as results told them. */
export type Bill = Readonly<{ estimated: number; counted: number }>;

export const NO_BILL: Bill = { estimated: 0, counted: 0 };

/** Rows that failed are on neither side. Undefined where the results told nothing. */
export function billedBy({
  billedTokens,
  sums,
  requests,
  uncorrectedTokens,
}: Job): Bill | undefined {
  if (billedTokens === undefined || sums === undefined) return undefined;
  const estimated = uncorrectedTokens * (1 - sums.failed / requests);
  return { estimated, counted: billedTokens };
}

export function addBills(a: Bill, b: Bill): Bill {
  return { estimated: a.estimated + b.estimated, counted: a.counted + b.counted };
}
