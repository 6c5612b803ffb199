/** A job that is refused again and again although nothing is queued would wait for ever, and why is seldom told. */
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { count } from "../words/figures.ts";
import type { ProgressEvent, Report } from "../progress.ts";

/** One refusal alone may be another client's doing. */
const REFUSALS_TO_TELL = 2;
const REFUSALS_TO_NAME_CAUSES = 3;

/** Warns where Gemini has refused so often that waiting alone may not help. */
export function warnOfRefusals(
  { manifest, report }: Readonly<{ manifest: Manifest; report: Report }>,
  job: Job,
): void {
  const { active, refusalsInRow, refusalsAlone, release } = manifest.quota(job.target.model);
  if (active.batches > 0) return;
  if (refusalsAlone >= REFUSALS_TO_NAME_CAUSES) return report(usualCauses(job, refusalsAlone));
  if (release === "time" || refusalsInRow < REFUSALS_TO_TELL) return;
  report({
    type: "warning",
    message: `Job ${job.id} of ${count(job.tokens)} tokens was refused ${refusalsInRow} times although nothing of this folder is queued: it may be more than Gemini ever takes from this project.`,
    hint: `Give it up, which costs nothing, and have its rows exported in smaller jobs: ${smaller(job)}.`,
  });
}

function usualCauses(job: Job, refusals: number): ProgressEvent {
  return {
    type: "warning",
    message: `Gemini has refused to start job ${job.id} for quota, the last of ${refusals} refusals in a row although nothing of this folder is queued. The usual causes: the project has no billing or is on the free tier, which takes no batches; another client of the same project fills its quota; or ${count(job.tokens)} tokens are more than it ever takes at once.`,
    hint: `https://aistudio.google.com/usage shows the project's limits and what uses them, https://aistudio.google.com/projects its billing. A job that is too large is given up at no cost, and its rows are exported in smaller ones: ${smaller(job)}.`,
  };
}

function smaller({ id, tokens }: Job): string {
  const maxTokens = Math.max(1, Math.floor(tokens / 2));
  return `\`vecfill cancel ${id}\`, then the same command with --max-job-tokens ${maxTokens}`;
}
