import { namesSupabase } from "../../settings/access.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { type ConfigFile, loadConfigFile, usualConfigFile } from "../../settings/config-file.ts";
import { targetOf } from "../../settings/config.ts";
import { nearest, UserError, usageError } from "../../errors.ts";
import { nextCommandLine } from "../../cli/command-line.ts";
import type { FoundTable } from "../../row/target-description.ts";
import { tableName, type Target } from "../../row/target.ts";
import { OPTIONS, type Settings } from "../../settings/options.ts";
import { chooseTarget, type Chosen } from "./choose.ts";
import { textOf } from "../../words/text-lines.ts";
import { widthAdvice } from "../../words/width-text.ts";
import { init, type InitSummary } from "./init.ts";

/** The settings as they are then; `isReady`: no SQL is left for a person to run. */
type Initiated = Readonly<{
  result: CommandResult;
  settings: Settings;
  isReady: boolean;
  /** Without what the config file has from now on. */
  next: CommandContext["next"];
}>;

export async function showInit(context: CommandContext): Promise<Initiated> {
  const { services, environment, folder, clock } = context;
  const { trigger, fingerprintColumn, apply, remove, dryRun, config, jobsDir } = context.settings;
  if ((trigger || fingerprintColumn) && remove)
    throw excluding(
      "--remove and what it takes out (--trigger, --fingerprint-column) exclude each other.",
    );
  const { target, lacks, isSeen, isSeveral = false } = await chosen(context);
  const next = nextOfWritten(context);
  const isToMake = await mayMake(context, lacks);
  const left = isToMake ? [] : lacks;
  const summary = await init(
    { ...services, clock },
    {
      target,
      name: context.settings.target,
      jobsDir,
      folder,
      configFile: config ?? usualConfigFile,
      project: namesSupabase(environment),
      trigger,
      fingerprintColumn,
      apply,
      remove,
      dryRun,
      lacks: isToMake ? lacks : [],
    },
  );
  const lines = left.map((statement) => `Run this in the database first: ${statement};`);
  const result = {
    json: { ...summary, migration: summary.migration ?? null, lacks: left, dryRun },
    text: textOf([
      initText(summary, { dryRun, remove }),
      !remove && targetLine(target, isSeen),
      !remove && `${isSeen ? "The column is" : "Its column is to be"} ${widthAdvice(target)}.`,
      ...lines,
    ]),
    next: remove ? undefined : next("doctor"),
  };
  const isToRun = summary.migration?.changed === true && !summary.applied;
  const isReady = !dryRun && !remove && !isToRun && !isSeveral && left.length === 0;
  return { result, settings: { ...context.settings, ...target }, isReady, next };
}

function nextOfWritten({ origins }: CommandContext): CommandContext["next"] {
  const written = Object.fromEntries(MEMBERS.map((name) => [name, { source: "default" } as const]));
  return (name, ...args) => nextCommandLine({ ...origins, ...written }, name, args);
}

type Seen = Chosen & { isSeen: boolean; isSeveral?: boolean };

/** Without a database that can be looked into, and of several tables (`isSeveral`), as the settings are. */
async function chosen(context: CommandContext): Promise<Seen> {
  const { services, settings, environment, origins, choose, report } = context;
  const target = targetOf(settings);
  if (settings.remove) return { target, lacks: [], isSeen: false };
  const file = await loadConfigFile(context.folder, settings.config);
  // what the file says is of its own table
  const others = isOfFile(file, settings.target, target) ? ["default"] : ["default", "file"];
  const set = MEMBERS.filter((name) => !others.includes(origins[name].source));
  const isBesideTable = settings.target !== undefined && file.entries.has(OPTIONS.table.flag);
  if (isBesideTable) report({ type: "warning", ...BESIDE_FLAT });
  const found = await services.tables().catch((error: unknown) => {
    // the settings can be written all the same
    if (!(error instanceof UserError) || settings.apply) throw error;
    report({ type: "warning", message: error.message, hint: error.hint });
    return undefined;
  });
  if (found === undefined) return { target, lacks: [], isSeen: false };
  const isSeveral = (await services.leaves()).flat().some((each) => each.siblings !== undefined);
  if (isSeveral) return { target, lacks: [], isSeen: true, isSeveral };
  if (settings.apply && namesSupabase(environment) && !found.isProject) throw noProject();
  const isNamed = (each: FoundTable) => tableName(each) === tableName(target);
  const isThere = found.tables.some(isNamed);
  // says what is wrong with it
  if (set.includes("table") && found.tables.length > 0 && !isThere) await services.examine(target);
  const { embedding } = target;
  const { vectors = [] } = found.tables.find(isNamed) ?? {};
  const near = nearest(
    embedding,
    vectors.map(({ name }) => name),
  );
  if (set.includes("embedding") && near !== undefined && near !== embedding) {
    const message = `${tableName(target)} has no column ${embedding} yet.`;
    report({ type: "warning", message, hint: `Did you mean --embedding ${near}?` });
  }
  const table = set.includes("table") ? target.table : tableOfNew(settings, file, found.tables);
  const meant = { ...target, table: table ?? target.table };
  const choice = await chooseTarget(found, { target: meant, set: new Set(set), choose });
  return { ...choice, isSeen: found.tables.length > 0 };
}

/** A target that is new to the file is of the table of its name, and not of that which the file has for all. */
function tableOfNew(
  { target: name }: Settings,
  { targets, entries }: ConfigFile,
  tables: readonly FoundTable[],
): string | undefined {
  if (name === undefined || targets.has(name)) return undefined;
  const isThere = tables.some(({ table }) => table === name);
  return isThere || entries.has(OPTIONS.table.flag) ? name : undefined;
}

function noProject(): UserError {
  return usageError(
    "The database is no Supabase project's: it lacks the role service_role, whom the functions are for.",
    "Set DATABASE_URL to the project's own database (dashboard: Connect), or leave --apply out. With that database alone, and SUPABASE_URL unset, vecfill needs no functions.",
  );
}

const BESIDE_FLAT = {
  message: "The config file names a table beside its targets: `--target all` leaves that one out.",
  hint: "Write it as a target, too, and take it out of the top of the file.",
};

/** Whether the config file's settings, or those of the target that was named, are of this very table. */
function isOfFile({ entries, targets }: ConfigFile, name: string | undefined, target: Target) {
  const own = targets.get(name ?? "");
  if (name !== undefined && own === undefined) return false;
  const said = (member: "schema" | "table") => {
    const { flag, default: usual } = OPTIONS[member];
    return String((own?.get(flag) ?? entries.get(flag))?.given ?? usual);
  };
  const table = said("table");
  return tableName(target) === (table.includes(".") ? table : `${said("schema")}.${table}`);
}

const MEMBERS = ["schema", "table", "id", "text", "embedding", "dimensions"] as const;

/** Who applies migrations, or says yes, has them run now. */
async function mayMake(
  { settings, choose, confirm }: CommandContext,
  lacks: readonly string[],
): Promise<boolean> {
  if (lacks.length === 0 || settings.dryRun) return false;
  const question = `The database lacks what this makes: ${lacks.join("; ")}; Run it now?`;
  return settings.apply || (choose !== undefined && (await confirm(question)));
}

function targetLine({ id, text, embedding, ...table }: Target, isSeen: boolean): string {
  const what = isSeen ? "The table" : "The table by these settings, which was not seen";
  return `${what}: ${tableName(table)}, key ${id}, text ${text}, vectors in ${embedding}.`;
}

function excluding(message: string): UserError {
  return usageError(message, "Give one of the two.");
}

type Asked = Readonly<{ dryRun: boolean; remove: boolean }>;

function initText(summary: InitSummary, asked: Asked): string {
  const { config, gitignore, migration, functions, applied } = summary;
  const wrote = asked.dryRun ? "Would write" : "Wrote";
  const lines = [
    asked.remove ? undefined : fileLine(config, wrote),
    config.before === undefined ? undefined : `Before, it named the table ${config.before}.`,
    asked.remove || !gitignore.changed ? undefined : fileLine(gitignore, wrote),
    migration === undefined || migration.file === "" ? undefined : fileLine(migration, wrote),
    asked.remove && migration?.file === ""
      ? "No migration of vecfill's is there for this target."
      : undefined,
    migration === undefined
      ? "No SQL functions are needed unless SUPABASE_URL is set: they are for a project's API."
      : undefined,
    applied ? appliedLine(functions, asked) : undefined,
    !applied && migration?.changed === true && !asked.dryRun
      ? howToApply(migration.file, functions)
      : undefined,
  ];
  return lines.filter((line) => line !== undefined).join("\n");
}

function appliedLine(functions: boolean, { remove }: Asked): string {
  const what = functions ? "the functions" : "the triggers";
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
