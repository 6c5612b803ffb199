/** What there is to complete: the commands, and for each its options and what they take. */
import { EMULATOR_OPTIONS } from "../../cli/emulation.ts";
import { MIGRATE_OPTIONS } from "../../cli/migrate-options.ts";
import { SEARCH_OPTIONS } from "../../cli/search-options.ts";
import { COMMAND_NAMES, type CommandName, type Option } from "../../settings/option.ts";
import { optionsOf } from "../../settings/options.ts";

/** What follows an option; `choice`: one of its choices; `target`: a name that the config file here has. */
type Takes = "nothing" | "file" | "folder" | "anything" | "choice" | "target";

export type CompletedOption = Readonly<{
  flag: string;
  describe: string;
  takes: Takes;
  choices: readonly string[];
}>;

export type CompletedCommand = Readonly<{
  name: CommandName;
  summary: string;
  options: readonly CompletedOption[];
  /** What its arguments are. */
  takes: "nothing" | "job" | "failedFile" | "shell" | "show";
}>;

const ARGUMENTS: Readonly<Partial<Record<CommandName, CompletedCommand["takes"]>>> = {
  cancel: "job",
  jobs: "job",
  rollback: "job",
  resubmit: "failedFile",
  completion: "shell",
  config: "show",
};

const OWN: Readonly<Partial<Record<CommandName, Readonly<Record<string, Option<unknown>>>>>> = {
  emulator: EMULATOR_OPTIONS,
  search: SEARCH_OPTIONS,
  migrate: MIGRATE_OPTIONS,
};

const FILES = ["env-file", "config", "metrics-file", "queries"];
const FOLDERS = ["jobs-dir", "folder"];
const HELP = { flag: "help", describe: "show help", takes: "nothing", choices: [] } as const;

export const SHELL_NAMES = ["bash", "zsh", "fish"] as const;

/** Says which jobs folder the config file here names, in any shell. */
export const JOBS_DIR_COMMAND = valueCommand(String.raw`jobs-\{0,1\}[dD]ir`, '[^"]');
/** And which targets; no name has what a shell would expand. */
export const TARGETS_COMMAND = valueCommand("name", "[A-Za-z0-9_.-]");

function valueCommand(key: string, character: string): string {
  return String.raw`sed -n 's/.*"${key}" *: *"\(${character}*\)".*/\1/p' vecfill.config.json 2>/dev/null`;
}

export function completedCommands(
  commands: Readonly<Record<CommandName, Readonly<{ summary: string }>>>,
): CompletedCommand[] {
  return COMMAND_NAMES.map((name) => ({
    name,
    summary: commands[name].summary,
    options: [...optionsFor(name), HELP],
    takes: ARGUMENTS[name] ?? "nothing",
  }));
}

function optionsFor(command: CommandName): CompletedOption[] {
  const own: readonly Option<unknown>[] = Object.values(OWN[command] ?? {});
  return [...own, ...optionsOf(command)].map(({ flag, describe, value, choices }) => ({
    flag: flag === "color" ? "no-color" : flag,
    describe,
    takes: value === undefined ? "nothing" : takesOf(flag, choices),
    choices: choices ?? [],
  }));
}

function takesOf(flag: string, choices: readonly string[] | undefined): Takes {
  if (choices !== undefined) return "choice";
  if (flag === "target") return "target";
  if (FILES.includes(flag)) return "file";
  return FOLDERS.includes(flag) ? "folder" : "anything";
}

/** The names of the commands that take such words, as a pattern of a shell's `case`. */
export function taking(
  commands: readonly CompletedCommand[],
  takes: CompletedCommand["takes"],
): string {
  return commands
    .filter((command) => command.takes === takes)
    .map(({ name }) => name)
    .join("|");
}

/** A branch for each option of each command that is followed by something. */
export function values(
  commands: readonly CompletedCommand[],
  answerTo: (option: CompletedOption) => string | undefined,
): string {
  const branches = commands.flatMap(({ name, options }) =>
    options.flatMap((option) => {
      const answer = answerTo(option);
      return answer === undefined ? [] : [`    ${name}:--${option.flag}) ${answer}; return ;;`];
    }),
  );
  return branches.join("\n");
}
