import { addSums, NO_ROWS, type Sums } from "../row/sums.ts";
import type { Job } from "../manifest/job.ts";

/** What the rows of these jobs came to in the end: one that was sent again counts once, as it ended. */
export function finalSums(jobs: readonly Job[]): Sums {
  return jobs.map(withoutPassedOn).reduce(addSums, NO_ROWS);
}

/** A job's rows without those that went on into another job, or back to be exported again. */
function withoutPassedOn({ sums, outstanding, rolledBack }: Job): Sums {
  if (sums === undefined) return NO_ROWS;
  const passedOn = sums.failed - outstanding.lines;
  // a rollback may also have found the very same vector where another job had written it
  const takenBack = Math.min(rolledBack, sums.written);
  return {
    ...sums,
    requests: sums.requests - passedOn - takenBack,
    written: sums.written - takenBack,
    failed: outstanding.lines,
  };
}
