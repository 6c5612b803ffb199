import { type CommandContext, type CommandResult, nextFor } from "../../cli/command.ts";
import type { Job } from "../../manifest/job.ts";
import { type Manifest } from "../../manifest/manifest.ts";
import { droppedIndexesText } from "../../words/dropped-index-text.ts";
import { counted } from "../../words/figures.ts";
import { textOf } from "../../words/text-lines.ts";
import { endingOf } from "../../cli/ending.ts";
import { spentOn } from "../../cost/cost.ts";
import { pricesOf } from "../../cost/tariff.ts";
import { balanced, NO_ROWS } from "../../row/sums.ts";
import { importFromSettings, indexKeeper } from "../../composition/stages.ts";
import type { IndexSummary } from "../../import/index-keeper.ts";
import { showAgain } from "./show-again.ts";
import { isBack, isOpen } from "../../manifest/states.ts";

/** `ids`: whose results are written again. */
export async function showImport(
  context: CommandContext,
  ids: readonly string[],
): Promise<CommandResult> {
  const { services, settings, clock } = context;
  if (settings.again || settings.refetch || ids.length > 0) return showAgain(context, ids);
  if (settings.dryRun) return showDryRun(context);
  const manifest = await services.manifest();
  if (!manifest.jobs().some(isBack)) return buildIndexes(context, manifest);
  const startedMs = clock.elapsedMs();
  const summary = await importFromSettings(context);
  const { imported, copies, failedFiles, indexes, ...sums } = summary;
  if (!balanced(sums)) throw new Error(`the sums do not balance: ${JSON.stringify(sums)}`);
  const ofThese = (job: Job) =>
    imported.includes(job.id) || failedFiles.includes(manifest.files(job.id).failed);
  const jobs = manifest.jobs();
  const cost = spentOn(jobs.filter(ofThese), pricesOf(settings));
  const ending = await endingOf(context, { ...summary, cost }, startedMs);
  return {
    json: { imported, ...sums, copies, indexes, ...ending.json },
    text: textOf([
      `Imported ${counted(imported.length, "job")}.`,
      ...ending.sums,
      ...ending.figures,
    ]),
    next: nextFor(
      context,
      jobs,
      jobs.filter((job) => isOpen(job) || ofThese(job)),
    ),
    exit: sums.failed > 0 ? "rowsFailed" : "done",
  };
}

/** Nothing to import, but perhaps an index to build, which needs no key. */
async function buildIndexes(context: CommandContext, manifest: Manifest): Promise<CommandResult> {
  const keeper = await indexKeeper(context, manifest);
  await keeper.around(
    async () => {},
    () => true,
  );
  return nothingToImport(context, manifest.jobs(), keeper.summary);
}

function nothingToImport(
  context: CommandContext,
  jobs: readonly Job[],
  indexes: IndexSummary,
): CommandResult {
  return {
    json: { imported: [], ...NO_ROWS, copies: 0, indexes },
    text: [
      "Nothing to import: no job has ended with results that are not in the column.",
      ...indexes.built.map((name) => `Built ${name}.`),
    ].join("\n"),
    // failed lines are not what this command is asked about
    next: nextFor(context, jobs, jobs.filter(isOpen)),
  };
}

async function showDryRun(context: CommandContext): Promise<CommandResult> {
  const { services, report, next } = context;
  const manifest = await services.view();
  const jobs = manifest.jobs().filter(isBack);
  const dropped = manifest.droppedIndexes();
  for (const warning of droppedIndexesText(dropped)) report({ type: "warning", ...warning });
  if (jobs.length === 0) {
    const missing = dropped.map(({ index }) => index.name);
    return nothingToImport(context, manifest.jobs(), { built: [], missing });
  }
  const requests = jobs.reduce((sum, job) => sum + job.requests, 0);
  const ids = jobs.map((job) => job.id);
  return {
    json: { imported: [], wouldImport: ids, requests, dryRun: true },
    text: `Would import ${counted(jobs.length, "job")} (${ids.join(", ")}) with ${counted(requests, "request")}.`,
    next: jobs.length > 0 ? next("import") : undefined,
  };
}
