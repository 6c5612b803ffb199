/**
 * The help pages, made from the tables of commands and options. Each page has a command's purpose,
 * examples, and its own options by group; what every command takes stands on the main page.
 */
import type { Argv } from "yargs";
import { EXIT_CODES, type ExitReason } from "../errors.ts";
import type { Flags } from "../settings/config.ts";
import { COMMAND_NAMES, type CommandName, type Option } from "../settings/option.ts";
import { optionsOf } from "../settings/options.ts";
import { wrapped } from "../words/text-lines.ts";
import type { Command, Entry, OwnOptions } from "./command.ts";

type Commands = Readonly<Record<CommandName, Command>>;

/** Of the widest page; on a narrower terminal lines are shorter. */
const COLUMNS = 80;
const MIN_COLUMNS = 40;

const ABOUT =
  "Fills a vector column of Postgres: the rows whose embedding is NULL are embedded by Gemini's Batch API, at half price, and written back. Every command can be run again at any time and goes on where it stopped.";
const EXAMPLES: Command["examples"] = [
  ["vecfill doctor", "is everything set up?"],
  ["vecfill plan", "what would it cost, and how long would it take?"],
  ["vecfill run", "fill the column"],
  ["vecfill status", "what is done, what is left, and what failed"],
  ["vecfill verify", "is the column whole and right?"],
];
const TRY_OUT =
  "To see it work without a key and without a database: `npm run demo` in its repository, or `vecfill emulator`.";

/** For who types the name alone. */
export function shortPage(columns: number | undefined): string {
  const width = widthOf(columns);
  return [
    ...wrapped(ABOUT, width),
    "",
    ...exampleLines(EXAMPLES, width),
    "",
    ...wrapped(TRY_OUT, width),
    "`vecfill help` lists all commands.",
  ].join("\n");
}

export function mainPage(commands: Commands, columns: number | undefined): string {
  const width = widthOf(columns);
  const listed = COMMAND_NAMES.map((name): Entry => {
    return [`vecfill ${usageOf(name, commands[name])}`, commands[name].summary];
  });
  return [
    "Usage: vecfill <command> [options]",
    "",
    ...wrapped(ABOUT, width),
    "",
    "Examples:",
    ...exampleLines(EXAMPLES, width),
    "",
    "Commands:",
    ...entryLines(listed, width),
    "",
    "Options of every command:",
    ...entryLines([...commonOptions().map(optionEntry), HELP, VERSION], width),
    "",
    "Exit codes:",
    ...entryLines(EXIT_MEANINGS.map(exitEntry), width),
    "",
    ...wrapped(SETTINGS, width),
  ].join("\n");
}

export async function commandPage(
  name: CommandName,
  command: Command,
  columns: number | undefined,
): Promise<string> {
  const width = widthOf(columns);
  const own = await command.ownOptions?.();
  const common = new Set(commonOptions().map(({ flag }) => flag));
  const options = [...(own?.options ?? []), ...optionsOf(name)];
  const groups = Map.groupBy(
    options.filter(({ flag }) => !common.has(flag)),
    ({ group }) => group,
  );
  const { argument } = command;
  return [
    `Usage: vecfill ${usageOf(name, command)} [options]`,
    "",
    ...wrapped(command.about, width),
    "",
    "Examples:",
    ...exampleLines(command.examples, width),
    ...(argument === undefined
      ? []
      : ["", ...entryLines([[argument.form, argument.describe]], width)]),
    ...[...groups].flatMap(([group, its]) => section(group, its.map(optionEntry), width)),
    ...Object.entries(own?.sections ?? {}).flatMap(([title, its]) => section(title, its, width)),
    "",
    ...wrapped(`Also: ${commonOptions().map(shortForm).join(", ")}.`, width),
    ...wrapped(`Exit codes: ${EXIT_MEANINGS.map(shortExit).join(", ")}.`, width),
    ...wrapped("`vecfill help` describes these, and how options are set in files.", width),
  ].join("\n");
}

function section(title: string, entries: readonly Entry[], width: number): string[] {
  return ["", `${title}:`, ...entryLines(entries, width)];
}

/** `jobs [job]`. */
export function usageOf(name: CommandName, { argument }: Command): string {
  return argument === undefined ? name : `${name} ${argument.form}`;
}

/** Tells yargs what the command takes. */
export function acceptOptions(
  args: Argv,
  name: CommandName,
  command: Command,
): Argv | Promise<Argv> {
  // yargs checks less of what is described later, so only what must be is
  return command.ownOptions === undefined
    ? acceptWith(undefined, args, name, command)
    : command.ownOptions().then((own) => acceptWith(own, args, name, command));
}

function acceptWith(
  own: OwnOptions | undefined,
  args: Argv,
  name: CommandName,
  { argument }: Command,
): Argv {
  // no type for what takes a value: it is checked with the same words wherever it comes from.
  // Hidden, since yargs lays out at each command a page of what is not, and nobody sees it
  for (const { flag, value } of [...(own?.options ?? []), ...optionsOf(name)])
    args.option(flag, { ...(value ? { requiresArg: true } : { type: "boolean" }), hidden: true });
  if (argument !== undefined) args.positional(argumentName(argument.form), { type: "string" });
  return args;
}

/** What was given for the argument of the command. */
export function wordsGiven({ argument }: Command, flags: Flags): string[] {
  const given = argument === undefined ? [] : [flags[argumentName(argument.form)]].flat();
  return given.filter((word) => typeof word === "string");
}

/** `[job..]` → `job`. */
function argumentName(form: string): string {
  return form.replaceAll(/\W/g, "");
}

export const EXIT_MEANINGS: readonly (readonly [ExitReason, string])[] = [
  ["done", "done, or nothing to do"],
  ["rowsFailed", "finished, but some rows failed: the file that holds them is named"],
  ["usage", "wrong arguments, something not set, or consent refused"],
  ["fatal", "key refused, schema wrong, database unreachable, manifest damaged"],
  ["unfinished", "not finished: run the same command again later"],
  ["costLimit", "stopped by --max-cost; what was sent is fetched"],
  ["locked", "another process holds the jobs folder; it is named"],
  ["interrupted", "interrupted; what is recorded is consistent"],
];

const SETTINGS =
  'Each option can also be set by a variable (VECFILL_JOBS_DIR) or in vecfill.config.json ({"jobsDir": "jobs"}); flags come first, then variables, then the file. Times are seconds, or such as 10m and 2h. Keys and addresses come from the environment or .env.local: GEMINI_API_KEY, and DATABASE_URL or SUPABASE_URL with SUPABASE_SECRET_KEY.';

const HELP: Entry = ["-h, --help", "show help"];
const VERSION: Entry = ["-v, --version", "show the version number"];

/** Those that every command takes, but for one or two that need them least. */
function commonOptions(): Option<unknown>[] {
  return optionsOf("run").filter(
    ({ commands, flag }) => commands.length === COMMAND_NAMES.length || flag === "jobs-dir",
  );
}

function optionEntry(option: Option<unknown>): Entry {
  const { describe, defaultText } = option;
  return [shortForm(option), `${describe}${defaultText ? ` (default: ${defaultText})` : ""}`];
}

function shortForm({ flag, value }: Option<unknown>): string {
  return `--${flag}${value === undefined ? "" : ` ${value}`}`;
}

function exitEntry([reason, meaning]: (typeof EXIT_MEANINGS)[number]): Entry {
  return [String(EXIT_CODES[reason]).padStart(3), meaning];
}

/** `rowsFailed` → `1 rows failed`. */
function shortExit([reason]: (typeof EXIT_MEANINGS)[number]): string {
  const words = reason.replace(/[A-Z]/, (letter) => ` ${letter.toLowerCase()}`);
  return `${EXIT_CODES[reason]} ${words}`;
}

function widthOf(columns = COLUMNS): number {
  return Math.max(MIN_COLUMNS, Math.min(columns, COLUMNS));
}

function exampleLines(examples: Command["examples"], width: number): string[] {
  return entryLines(
    examples.map(([line, does]): Entry => [`$ ${line}`, does]),
    width,
  );
}

/** Of the terms that stand in a column; what is longer has its meaning on the next line. */
const MAX_TERM_COLUMNS = 28;
const GAP = "  ";

function entryLines(entries: readonly Entry[], width: number): string[] {
  const most = Math.min(MAX_TERM_COLUMNS, width / 2);
  const fitting = entries.map(([term]) => term.length).filter((length) => length <= most);
  const column = Math.max(...fitting, 0);
  const indent = GAP.length + column + GAP.length;
  return entries.flatMap(([term, meaning]) => {
    const lines = wrapped(meaning, width - indent).map((line) => " ".repeat(indent) + line);
    const [first = "", ...more] = lines;
    const isLong = term.length > column;
    return isLong
      ? [`${GAP}${term}`, first, ...more]
      : [`${GAP}${term.padEnd(column)}${GAP}${first.trimStart()}`, ...more];
  });
}
