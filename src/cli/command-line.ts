/** Command lines to copy: what a person types to go on. */
import type { Origins } from "../settings/config.ts";
import { COMMAND_NAMES, type CommandName } from "../settings/option.ts";
import { OPTION_LIST } from "../settings/options.ts";

/**
 * The line of a command that goes on with the same: flags that bound, select or name something are
 * carried over where it takes them, so that it is not said of more than was asked for here.
 */
export function nextCommandLine(
  origins: Origins,
  command: CommandName,
  args: readonly string[],
): string {
  const flags = OPTION_LIST.flatMap(([name, { flag, group, commands }]) => {
    const origin = origins[name];
    const isCarried = group !== "Output" && commands.includes(command);
    if (!isCarried || args.includes(`--${flag}`)) return [];
    return origin.words ?? [];
  });
  return commandLine([command, ...args, ...flags]);
}

/** The text, with these flags in every command in backticks. */
export function withCompleteCommands(text: string, origins: Origins): string {
  return text.replaceAll(/`vecfill (?<words>[^`]+)`/g, (whole, words: string) => {
    const [name, ...args] = words.split(" ");
    const command = COMMAND_NAMES.find((each) => each === name);
    return command === undefined ? whole : `\`${nextCommandLine(origins, command, args)}\``;
  });
}

/** `vecfill` and its arguments, quoted for a shell where they need it. */
export function commandLine(args: readonly string[]): string {
  return ["vecfill", ...args.map(quoted)].join(" ");
}

function quoted(arg: string): string {
  return /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", String.raw`'\''`)}'`;
}
