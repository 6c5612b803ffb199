import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { sameTarget, columnName } from "../../row/target.ts";
import { targetOf } from "../../settings/config.ts";
import { eachProject } from "../../gates/keys.ts";
import { recoverableFromSettings, recoverFromSettings } from "../../composition/stages.ts";
import { counted, someJobs } from "../../words/figures.ts";
import { needsFolder } from "../../words/needs-folder.ts";
import { endingOf } from "../../cli/ending.ts";

export async function showRecover(context: CommandContext): Promise<CommandResult> {
  if (context.settings.manifestIn === "postgres")
    throw needsFolder("vecfill recover", "Recover into a jobs folder: name one with --jobs-dir.");
  if (context.settings.dryRun) return showDryRun(context);
  const startedMs = context.clock.elapsedMs();
  const { jobs, pending, imported } = await recoverFromSettings(context);
  const recovered = jobs.map(({ id }) => id);
  if (recovered.length > 0) await warnOfUnsent(context);
  const { imported: ids, failedFiles: _, indexes: _indexes, ...sums } = imported;
  const ending = await endingOf(context, imported, startedMs);
  const lines = [
    recovered.length > 0
      ? `Made jobs of ${counted(recovered.length, "batch")}: ${recovered.join(", ")}.`
      : nothingText(context),
    ...(ids.length > 0 ? [`Imported: ${ids.join(", ")}.`, ...ending.sums, ...ending.figures] : []),
    ...(sums.failed > 0
      ? ["What failed is sent again with --beside: another folder may do so."]
      : []),
    ...(pending.length > 0 ? [`Under way still: ${pending.join(", ")}.`] : []),
  ];
  return {
    json: { recovered, pending, imported: ids, ...sums, ...ending.json },
    text: lines.join("\n"),
    next: recovered.length + pending.length > 0 ? context.next("run") : undefined,
    exit: pending.length > 0 ? "unfinished" : sums.failed > 0 ? "rowsFailed" : "done",
  };
}

async function showDryRun(context: CommandContext): Promise<CommandResult> {
  const manifest = await context.services.view();
  const found = [];
  for (const own of eachProject(await context.services.keys()))
    found.push(...(await recoverableFromSettings(context, { manifest, ...own })));
  const batches = found.map(({ name: batch, displayName, rawState: state, counts }) => ({
    batch,
    displayName,
    state,
    requests: counts?.requests ?? null,
  }));
  const lines = batches.map(({ displayName, state }) => `${displayName}  ${state}`);
  const would = `Would make jobs of ${counted(batches.length, "batch")}:`;
  return {
    json: { recovered: [], batches, dryRun: true },
    text: batches.length === 0 ? nothingText(context) : [would, ...lines].join("\n"),
    next: batches.length > 0 ? context.next("recover") : undefined,
    exit: "done",
  };
}

function nothingText({ settings }: CommandContext): string {
  const target = targetOf(settings);
  return `With this key Gemini shows no batch for ${columnName(target)} and ${target.taskType} that this folder does not know.`;
}

/** They may ask for the very rows. */
async function warnOfUnsent({ services, settings, report }: CommandContext): Promise<void> {
  const target = targetOf(settings);
  const unsent = (await services.manifest()).needing("send");
  const ids = unsent.filter((job) => sameTarget(job.target, target)).map(({ id }) => id);
  if (ids.length === 0) return;
  report({
    type: "warning",
    message: `${counted(ids.length, "job")} of this folder, ${someJobs(ids)}, may ask for rows of the batches that were taken over, and would pay for them twice.`,
    hint: `Give what is not sent yet up, at no cost, and export anew: \`vecfill cancel ${ids.join(" ")}\`.`,
  });
}
