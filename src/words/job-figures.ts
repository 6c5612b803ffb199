import { finalSums, rolledBackRows } from "../cost/final-sums.ts";
import type { Job } from "../manifest/job.ts";

export type JobFigures = Readonly<Record<"written" | "failed" | "again" | "other", number>>;

/** What titles mean that do not tell it. */
export const FIGURES_MEAN: Partial<Readonly<Record<keyof JobFigures, string>>> = {
  again: "failed rows that were sent again: they count in their new job",
  other: "rows whose text changed, filled by someone else, deleted, or rolled back",
};

/** What became of a job's rows, as lists of jobs have it: together it is all of them. Undefined until it has ended. */
export function jobFigures(job: Job): JobFigures | undefined {
  if (job.sums === undefined) return undefined;
  const { written, failed, stale, filled, gone } = finalSums([job]);
  const again = job.sums.failed - failed;
  return { written, failed, again, other: stale + filled + gone + rolledBackRows([job]) };
}
