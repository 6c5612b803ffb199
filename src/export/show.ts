import type { CommandContext, CommandResult } from "../command.ts";
import { targetOf } from "../config.ts";
import { previewManifest } from "../job/manifest.ts";
import { jobBounds } from "../job-bounds.ts";
import { count, counted } from "../output/figures.ts";
import { exportAll, type ExportOptions, type ExportSummary } from "./export.ts";

export async function showExport(context: CommandContext): Promise<CommandResult> {
  const { services, settings, report, signal, next } = context;
  const options = exportOptions(context);
  const store = await services.store(options.target);
  const manifest = settings.dryRun
    ? await previewManifest(settings.jobsDir)
    : await services.manifest();
  const summary = await exportAll({ store, manifest, report, signal }, options);
  const { exported, skipped, jobs, tokens } = summary;
  const waiting = manifest.jobs().some((job) => job.state === "exported");
  return {
    json: { exported, skipped, jobs, tokens },
    text: exportText(summary, settings.dryRun),
    next: waiting ? next("submit") : undefined,
    exit: "done",
  };
}

export function exportOptions({ settings }: Pick<CommandContext, "settings">): ExportOptions {
  const { limit, onTooLong, dryRun } = settings;
  return { target: targetOf(settings), bounds: jobBounds(settings), limit, onTooLong, dryRun };
}

function exportText(summary: ExportSummary, dryRun: boolean): string {
  const { exported, jobCount, tokens } = summary;
  const what = `${counted(exported, "row")} into ${counted(jobCount, "job")}, about ${count(tokens)} tokens`;
  const said = dryRun ? `Would export ${what}.` : `Exported ${what}.`;
  return [exported === 0 ? "Nothing to export." : said, ...skippedLines(summary)].join("\n");
}

/** A line for each reason for which rows were left out. */
export function skippedLines({
  skipped,
  tooLongFile,
}: Pick<ExportSummary, "skipped" | "tooLongFile">): string[] {
  const list = tooLongFile === undefined ? "" : `, listed in ${tooLongFile}`;
  const lines: [number, string][] = [
    [skipped.empty, "without text"],
    [skipped.tooLong, `longer than the model takes${list}`],
    [skipped.inFlight, "already in a job that has not ended"],
    [skipped.failedBefore, "waiting in a failed file: `vecfill resubmit` sends them again"],
  ];
  return lines
    .filter(([rows]) => rows > 0)
    .map(([rows, why]) => `Left out: ${counted(rows, "row")} ${why}.`);
}
