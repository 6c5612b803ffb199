import { addSums, NO_ROWS, type Sums } from "../sums.ts";
import type { Job } from "./job.ts";

/** What the rows of these jobs came to in the end: one that was sent again counts once, as it ended. */
export function finalSums(jobs: readonly Job[]): Sums {
  return jobs.map(withoutPassedOn).reduce(addSums, NO_ROWS);
}

/** A job's rows without those that went on into another job, or back to be exported again. */
function withoutPassedOn({ sums, outstanding }: Job): Sums {
  if (sums === undefined) return NO_ROWS;
  const passedOn = sums.failed - outstanding.lines;
  return { ...sums, requests: sums.requests - passedOn, failed: outstanding.lines };
}
