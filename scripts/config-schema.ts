/** The JSON Schema of vecfill.config.json, made from the table of options. */
import { SCHEMA_KEY, TARGET_NAME, TARGETS_KEY } from "../src/settings/config-file.ts";
import type { Option } from "../src/settings/option.ts";
import { configKeyOf, OPTION_LIST, OPTIONS_OF_TARGET } from "../src/settings/options.ts";

export function configSchema(): string {
  const inFile = OPTION_LIST.map(([, option]) => option).filter((option) => option.inConfigFile);
  const name = { type: "string", pattern: TARGET_NAME.source, not: { const: "all" } };
  const schema = {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "vecfill.config.json",
    type: "object",
    additionalProperties: false,
    properties: {
      [SCHEMA_KEY]: { type: "string" },
      ...propertiesOf(inFile),
      [TARGETS_KEY]: {
        description: "several tables or columns to fill: vecfill run --target <name>, or all",
        type: "array",
        minItems: 1,
        items: {
          type: "object",
          additionalProperties: false,
          required: ["name"],
          properties: { name, ...propertiesOf(OPTIONS_OF_TARGET) },
        },
      },
    },
  };
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}

function propertiesOf(options: readonly Option<unknown>[]): Record<string, object> {
  return Object.fromEntries(
    options.map((option) => [
      configKeyOf(option.flag),
      { description: option.describe, ...typeOf(option) },
    ]),
  );
}

/** Some number that the option's range has, whatever it is. */
const NUMBERS = [1, 10, 1000, 100_000];

function typeOf({ value, choices, check }: Option<unknown>): object {
  if (value === undefined) return { type: "boolean" };
  if (choices !== undefined) return { enum: choices };
  const takesNumbers = NUMBERS.some((number) => "value" in check(number));
  return { type: takesNumbers ? ["number", "string"] : "string" };
}
