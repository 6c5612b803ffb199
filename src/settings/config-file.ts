/** `vecfill.config.json`: options under their names, in camelCase or with dashes. */
import { resolve } from "node:path";
import { isMissing } from "../disk/presence.ts";
import { UserError, usageError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { type Given } from "./option.ts";
import { OPTION_LIST, configKeyOf } from "./options.ts";
import { readIfThere } from "./small-file.ts";

export const usualConfigFile = "vecfill.config.json";
/** Lets an editor complete the file; vecfill does not read it. */
const SCHEMA_KEY = "$schema";

export type ConfigFile = Readonly<{
  /** As it was named. */
  file: string;
  /** By flag: what the file says, and under which key. */
  entries: ReadonlyMap<string, Readonly<{ key: string; given: Given }>>;
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
  const entries = new Map<string, { key: string; given: Given }>();
  for (const [key, value] of content === undefined ? [] : Object.entries(parse(content, file))) {
    if (key === SCHEMA_KEY) continue;
    const flag = flagOf(key, file);
    if (entries.has(flag)) throw wrong(file, `sets ${key} twice, with and without dashes`);
    entries.set(flag, { key, given: checkGiven(value, key, file) });
  }
  return { file, entries };
}

function notThere(file: string, cause: unknown): UserError {
  return new UserError(`There is no config file ${file}.`, {
    hint: `Check --config, or leave it out: \`vecfill init\` writes ${usualConfigFile}.`,
    exit: "usage",
    cause,
  });
}

function parse(content: string, file: string): object {
  const parsed = parseJson(content, file);
  if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed;
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

function flagOf(key: string, file: string): string {
  const flags = OPTION_LIST.filter(([, { inConfigFile }]) => inConfigFile).map(
    ([, { flag }]) => flag,
  );
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
