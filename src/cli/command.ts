/** What a command is. Settings, output, signals and exit code are settled around its work in `cli.ts`. */
import type { Clock } from "../clock.ts";
import { laneToGoOn } from "../cost/lane.ts";
import type { Job } from "../manifest/job.ts";
import { nextCommand } from "../manifest/states.ts";
import type { Configuration, Flags } from "../settings/config.ts";
import type { ExitReason } from "../errors.ts";
import type { CommandName, Option } from "../settings/option.ts";
import type { Output } from "../output/output.ts";
import type { Screen } from "../output/terminal-screen.ts";
import type { Report } from "../progress.ts";
import type { Services } from "../composition/services.ts";

export type CommandContext = Configuration &
  Readonly<{
    /** The manifest, the store and Gemini, each opened when it is first asked for. */
    services: Services;
    output: Output;
    report: Report;
    /** Aborted by Ctrl-C: finish what is in hand and return what was done. */
    signal: AbortSignal;
    clock: Clock;
    /** In which the config file and `.env` are. */
    folder: string;
    /** Columns of the terminal that the result goes to; undefined where it is none. */
    width: number | undefined;
    /** That terminal, to be drawn over; undefined where it is none. */
    screen(): Promise<Screen | undefined>;
    /** The command line of another command for the same folder and target. */
    next(command: CommandName, ...args: readonly string[]): string;
    /** Asks before money is spent. False when refused; a UserError when there is nobody to ask. */
    confirm(question: string): Promise<boolean>;
    /** Resolves to the place of one of these; undefined where there is nobody to ask. */
    choose: ((question: string, choices: readonly string[]) => Promise<number>) | undefined;
  }>;

/** The command line that takes these jobs further, or makes the first ones; `shown`: those of them that were asked for. */
export function nextFor(
  { next }: Pick<CommandContext, "next">,
  jobs: readonly Job[],
  shown = jobs,
): string | undefined {
  const step = jobs.length === 0 ? "export" : nextCommand(shown);
  return step && next(step, ...(step === "submit" ? laneToGoOn(shown) : []));
}

export type CommandResult = Readonly<{
  /** Members of the `--json` object, without `schemaVersion` and `command`. */
  json: Readonly<Record<string, unknown>>;
  /** What people get on stdout instead. */
  text: string;
  /** The next command line; none when there is nothing to go on with. */
  next?: string | undefined;
  /** Without one: done. */
  exit?: ExitReason;
  /** Rows of the table without a vector, where they were counted. */
  remaining?: number | undefined;
  /** Rows that were selected, or would be: they count towards a limit. */
  selected?: number;
  /** `text` is for programs, too: no line of it is folded. */
  isData?: boolean;
}>;

/** A word to type, and what it means. */
export type Entry = readonly [term: string, meaning: string];

export type OwnOptions = Readonly<{
  options: readonly Option<unknown>[];
  /** What is told below them, by title. */
  sections: Readonly<Record<string, readonly Entry[]>>;
}>;

export type Command = Readonly<{
  /** In the list of commands. */
  summary: string;
  /** What its help page says. */
  about: string;
  /** A command line and what it does. */
  examples: readonly Entry[];
  /** What may stand behind its name, as yargs has it: `[job..]`. */
  argument?: Readonly<{ form: string; describe: string }>;
  /** Options that no other command has, and what is told of them below the page. */
  ownOptions?: () => Promise<OwnOptions>;
  /** It runs until Ctrl-C, which is its normal end. */
  serves?: boolean;
  /** `words` is its argument, `flags` what yargs made of the whole line. */
  work(context: CommandContext, words: readonly string[], flags: Flags): Promise<CommandResult>;
}>;
