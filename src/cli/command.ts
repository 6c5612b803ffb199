/**
 * What a command is. Each has a `command.ts` that tells yargs its name, its help page and its
 * arguments, and hands its work to `start`; settings, output, signals and exit code are settled
 * around the work in `cli.ts`.
 */
import type { Argv } from "yargs";
import type { Clock } from "../clock.ts";
import type { Configuration, Flags } from "../settings/config.ts";
import type { ExitReason } from "../errors.ts";
import type { CommandName } from "../settings/option.ts";
import type { Output } from "../output/output.ts";
import type { Screen } from "../output/terminal-screen.ts";
import type { Report } from "../progress.ts";
import type { Services } from "../services.ts";

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
  }>;

export type CommandResult = Readonly<{
  /** Members of the `--json` object, without `schemaVersion` and `command`. */
  json: Readonly<Record<string, unknown>>;
  /** What people get on stdout instead. */
  text: string;
  /** The next command line; undefined when there is nothing to go on with. */
  next: string | undefined;
  exit: ExitReason;
}>;

export type Work = (context: CommandContext) => Promise<CommandResult>;

type Habits = Readonly<{
  /** It runs until Ctrl-C, which is its normal end. */
  serves?: boolean;
}>;

/** Settles everything around the work and runs it; `argv` is what yargs made of the arguments. */
export type Start = (
  command: CommandName,
  argv: Flags,
  work: Work,
  habits?: Habits,
) => Promise<void>;

/** A command makes itself known to yargs. */
export type RegisterCommand = (cli: Argv, start: Start) => Argv;
