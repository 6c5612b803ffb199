import { namesSupabase } from "../../settings/access.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { usualConfigFile } from "../../settings/config-file.ts";
import { targetOf } from "../../settings/config.ts";
import { UserError, usageError } from "../../errors.ts";
import { textOf } from "../../words/text-lines.ts";
import { widthAdvice } from "../../words/width-text.ts";
import { init, type InitSummary } from "./init.ts";

export async function showInit(context: CommandContext): Promise<CommandResult> {
  const { services, settings, environment, folder, clock, next } = context;
  const { trigger, apply, remove, dryRun, config } = settings;
  if (trigger && remove) throw excluding("--trigger and --remove exclude each other.");
  const summary = await init(
    { ...services, clock },
    {
      target: targetOf(settings),
      folder,
      configFile: config ?? usualConfigFile,
      project: namesSupabase(environment),
      trigger,
      apply,
      remove,
      dryRun,
    },
  );
  return {
    json: { ...summary, migration: summary.migration ?? null, dryRun },
    text: textOf([
      initText(summary, { dryRun, remove }),
      !remove && `The column: ${widthAdvice(targetOf(settings))}.`,
    ]),
    next: remove ? undefined : next("doctor"),
  };
}

function excluding(message: string): UserError {
  return usageError(message, "Give one of the two.");
}

type Asked = Readonly<{ dryRun: boolean; remove: boolean }>;

function initText(summary: InitSummary, asked: Asked): string {
  const { config, migration, functions, applied } = summary;
  const wrote = asked.dryRun ? "Would write" : "Wrote";
  const lines = [
    asked.remove ? undefined : fileLine(config, wrote),
    migration === undefined || migration.file === "" ? undefined : fileLine(migration, wrote),
    asked.remove && migration?.file === ""
      ? "No migration of vecfill's is there for this target."
      : undefined,
    migration === undefined
      ? "No SQL functions are needed: the database's own address does not go through an API."
      : undefined,
    applied ? appliedLine(functions, asked) : undefined,
    !applied && migration?.changed === true && !asked.dryRun
      ? howToApply(migration.file, functions)
      : undefined,
  ];
  return lines.filter((line) => line !== undefined).join("\n");
}

function appliedLine(functions: boolean, { remove }: Asked): string {
  const what = functions ? "the functions" : "the trigger";
  return `${remove ? "Removed" : "Installed"} ${what} in the database.`;
}

function howToApply(file: string, functions: boolean): string {
  return functions
    ? "Run it: `supabase db push`, or paste it into the dashboard's SQL editor, or set DATABASE_URL and add --apply."
    : `Run it: \`psql "$DATABASE_URL" -f ${file}\`, or add --apply.`;
}

function fileLine(
  { file, changed }: Readonly<{ file: string; changed: boolean }>,
  wrote: string,
): string {
  return changed ? `${wrote} ${file}.` : `${file} is as it should be.`;
}
