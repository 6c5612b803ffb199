import { resolve } from "node:path";
import type { CommandContext, CommandResult } from "../command.ts";
import type { Job } from "../job/job.ts";
import { readManifest } from "../job/manifest.ts";
import { counted } from "../output/figures.ts";
import { hasFailedLines, resubmitFromSettings } from "./from-settings.ts";

const NOTHING = "Nothing to resubmit: no failed line waits.";

/** Makes new jobs from the files given, or from every failed file that waits. */
export async function showResubmit(
  context: CommandContext,
  paths: readonly string[],
): Promise<CommandResult> {
  const { settings, next } = context;
  if (settings.dryRun) return showDryRun(context, paths);
  const made = await resubmitFromSettings(context, paths);
  const requests = made.reduce((sum, job) => sum + job.requests, 0);
  const ids = made.map((job) => job.id);
  return {
    json: { jobs: ids, requests },
    text:
      made.length === 0
        ? NOTHING
        : `Made ${counted(made.length, "job")} (${ids.join(", ")}) of ${counted(requests, "failed line")}.`,
    next: made.length > 0 ? next("submit") : undefined,
    exit: "done",
  };
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
    text:
      waiting.length === 0
        ? NOTHING
        : `Would resubmit ${counted(requests, "failed line")} of ${counted(waiting.length, "job")} (${ids.join(", ")}).`,
    next: waiting.length > 0 ? next("resubmit") : undefined,
    exit: "done",
  };
}
