/**
 * How many of the service's tokens one of our estimated tokens has turned out to be, for one target:
 * its texts are alike, and so is what the estimate gets wrong about them. Two things tell: a sample
 * that the service counted, and the counts in results. Whichever rests on more tokens is believed.
 */
import { sameTarget, type Target } from "../row/target.ts";
import { addBills, type Bill, billedBy, NO_BILL } from "../manifest/bill.ts";
import type { Job, TokenCount } from "../manifest/job.ts";

export type Correction = Readonly<{
  ratio: number;
  by: "nothing" | "count" | "bill";
  /** So many estimated tokens were compared. */
  tokens: number;
}>;

const NO_CORRECTION: Correction = { ratio: 1, by: "nothing", tokens: 0 };

/** What a new job's tokens were before the correction; undefined where there was none. */
export function uncorrected(tokens: number, ratio: number): number | undefined {
  return ratio === 1 ? undefined : Math.round(tokens / ratio);
}

/** Beyond this something else is wrong, such as a service that counts no tokens. */
const RATIO_MAX = 20;

export function correctionOf(
  jobs: readonly Job[],
  counted: TokenCount | undefined,
  target: Target,
): Correction {
  const own = jobs.filter((job) => sameTarget(job.target, target));
  return correctionBy(
    own.map((job) => billedBy(job) ?? NO_BILL).reduce(addBills, NO_BILL),
    counted,
  );
}

/** `bill`: of all jobs of the target. */
export function correctionBy(bill: Bill, counted: TokenCount | undefined): Correction {
  const byBill = correction("bill", Math.round(bill.estimated), bill.counted);
  const byCount = correction("count", counted?.estimated ?? 0, counted?.counted ?? 0);
  return byBill.tokens > byCount.tokens ? byBill : byCount;
}

function correction(by: "count" | "bill", estimated: number, counted: number): Correction {
  const ratio = counted / estimated;
  const isUsable = estimated > 0 && ratio >= 1 / RATIO_MAX && ratio <= RATIO_MAX;
  return isUsable ? { ratio, by, tokens: estimated } : NO_CORRECTION;
}
