import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { askDatabase, targetToTell } from "../../cli/coverage.ts";
import { queuesOf } from "../../words/queues.ts";
import { replaceFileUnlocked } from "../../disk/durable-file.ts";
import { type UserError, usageError } from "../../errors.ts";
import type { Settings } from "../../settings/options.ts";
import { pricesOf } from "../../cost/tariff.ts";
import { nameAmongSeveral, queueWindow } from "../../composition/stages.ts";
import { reportPath } from "../../manifest/file-names.ts";
import { bytes, counted } from "../../words/figures.ts";
import { noFolderText, placeText } from "../../words/no-folder-text.ts";
import { gatherReport } from "./data.ts";
import { reportPage } from "./page.ts";

export async function showReport(context: CommandContext): Promise<CommandResult> {
  const { services, settings, clock, report } = context;
  const manifest = await services.view();
  for (const message of manifest.warnings) report({ type: "warning", message, hint: undefined });
  const target = targetToTell(manifest.jobs(), settings);
  if (target === undefined) throw await nothingYet(settings);
  const name = nameAmongSeveral(context);
  if (name !== undefined && settings.reportFile !== undefined) throw oneFile();
  const file = settings.reportFile ?? reportPath(settings.jobsDir, name);
  const coverage = await askDatabase(context, target, manifest);
  const data = await gatherReport(manifest, coverage, {
    readEvents: services.events,
    target,
    prices: pricesOf(settings),
    enqueuedTokensMax:
      queueWindow(settings).maxEnqueuedTokens * Math.max(1, queuesOf(manifest.jobs()).length),
    now: clock.now(),
    store: typeof coverage === "string" ? undefined : await context.services.store(target),
  });
  const written = await replaceFileUnlocked(file, reportPage(data, context.next));
  return {
    json: { file, bytes: written.bytes, jobs: data.jobs.length },
    text: `Wrote ${file} (${bytes(written.bytes)}) on ${counted(data.jobs.length, "job")}. Open it in a browser.`,
  };
}

function oneFile(): UserError {
  return usageError(
    "--report-file names one page, and each target has one of its own.",
    "Leave it out, or name one target with --target.",
  );
}

async function nothingYet(settings: Settings): Promise<UserError> {
  return usageError(
    (await noFolderText(settings)) || `There are no jobs in ${placeText(settings)} to report on.`,
    "Begin with `vecfill run`, or name the folder with --jobs-dir.",
  );
}
