/**
 * A batch that does not end is a person's choice: wait, or cancel and pay again. So it is said, once
 * for each job and process, and nothing else is done: the clock may have jumped, and a batch that is
 * late is still paid for.
 */
import type { StageServices } from "../jobs-folder/stage-services.ts";
import { MS_PER_SECOND } from "../clock.ts";
import { BATCH_LIFE_HOURS, batchAgeMs, isStuck } from "../jobs-folder/batch-age.ts";
import type { Job } from "../manifest/job.ts";
import { duration } from "../words/figures.ts";

type Telling = Pick<StageServices, "clock" | "report">;

/** Warns where the job's batch has been there for too long. */
export function stuckNotices({ clock, report }: Telling, afterMs: number): (job: Job) => void {
  const told = new Set<string>();
  return (job) => {
    const now = clock.now();
    if (told.has(job.id) || !isStuck(job, now, afterMs)) return;
    told.add(job.id);
    const ageSeconds = Math.round(batchAgeMs(job, now) / MS_PER_SECOND);
    report({ type: "stuck", job: job.id, ageSeconds });
    report({
      type: "warning",
      message: `${stuckText(job, now)}, which is longer than usual. It has not been cancelled.`,
      hint: `Wait: Gemini itself ends a batch ${BATCH_LIFE_HOURS} hours after it was made. Or give it up: \`vecfill cancel ${job.id}\`, then \`vecfill poll\` and \`vecfill resubmit\`, which pays for its rows again.`,
    });
  };
}

/** `Job 0003 has been at Gemini for 1 d 3 h`. */
export function stuckText(job: Job, now: Date): string {
  const age = duration(batchAgeMs(job, now) / MS_PER_SECOND);
  return `Job ${job.id} has been at Gemini for ${age}`;
}
