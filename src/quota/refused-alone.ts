/** Where Gemini refuses again and again although nothing is queued there, waiting alone may not help. */
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import type { Report } from "../progress.ts";

/** Fewer may be another client's doing, or a batch that has just ended. */
const REFUSALS_TO_NAME_CAUSES = 3;

/** The service's own words are the same for every cause. */
export function nameUsualCauses(
  { manifest, report }: Readonly<{ manifest: Manifest; report: Report }>,
  job: Job,
): void {
  const { active, refusalsInRow } = manifest.quota(job.target.model);
  if (active.batches > 0 || refusalsInRow < REFUSALS_TO_NAME_CAUSES) return;
  report({
    type: "warning",
    message: `Gemini has refused to start job ${job.id} for quota, the last of ${refusalsInRow} refusals in a row although nothing of this folder is queued. The usual causes: the project has no billing, or is on the free tier, which takes no batches; or another client of the same project fills its quota.`,
    hint: "https://aistudio.google.com/usage shows the project's limits and what uses them, https://aistudio.google.com/projects its billing.",
  });
}
