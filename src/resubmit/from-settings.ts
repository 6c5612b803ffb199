import type { StageContext } from "../cli/command.ts";
import { targetOf } from "../settings/config.ts";
import type { Job } from "../manifest/job.ts";
import { jobBounds, paidRows, tryTables } from "../stages.ts";
import type { PaidRowsTold } from "../row/sums.ts";
import type { Target } from "../row/target.ts";
import { everyLine, resubmitFile, resubmitJob, type ResubmitServices } from "./resubmit.ts";

/** `paid`: rows that the table had refused, which were offered it once more instead of being sent. */
export type Resubmitted = Readonly<{ jobs: readonly Job[]; paid: PaidRowsTold }>;

/** New jobs from the files given, or from every failed file that waits, as the settings have it. */
export async function resubmitFromSettings(
  context: StageContext,
  paths: readonly string[],
): Promise<Resubmitted> {
  const { services, settings, report } = context;
  const manifest = await services.manifest();
  const bounds = jobBounds(settings);
  const paid = paidRows(context, manifest);
  const tryTable = (target: Target) =>
    tryTables(context, manifest, [target], { mayLackDatabase: true });
  const its: ResubmitServices = { manifest, report, tryTable, writePaid: paid.write };
  const jobs: Job[] = [];
  for (const path of paths) {
    jobs.push(...(await resubmitFile(its, path, bounds, targetOf(settings))));
  }
  const waiting = paths.length > 0 ? [] : manifest.jobs().filter(hasFailedLines);
  for (const job of waiting) jobs.push(...(await resubmitJob(its, job, bounds, everyLine)));
  return { jobs, paid: paid.told() };
}

export function hasFailedLines(job: Job): boolean {
  return job.outstanding.lines > 0;
}
