/** The help pages: what `--help` shows, and how an option is told to yargs. */
import type { Argv } from "yargs";
import type { Command, OwnOptions } from "./command.ts";
import { EXIT_CODES, type ExitReason } from "../errors.ts";
import type { Flags } from "../settings/config.ts";
import type { CommandName, Option } from "../settings/option.ts";
import { optionsOf } from "../settings/options.ts";

type HelpPage = Pick<Command, "about" | "examples"> & Readonly<{ usage: string }>;

/** `jobs [job]`. */
export function usageOf(name: CommandName, { argument }: Command): string {
  return argument === undefined ? name : `${name} ${argument.form}`;
}

/** The help page, examples first, and the options of the command, without defaults. */
export function describeCommand(
  args: Argv,
  name: CommandName,
  command: Command,
): Argv | Promise<Argv> {
  // yargs checks less of what is described later, so only what must be is
  return command.ownOptions === undefined
    ? describeWith(undefined, args, name, command)
    : command.ownOptions().then((own) => describeWith(own, args, name, command));
}

function describeWith(
  own: OwnOptions | undefined,
  args: Argv,
  name: CommandName,
  command: Command,
): Argv {
  args.usage(helpText({ ...command, usage: usageOf(name, command) }));
  for (const option of [...(own?.options ?? []), ...optionsOf(name)]) {
    args.option(option.flag, { ...optionHelp(option), ...howGiven(option) });
  }
  const { argument } = command;
  if (argument !== undefined) {
    args.positional(argumentName(argument.form), { type: "string", describe: argument.describe });
  }
  args.epilog(exitCodesText());
  return own === undefined ? args : args.epilog(own.epilogue);
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

export const MAIN_PAGE: HelpPage = {
  usage: "<command> [options]",
  about:
    "Fills a vector column of Postgres: the rows whose embedding is NULL are embedded by Gemini's Batch API, at half price, and written back. Every command can be run again at any time and goes on where it stopped.",
  examples: [
    ["vecfill doctor", "is everything set up?"],
    ["vecfill run", "fill the column"],
    ["vecfill jobs", "what is done, and what is left"],
    ["vecfill jobs 0001", "everything about one job"],
    ["vecfill jobs --format csv", "the same for a spreadsheet"],
  ],
};

const MEANINGS: readonly (readonly [ExitReason, string])[] = [
  ["done", "done, or nothing to do"],
  ["rowsFailed", "finished, but some rows failed: the file that holds them is named"],
  ["usage", "wrong arguments, something not set, or consent refused"],
  ["fatal", "key refused, schema wrong, database unreachable, manifest damaged"],
  ["unfinished", "not finished: run the same command again later"],
  ["costLimit", "stopped by --max-cost; what was sent is fetched"],
  ["locked", "another process holds the jobs folder; it is named"],
  ["interrupted", "interrupted; what is recorded is consistent"],
];

/** What stands under every help page. */
export function exitCodesText(): string {
  const lines = MEANINGS.map(
    ([reason, meaning]) => `  ${String(EXIT_CODES[reason]).padStart(3)}  ${meaning}`,
  );
  return [
    "Exit codes:",
    ...lines,
    "",
    "Each option can also be set by a variable (VECFILL_JOBS_DIR) or in",
    'vecfill.config.json ({"jobsDir": "jobs"}); flags come first, then variables,',
    "then the file. Keys and addresses come from the environment or .env.local:",
    "GEMINI_API_KEY, and DATABASE_URL or SUPABASE_URL with SUPABASE_SECRET_KEY.",
  ].join("\n");
}

export function helpText({ usage, about, examples }: HelpPage): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, does]) => `$ ${line.padEnd(width)}  ${does}`);
  return ["Examples:", ...lines, "", `Usage: vecfill ${usage}`, "", about].join("\n");
}

function optionHelp({ describe, defaultText, group }: Option<unknown>) {
  return {
    describe: defaultText === undefined ? describe : `${describe} (default: ${defaultText})`,
    group: `${group}:`,
  };
}

/** No type for what takes a value: it is checked with the same words wherever it comes from. */
function howGiven({ takes }: Option<unknown>) {
  return takes === "nothing" ? { type: "boolean" as const } : { requiresArg: true };
}
