import { resolve } from "node:path";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import type { Job } from "../../manifest/job.ts";
import { refusedLines } from "../../jobs-folder/failed-file.ts";
import { readManifest } from "../../jobs-folder/open.ts";
import { paidRows } from "../../words/paid-rows.ts";
import { counted } from "../../words/figures.ts";
import { hasFailedLines, resubmitFromSettings } from "../../stages.ts";
import { countLines } from "../../resubmit/resubmit.ts";

const NOTHING = "Nothing to resubmit: no failed line waits.";

/** Makes new jobs from the files given, or from every failed file that waits. */
export async function showResubmit(
  context: CommandContext,
  paths: readonly string[],
): Promise<CommandResult> {
  const { settings, next } = context;
  if (settings.dryRun) return showDryRun(context, paths);
  const { jobs: made, paid } = await resubmitFromSettings(context, paths);
  const { written, refused, lines } = paidRows(paid);
  const requests = made.reduce((sum, job) => sum + job.requests, 0);
  const ids = made.map((job) => job.id);
  return {
    json: { jobs: ids, requests, written, refused },
    text: [...lines, ...madeLines(ids, requests)].join("\n") || NOTHING,
    next: made.length > 0 ? next("submit") : undefined,
    exit: refused > 0 ? "rowsFailed" : "done",
  };
}

function madeLines(ids: readonly string[], requests: number): string[] {
  if (ids.length === 0) return [];
  return [
    `Made ${counted(ids.length, "job")} (${ids.join(", ")}) of ${counted(requests, "failed line")}.`,
  ];
}

async function showDryRun(
  { next, settings }: CommandContext,
  paths: readonly string[],
): Promise<CommandResult> {
  const view = await readManifest(settings.jobsDir);
  const isOf = (path: string, job: Job) => resolve(path) === resolve(view.files(job.id).failed);
  const isNamed = (job: Job) => paths.length === 0 || paths.some((path) => isOf(path, job));
  const others = paths.filter((path) => !view.jobs().some((job) => isOf(path, job)));
  const waiting = view.jobs().filter((job) => hasFailedLines(job) && isNamed(job));
  let requests = waiting.reduce((sum, job) => sum + job.outstanding.lines, 0);
  let refused = 0;
  for (const job of waiting) {
    for await (const _ of refusedLines(job, view.files(job.id))) refused += 1;
  }
  const ids = waiting.map((job) => job.id);
  const texts =
    waiting.length === 0
      ? []
      : [
          `Would resubmit ${counted(requests, "failed line")} of ${counted(waiting.length, "job")} (${ids.join(", ")}).`,
        ];
  if (refused > 0) {
    texts.push(
      `Of ${counted(refused, "line")} the table refused the vector: it is offered once more, at no cost.`,
    );
  }
  for (const path of others) {
    const lines = await countLines(path);
    requests += lines;
    if (lines > 0) texts.push(`Would submit up to ${counted(lines, "line")} of ${path}.`);
  }
  return {
    json: { jobs: [], wouldResubmit: ids, requests, refused, dryRun: true },
    text: texts.length === 0 ? NOTHING : texts.join("\n"),
    next: requests > 0 ? next("resubmit", ...paths) : undefined,
  };
}
