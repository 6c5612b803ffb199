/** Every setting as it is here, and where it comes from. */
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import type { Origin } from "../../settings/config.ts";
import { usageError } from "../../errors.ts";
import { accessVariables } from "../../settings/access.ts";
import { configKeyOf, OPTION_LIST } from "../../settings/options.ts";
import { duration } from "../../words/figures.ts";
import { MS_PER_SECOND } from "../../clock.ts";

type Line = Readonly<{ name: string; value: string; from: string }>;

const VALUE_COLUMNS = 20;
/** Of a terminal that is no wider. */
const LINE_COLUMNS = 79;

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
  const line = `${start}${value.padEnd(VALUE_COLUMNS)}  ${from}`.trimEnd();
  const fits = value.length <= VALUE_COLUMNS && line.length <= LINE_COLUMNS;
  // what is folded stands below the value
  return fits ? line : `${start}${value} (${from})`;
}
