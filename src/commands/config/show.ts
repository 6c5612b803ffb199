/** Every setting as it is here, and where it comes from. */
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import type { Origin } from "../../settings/config.ts";
import { usageError } from "../../errors.ts";
import { accessVariables } from "../../settings/access.ts";
import { configKeyOf, OPTION_LIST } from "../../settings/options.ts";
import { duration } from "../../words/figures.ts";
import { MS_PER_SECOND } from "../../clock.ts";

type Line = Readonly<{ name: string; value: string; from: string }>;

/** Of a value that is long: the rest follows all the same, on the next line. */
const VALUE_COLUMNS = 24;

export function showConfig(
  { settings, origins, environment }: CommandContext,
  [what = "show"]: readonly string[],
): CommandResult {
  if (what !== "show") throw usageError(`There is no \`config ${what}\`.`, "`vecfill config show`");
  const options = OPTION_LIST.map(([name, { flag }]): Line => {
    const value = valueText(settings[name], name.endsWith("Ms"));
    return { name: configKeyOf(flag), value, from: originText(origins[name]) };
  });
  const secrets = accessVariables(environment).map(({ name, place }): Line => {
    return { name, value: place === undefined ? "not set" : "set", from: place ?? "" };
  });
  const lines = [...options, ...secrets];
  const width = Math.max(...lines.map(({ name }) => name.length));
  return {
    json: { settings: lines },
    text: lines.map((line) => lineText(line, width)).join("\n"),
  };
}

function valueText(value: unknown, isTime: boolean): string {
  if (value === undefined) return "not set";
  if (isTime && typeof value === "number") {
    return value < MS_PER_SECOND ? `${value} ms` : duration(value / MS_PER_SECOND);
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

function originText(origin: Origin): string {
  return origin.source === "default" ? "default" : origin.name;
}

function lineText({ name, value, from }: Line, width: number): string {
  const start = `${name.padEnd(width)}  `;
  return value.length <= VALUE_COLUMNS
    ? `${start}${value.padEnd(VALUE_COLUMNS)}  ${from}`.trimEnd()
    : `${start}${value}\n${" ".repeat(start.length + VALUE_COLUMNS)}  ${from}`;
}
