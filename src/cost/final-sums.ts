import { addSums, NO_ROWS, type Sums } from "../row/sums.ts";
import type { Job } from "../manifest/job.ts";

/** What the rows of these jobs came to in the end: one that was sent again counts once, as it ended. */
export function finalSums(jobs: readonly Job[]): Sums {
  return jobs.map(withoutPassedOn).reduce(addSums, NO_ROWS);
}

/** Rows of these jobs that were emptied since: they stand in no final sum. */
export function rolledBackRows(jobs: readonly Job[]): number {
  // a rollback may also have found the very same vector where another job had written it
  return jobs.reduce(
    (rows, { rolledBack, sums }) => rows + Math.min(rolledBack, sums?.written ?? 0),
    0,
  );
}

/** A job's rows without those that went on into another job, or back to be exported again. */
function withoutPassedOn(job: Job): Sums {
  const { sums, outstanding } = job;
  if (sums === undefined) return NO_ROWS;
  const passedOn = sums.failed - outstanding.lines;
  const takenBack = rolledBackRows([job]);
  return {
    ...sums,
    requests: sums.requests - passedOn - takenBack,
    written: sums.written - takenBack,
    failed: outstanding.lines,
  };
}
