import type { StageContext } from "../cli/command.ts";
import { targetOf } from "../settings/config.ts";
import type { Job } from "../manifest/job.ts";
import { jobBounds } from "../stages.ts";
import { everyLine, resubmitFile, resubmitJob } from "./resubmit.ts";

/** New jobs from the files given, or from every failed file that waits, as the settings have it. */
export async function resubmitFromSettings(
  { services, settings, report }: StageContext,
  paths: readonly string[],
): Promise<readonly Job[]> {
  const manifest = await services.manifest();
  const bounds = jobBounds(settings);
  const made: Job[] = [];
  for (const path of paths) {
    made.push(...(await resubmitFile({ manifest, report }, path, bounds, targetOf(settings))));
  }
  const waiting = paths.length > 0 ? [] : manifest.jobs().filter(hasFailedLines);
  for (const job of waiting) {
    made.push(...(await resubmitJob({ manifest, report }, job, bounds, everyLine)));
  }
  return made;
}

export function hasFailedLines(job: Job): boolean {
  return job.outstanding.lines > 0;
}
