import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { UserError, usageError } from "../../errors.ts";
import { bytes, counted } from "../../words/figures.ts";
import { clean } from "./clean.ts";
import { type Cleaning, planCleaning } from "./what-may-go.ts";
import { textOf } from "../../words/text-lines.ts";

export async function showClean(context: CommandContext): Promise<CommandResult> {
  const { services, settings, report, signal, clock, confirm } = context;
  const options = { keepResults: settings.keepResults, now: clock.now() };
  const view = await services.view();
  const preview = await planCleaning(view, options);
  if (settings.dryRun) return dryRunResult(context, preview);
  if (preview.length === 0) return nothingToClean();
  const manifest = await services.manifest();
  const plan = await planCleaning(manifest, options);
  const ending = plan.filter(({ endsRollback }) => endsRollback);
  if (ending.length > 0 && !(await confirm(question(plan, ending.length)))) throw refused();
  const { cleaned, files, uploads, ...freed } = await clean(
    {
      manifest,
      gemini: async (job) => {
        const { keys = [] } = await services.keys();
        return keys.find(({ keyId }) => keyId === job.keyId)?.gemini;
      },
      report,
      signal,
    },
    plan,
  );
  const remote =
    uploads === 0 ? "" : ` Deleted ${counted(uploads, "uploaded request file")} at Gemini.`;
  return {
    json: { cleaned, files, bytes: freed.bytes, uploads },
    text: `Freed ${bytes(freed.bytes)}: ${counted(files, "file")} of ${counted(cleaned.length, "job")}.${remote}`,
  };
}

function dryRunResult({ next }: CommandContext, plan: readonly Cleaning[]): CommandResult {
  const local = plan.flatMap((each) => each.local);
  const uploads = plan.filter(({ upload }) => upload !== undefined).length;
  const ending = plan.filter(({ endsRollback }) => endsRollback).length;
  const lines = [
    `Would free ${bytes(bytesOf(plan))}: ${counted(local.length, "file")} of ${counted(plan.length, "job")}.`,
    uploads === 0 ? "" : `Would delete ${counted(uploads, "uploaded request file")} at Gemini.`,
    ending === 0
      ? ""
      : `${counted(ending, "job")} could not be rolled back any more, nor written again where the database loses rows; --keep-results keeps what that needs.`,
  ];
  return {
    json: {
      cleaned: [],
      wouldClean: plan.map(({ job }) => job.id),
      files: local.length,
      bytes: bytesOf(plan),
      uploads,
      dryRun: true,
    },
    text: plan.length === 0 ? NOTHING : textOf(lines),
    next: plan.length === 0 ? undefined : next("clean"),
  };
}

const NOTHING = "Nothing to clean: no file of an imported job is left.";

function nothingToClean(): CommandResult {
  return { json: { cleaned: [], files: 0, bytes: 0, uploads: 0 }, text: NOTHING };
}

function question(plan: readonly Cleaning[], ending: number): string {
  return `Delete the request and results files of ${counted(plan.length, "job")} (${bytes(bytesOf(plan))})? Of these, ${counted(ending, "job")} cannot be rolled back afterwards, nor written again: rows of theirs that lose their vectors are paid for again.`;
}

function refused(): UserError {
  return usageError(
    "Nothing was deleted: you said no.",
    "`vecfill clean --keep-results` keeps what a rollback needs.",
  );
}

function bytesOf(plan: readonly Cleaning[]): number {
  return plan.flatMap(({ local }) => local).reduce((sum, file) => sum + file.bytes, 0);
}
