/** The man page, made from the tables of commands and options. */
import { EXIT_MEANINGS } from "../src/cli/help.ts";
import { COMMANDS } from "../src/commands/commands.ts";
import { EXIT_CODES } from "../src/errors.ts";
import { COMMAND_NAMES } from "../src/settings/option.ts";
import { OPTION_LIST } from "../src/settings/options.ts";

export function manPage(version: string): string {
  return [
    `.TH VECFILL 1 "" "vecfill ${version}" "User Commands"`,
    ".SH NAME",
    escaped("vecfill - fills a vector column of Postgres through Gemini's Batch API"),
    ".SH SYNOPSIS",
    ".B vecfill",
    "<command> [options]",
    ".SH COMMANDS",
    ...COMMAND_NAMES.flatMap((name) => {
      const { about, argument, examples } = COMMANDS[name];
      const usage = argument === undefined ? name : `${name} ${argument.form}`;
      return [
        ".TP",
        `.B ${escaped(usage)}`,
        escaped(about),
        ...examples.flatMap(([line, does]) => [".br", `${escaped(line)}  (${escaped(does)})`]),
      ];
    }),
    ...[...Map.groupBy(OPTION_LIST, ([, { group }]) => group)].flatMap(([group, options]) => [
      `.SH OPTIONS: ${group.toUpperCase()}`,
      ...options.flatMap(([, { flag, value = "", describe, defaultText }]) => [
        ".TP",
        `.B ${escaped(`--${flag} ${value}`.trim())}`,
        escaped(`${describe}${defaultText === undefined ? "" : ` (default: ${defaultText})`}`),
      ]),
    ]),
    ".SH EXIT STATUS",
    ...EXIT_MEANINGS.flatMap(([reason, meaning]) => [
      ".TP",
      `.B ${EXIT_CODES[reason]}`,
      escaped(meaning),
    ]),
    "",
  ].join("\n");
}

/** A line that begins with a dot or a quote is a command of troff's. */
function escaped(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^(?=[.'])/, "\\&");
}
