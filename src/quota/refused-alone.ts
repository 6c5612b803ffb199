/** Where Gemini refuses again and again although nothing is queued there, waiting alone may not help. */
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import type { Report } from "../progress.ts";
import { count } from "../words/figures.ts";

type Telling = Readonly<{ manifest: Manifest; report: Report }>;

/** Fewer may be another client's doing, or a batch that has just ended. */
const REFUSALS_TO_NAME_CAUSES = 3;

/** The service's own words are the same for every cause. */
export function nameUsualCauses({ manifest, report }: Telling, job: Job): void {
  const { active, refusalsInRow } = manifest.quota(job.target.model, job.project);
  if (active.batches > 0 || refusalsInRow < REFUSALS_TO_NAME_CAUSES) return;
  report({
    type: "warning",
    message: `Gemini has refused to start job ${job.id} for quota, the last of ${refusalsInRow} refusals in a row although nothing of this folder is queued. The usual causes: the project has no billing, or is on the free tier, which takes no batches; or another client of the same project fills its quota.`,
    hint: "https://aistudio.google.com/usage shows the project's limits and what uses them, https://aistudio.google.com/projects its billing.",
  });
}

/** It may be more than is ever taken: `submit` alone does not cut it again. */
export function warnOfTooLarge({ manifest, report }: Telling, job: Job): void {
  const { tooLarge = Infinity, refusalsInRow } = manifest.quota(job.target.model, job.project);
  if (job.tokens < tooLarge) return;
  const smaller = Math.max(1, Math.floor(job.tokens / 2));
  report({
    type: "warning",
    message: `Job ${job.id} of ${count(job.tokens)} tokens was refused ${refusalsInRow} times although nothing of this folder is queued: it may be more than Gemini ever takes from this project.`,
    hint: `\`vecfill run\` makes smaller ones of it by itself. Or give it up, which costs nothing, and have its rows exported anew: \`vecfill cancel ${job.id}\`, then the same command with --max-job-tokens ${smaller}.`,
  });
}
