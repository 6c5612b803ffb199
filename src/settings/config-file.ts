/** `vecfill.config.json`: options under their names, in camelCase or with dashes. */
import { resolve } from "node:path";
import { isMissing } from "../disk/presence.ts";
import { nearest, usageError, UserError } from "../errors.ts";
import type { Given, Option } from "./option.ts";
import { OPTION_LIST, OPTIONS_OF_TARGET, configKeyOf } from "./options.ts";
import { isJsonObject, type JsonObject } from "../row/json-value.ts";
import { readIfThere } from "./environment/small-file.ts";

export const usualConfigFile = "vecfill.config.json";
/** Lets an editor complete the file; vecfill does not read it. */
export const SCHEMA_KEY = "$schema";
/** In a folder in which the package is installed. */
export const SCHEMA_FILE = "node_modules/vecfill/vecfill.config.schema.json";
export const TARGETS_KEY = "targets";
/** Every target; so none is called that. */
export const ALL_TARGETS = "all";
const NAME_KEY = "name";
/** It stands in file names and command lines. */
export const TARGET_NAME = /^[\w.-]{1,63}$/;

/** By flag: what the file says, and under which key. */
type Entries = ReadonlyMap<string, Readonly<{ key: string; given: Given }>>;

export type ConfigFile = Readonly<{
  /** As it was named. */
  file: string;
  entries: Entries;
  /** By name: what each has of its own. */
  targets: ReadonlyMap<string, Entries>;
}>;

/** `named`: the file asked for, which then has to be there; the usual one is read if there. */
export async function loadConfigFile(
  folder: string,
  named: string | undefined,
): Promise<ConfigFile> {
  const file = named ?? usualConfigFile;
  const content = await readIfThere(resolve(folder, file), {
    isWanted: named !== undefined,
    refuse: (what, cause) => (isMissing(cause) ? notThere(file, cause) : wrong(file, what, cause)),
  });
  const {
    [SCHEMA_KEY]: _,
    [TARGETS_KEY]: targets,
    ...settings
  } = content === undefined ? {} : parse(content, file);
  const options = OPTION_LIST.map(([, option]) => option).filter((option) => option.inConfigFile);
  return { file, entries: entriesOf(settings, file, options), targets: targetsOf(targets, file) };
}

function entriesOf(settings: object, file: string, options: readonly Option<unknown>[]): Entries {
  const flags = options.map(({ flag }) => flag);
  const entries = new Map<string, { key: string; given: Given }>();
  for (const [key, value] of Object.entries(settings)) {
    const flag = flagOf(key, file, flags);
    if (entries.has(flag)) throw wrong(file, `sets ${key} twice, with and without dashes`);
    entries.set(flag, { key, given: checkGiven(value, key, file) });
  }
  return entries;
}

const A_LIST = 'such as [{"name": "questions", "table": "questions"}]';

function targetsOf(given: unknown, file: string): ReadonlyMap<string, Entries> {
  const targets = new Map<string, Entries>();
  if (given === undefined) return targets;
  if (!Array.isArray(given)) throw wrong(file, `has ${TARGETS_KEY} that are no list: ${A_LIST}`);
  if (given.length === 0)
    throw wrong(file, `has no target in ${TARGETS_KEY}: name one, ${A_LIST}, or leave it out`);
  for (const each of given) {
    const { [NAME_KEY]: name, ...settings } = isJsonObject(each) ? each : {};
    if (typeof name !== "string" || !TARGET_NAME.test(name) || name === ALL_TARGETS) {
      throw wrong(
        file,
        `has a target without a name of letters, digits, dots and dashes (and not ${ALL_TARGETS})`,
      );
    }
    if (targets.has(name)) throw wrong(file, `has two targets of the name ${name}`);
    targets.set(name, entriesOf(settings, file, OPTIONS_OF_TARGET));
  }
  return targets;
}

function notThere(file: string, cause: unknown): UserError {
  return new UserError(`There is no config file ${file}.`, {
    hint: `Check --config, or leave it out: \`vecfill init\` writes ${usualConfigFile}.`,
    exit: "usage",
    cause,
  });
}

function parse(content: string, file: string): JsonObject {
  const parsed = parseJson(content, file);
  if (isJsonObject(parsed)) return parsed;
  throw wrong(file, "holds no object");
}

function parseJson(content: string, file: string): unknown {
  try {
    return JSON.parse(content);
  } catch (error) {
    // only the place: the parser's message quotes the file, and somebody may have put a key there
    const place = /\(line \d+ column \d+\)/.exec(String(error))?.[0] ?? "";
    throw wrong(file, `is not JSON ${place}`.trimEnd());
  }
}

function flagOf(key: string, file: string, flags: readonly string[]): string {
  const flag = flags.find((known) => known === key || configKeyOf(known) === key);
  if (flag !== undefined) return flag;
  const near = nearest(key, flags.map(configKeyOf));
  throw usageError(
    `The config file ${file} sets ${key}, which is no option of it.`,
    near === undefined ? KEYS_HINT : `Did you mean ${near}?`,
  );
}

const KEYS_HINT =
  "Take it out; `vecfill --help` names the options. Keys and addresses belong in the environment or .env.local.";

function checkGiven(value: unknown, key: string, file: string): Given {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
    return value;
  }
  throw wrong(file, `sets ${key} to neither text, number, true nor false`);
}

function wrong(file: string, what: string, cause?: unknown): UserError {
  return new UserError(`The config file ${file} ${what}.`, {
    hint: "Mend it, or name another with --config.",
    exit: "usage",
    cause,
  });
}
