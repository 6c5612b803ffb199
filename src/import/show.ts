import type { CommandContext, CommandResult } from "../command.ts";
import type { JobState } from "../job/job.ts";
import { readManifest } from "../job/manifest.ts";
import { counted } from "../output/figures.ts";
import { sumsText } from "../output/sums-text.ts";
import { balanced, NO_ROWS } from "../sums.ts";
import { importFromSettings } from "./from-settings.ts";
import { isImportable } from "./import.ts";

export async function showImport(context: CommandContext): Promise<CommandResult> {
  const { services, settings, next } = context;
  if (settings.dryRun) return showDryRun(context);
  const manifest = await services.manifest();
  if (!manifest.jobs().some(isImportable)) return nothingToImport(context);
  const { imported, failedFiles, ...sums } = await importFromSettings(context);
  if (!balanced(sums)) throw new Error(`the sums do not balance: ${JSON.stringify(sums)}`);
  return {
    json: { imported, ...sums },
    text: [`Imported ${counted(imported.length, "job")}.`, sumsText(sums, failedFiles)].join("\n"),
    next: sums.failed > 0 ? next("resubmit") : undefined,
    exit: sums.failed > 0 ? "rowsFailed" : "done",
  };
}

async function nothingToImport({ next, settings }: CommandContext): Promise<CommandResult> {
  const jobs = (await readManifest(settings.jobsDir)).jobs();
  const isAny = (...states: readonly JobState[]) =>
    jobs.some(({ state }) => states.includes(state));
  const step = isAny("submitted")
    ? "poll"
    : isAny("exported", "submitting")
      ? "submit"
      : jobs.length === 0
        ? "export"
        : undefined;
  return {
    json: { imported: [], ...NO_ROWS },
    text: "Nothing to import: no job has ended with results that are not in the column.",
    next: step && next(step),
    exit: "done",
  };
}

async function showDryRun(context: CommandContext): Promise<CommandResult> {
  const { settings, next } = context;
  const jobs = (await readManifest(settings.jobsDir)).jobs().filter(isImportable);
  if (jobs.length === 0) return nothingToImport(context);
  const requests = jobs.reduce((sum, job) => sum + job.requests, 0);
  const ids = jobs.map((job) => job.id);
  return {
    json: { imported: [], wouldImport: ids, requests, dryRun: true },
    text: `Would import ${counted(jobs.length, "job")} (${ids.join(", ")}) with ${counted(requests, "request")}.`,
    next: jobs.length > 0 ? next("import") : undefined,
    exit: "done",
  };
}
