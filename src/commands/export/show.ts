import { INTERRUPTED_EARLY, copiesLines, skippedLines } from "../../words/sums-text.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { count, counted } from "../../words/figures.ts";
import type { ExportSummary } from "../../export/export.ts";
import { exportFromSettings } from "../../composition/stages.ts";

export async function showExport(context: CommandContext): Promise<CommandResult> {
  const { services, settings, next, signal } = context;
  const summary = await exportFromSettings(context);
  const { exported, copies, skipped, jobs, tokens } = summary;
  const manifest = await (settings.dryRun ? services.view() : services.manifest());
  const waiting = manifest.needing("send").length > 0;
  return {
    json: { exported, copies, skipped, jobs, tokens },
    text: exportText(summary, settings.dryRun, signal.aborted),
    selected: exported,
    next: waiting ? next("submit") : skipped.paidBefore > 0 ? next("run") : undefined,
  };
}

function exportText(summary: ExportSummary, dryRun: boolean, isInterrupted: boolean): string {
  const { exported, copies, jobCount, tokens } = summary;
  const what = `${counted(exported, "row")} into ${counted(jobCount, "job")}, about ${count(tokens)} tokens`;
  const said = dryRun ? `Would export ${what}.` : `Exported ${what}.`;
  const nothing = isInterrupted ? INTERRUPTED_EARLY : "Nothing to export.";
  const lines = [exported === 0 ? nothing : said, ...copiesLines(copies)];
  return [...lines, ...skippedLines(summary)].join("\n");
}
