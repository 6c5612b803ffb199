/** A job that is refused again and again although nothing is queued would wait for ever, and why is seldom told. */
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { count } from "../words/figures.ts";
import type { Report } from "../progress.ts";

/** One refusal alone may be another client's doing. */
const REFUSALS_TO_TELL = 2;

const REFUSALS_TO_NAME_CAUSES = 3;
const USUAL_CAUSES =
  "The usual causes: the project has no billing or is on the free tier, which takes no batches, or another client of the same project fills its quota; https://aistudio.google.com/usage shows it. Else it is too large: ";

export function warnOfTooLarge(
  { manifest, report }: Readonly<{ manifest: Manifest; report: Report }>,
  job: Job,
): void {
  const { active, refusalsInRow, release } = manifest.quota(job.target.model);
  if (active.batches > 0 || release === "time" || refusalsInRow < REFUSALS_TO_TELL) return;
  const smaller = Math.max(1, Math.floor(job.tokens / 2));
  report({
    type: "warning",
    message: `Job ${job.id} of ${count(job.tokens)} tokens was refused ${refusalsInRow} times although nothing of this folder is queued: it may be more than Gemini ever takes from this project.`,
    hint: `${refusalsInRow < REFUSALS_TO_NAME_CAUSES ? "" : USUAL_CAUSES}Give it up, which costs nothing, and have its rows exported in smaller jobs: \`vecfill cancel ${job.id}\`, then the same command with --max-job-tokens ${smaller}.`,
  });
}
