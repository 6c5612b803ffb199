import { resolve } from "node:path";
import type { CommandContext, CommandResult } from "../command.ts";
import { targetOf } from "../config.ts";
import type { Job } from "../job/job.ts";
import { readManifest } from "../job/manifest.ts";
import { jobBounds } from "../job-bounds.ts";
import { counted } from "../output/figures.ts";
import { everyLine, resubmitFile, resubmitJob } from "./resubmit.ts";

/** Makes new jobs from the files given, or from every failed file that waits. */
export async function showResubmit(
  context: CommandContext,
  paths: readonly string[],
): Promise<CommandResult> {
  const { services, settings, report, next } = context;
  if (settings.dryRun) return showDryRun(context, paths);
  const manifest = await services.manifest();
  const bounds = jobBounds(settings);
  const made: Job[] = [];
  if (paths.length > 0) {
    const target = targetOf(settings);
    for (const path of paths) {
      made.push(...(await resubmitFile({ manifest, report }, path, bounds, target)));
    }
  } else {
    for (const job of manifest.jobs().filter(hasFailedLines)) {
      made.push(...(await resubmitJob({ manifest, report }, job, bounds, everyLine)));
    }
  }
  const requests = made.reduce((sum, job) => sum + job.requests, 0);
  const ids = made.map((job) => job.id);
  return {
    json: { jobs: ids, requests },
    text:
      made.length === 0
        ? "Nothing to resubmit: no failed line waits."
        : `Made ${counted(made.length, "job")} (${ids.join(", ")}) of ${counted(requests, "failed line")}.`,
    next: made.length > 0 ? next("submit") : undefined,
    exit: "done",
  };
}

function hasFailedLines(job: Job): boolean {
  return job.outstanding.lines > 0;
}

async function showDryRun(
  { next, settings }: CommandContext,
  paths: readonly string[],
): Promise<CommandResult> {
  const view = await readManifest(settings.jobsDir);
  const isNamed = (job: Job) =>
    paths.length === 0 ||
    paths.some((path) => resolve(path) === resolve(view.files(job.id).failed));
  const waiting = view.jobs().filter((job) => hasFailedLines(job) && isNamed(job));
  const requests = waiting.reduce((sum, job) => sum + job.outstanding.lines, 0);
  const ids = waiting.map((job) => job.id);
  return {
    json: { jobs: [], wouldResubmit: ids, requests, dryRun: true },
    text: `Would resubmit ${counted(requests, "failed line")} of ${counted(waiting.length, "job")} (${ids.join(", ")}).`,
    next: waiting.length > 0 ? next("resubmit") : undefined,
    exit: "done",
  };
}
