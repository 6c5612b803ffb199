/** Rows that a pass leaves out of its jobs, by why. */
export type Skipped = Readonly<{
  empty: number;
  tooLong: number;
  inFlight: number;
  failedBefore: number;
  paidBefore: number;
}>;

export type SkipReason = keyof Skipped;

export const NONE_SKIPPED: Skipped = {
  empty: 0,
  tooLong: 0,
  inFlight: 0,
  failedBefore: 0,
  paidBefore: 0,
};
