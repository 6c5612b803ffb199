import { nearest, usageError, type UserError } from "../errors.ts";
import { COMMAND_NAMES, type CommandName } from "../settings/option.ts";
import { OPTION_LIST, optionsOf } from "../settings/options.ts";

/** What yargs says about wrong arguments, in our words, with what may have been meant. */
export function misused(message: string, args: readonly string[]): UserError {
  const command = COMMAND_NAMES.find((name) => args.includes(name));
  const empty = /^Not enough arguments following: (?<flag>.+)$/.exec(message)?.groups?.["flag"];
  const names = /^Unknown (?:arguments?|commands?): (?<names>.+)$/.exec(message)?.groups?.["names"];
  const [unknown] = names?.split(", ") ?? [];
  if (empty !== undefined) return usageError(`--${empty} needs a value.`, helpHint(command));
  if (unknown !== undefined) return notKnown(unknown, command, args);
  const isMissing = command !== undefined && message.startsWith("Not enough non-option arguments");
  if (isMissing && command === "search") {
    return usageError("`search` needs a text to look for.", 'As in: vecfill search "a text"');
  }
  if (isMissing) {
    return usageError(`\`${command}\` needs to be told which job.`, "`vecfill jobs` lists them.");
  }
  return usageError(`${message.replace(/\.$/, "")}.`, helpHint(command));
}

function helpHint(command: CommandName | undefined): string {
  return command === undefined
    ? "`vecfill --help` lists the commands, `vecfill <command> --help` its options."
    : `\`vecfill ${command} --help\` says what it takes.`;
}

function notKnown(
  unknown: string,
  command: CommandName | undefined,
  args: readonly string[],
): UserError {
  const isFlag = args.some(
    (arg) => /^--?[^-]/.test(arg) && arg.replace(/^-+/, "").startsWith(unknown),
  );
  const what = isFlag
    ? `There is no option --${unknown}${command === undefined ? "" : ` of ${command}`}.`
    : command === undefined
      ? `There is no command ${unknown}.`
      : `\`${command}\` does not know what to do with ${unknown}.`;
  return usageError(what, whatIsMeant(unknown, isFlag, command) ?? helpHint(command));
}

function whatIsMeant(
  unknown: string,
  isFlag: boolean,
  command: CommandName | undefined,
): string | undefined {
  if (!isFlag) {
    const name = command === undefined ? nearest(unknown, COMMAND_NAMES) : undefined;
    return name === undefined ? undefined : `Did you mean \`vecfill ${name}\`?`;
  }
  const elsewhere = OPTION_LIST.find(([, { flag }]) => flag === unknown)?.[1];
  if (elsewhere !== undefined) {
    return `--${unknown} is an option of ${elsewhere.commands.join(", ")}.`;
  }
  const own = command === undefined ? [] : optionsOf(command).map(({ flag }) => flag);
  const all = OPTION_LIST.map(([, { flag }]) => flag);
  const meant = nearest(unknown, own) ?? nearest(unknown, all);
  return meant === undefined ? undefined : `Did you mean --${meant}?`;
}
