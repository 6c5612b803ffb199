/** A job that is refused again and again although nothing is queued: `submit` alone does not cut it again. */
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { count } from "../words/figures.ts";
import type { Report } from "../progress.ts";

export function warnOfTooLarge(
  { manifest, report }: Readonly<{ manifest: Manifest; report: Report }>,
  job: Job,
): void {
  const { tooLarge = Infinity, refusalsInRow } = manifest.quota(job.target.model);
  if (job.tokens < tooLarge) return;
  const smaller = Math.max(1, Math.floor(job.tokens / 2));
  report({
    type: "warning",
    message: `Job ${job.id} of ${count(job.tokens)} tokens was refused ${refusalsInRow} times although nothing of this folder is queued: it may be more than Gemini ever takes from this project.`,
    hint: `\`vecfill run\` makes smaller ones of it by itself. Or give it up, which costs nothing, and have its rows exported anew: \`vecfill cancel ${job.id}\`, then the same command with --max-job-tokens ${smaller}.`,
  });
}
