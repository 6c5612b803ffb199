/** Command lines to copy: what a person types to go on. */
import type { Origins } from "../settings/config.ts";
import { COMMAND_NAMES, type CommandName } from "../settings/option.ts";
import { OPTION_LIST, type Settings } from "../settings/options.ts";

/** The line of a command for the same folder and target: flags that name these are carried over. */
export function nextCommandLine(
  settings: Settings,
  origins: Origins,
  command: CommandName,
  args: readonly string[],
): string {
  const carried = OPTION_LIST.filter(
    ([name, { carried: isCarried, commands }]) =>
      isCarried && commands.includes(command) && origins[name].source === "flag",
  );
  const flags = carried.flatMap(([name, { flag }]) => [`--${flag}`, String(settings[name])]);
  return commandLine([command, ...args, ...flags]);
}

/** The text, with the flags for the same folder and target in every command in backticks. */
export function withCompleteCommands(text: string, settings: Settings, origins: Origins): string {
  return text.replaceAll(/`vecfill (?<words>[^`]+)`/g, (whole, words: string) => {
    const [name, ...args] = words.split(" ");
    const command = COMMAND_NAMES.find((each) => each === name);
    return command === undefined
      ? whole
      : `\`${nextCommandLine(settings, origins, command, args)}\``;
  });
}

/** `vecfill` and its arguments, quoted for a shell where they need it. */
export function commandLine(args: readonly string[]): string {
  return ["vecfill", ...args.map(quoted)].join(" ");
}

function quoted(arg: string): string {
  return /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", String.raw`'\''`)}'`;
}
