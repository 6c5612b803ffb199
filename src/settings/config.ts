/**
 * The settings: flag, then `VECFILL_*` variable, then config file, then default. Resolved once,
 * checked here, and trusted everywhere else.
 */
import { isSecretVariable } from "./access.ts";
import { ALL_TARGETS, type ConfigFile, loadConfigFile } from "./config-file.ts";
import {
  type Environment,
  isFound,
  placeOf,
  realEnvironment,
  valueOf,
  withEnvFiles,
} from "./environment/env-file.ts";
import { nearest, usageError, UserError } from "../errors.ts";
import type { CommandName, Given, Option } from "./option.ts";
import {
  OPTIONS,
  OPTION_LIST,
  type OptionName,
  type Settings,
  type ValuesOf,
  variableOf,
} from "./options.ts";
import { type FoundLeaves, isAlike, tableName, type Target } from "../row/target.ts";
import { namedTargets, requireColumns } from "./named-target.ts";

/** Where a value came from. `name` is what a person would look for: the flag, variable or key. */
export type GivenOrigin = Readonly<{
  source: "flag" | "environment" | "file";
  name: string;
  /** In a file that nobody named: it may have come with somebody else's repository. */
  isFound: boolean;
  /** Of a flag: as it stands in a command line. */
  words?: readonly string[];
}>;

export type Origin = GivenOrigin | Readonly<{ source: "default"; words?: readonly string[] }>;

export type Origins = Readonly<Record<OptionName, Origin>>;

/** Flags by name, without dashes, as the parser of the command line gave them. */
export type Flags = Readonly<Record<string, unknown>>;

export type Configuration = Readonly<{
  /** Of the target, or of the first of several. */
  settings: Settings;
  /** Of each: more than one with `--target all`. */
  targets: readonly Settings[];
  origins: Origins;
  /** Of each of the targets, in their order. */
  originsOfEach: readonly Origins[];
  environment: Environment;
  warnings: readonly string[];
}>;

export type ConfigurationSources = Readonly<{
  flags: Flags;
  env: NodeJS.ProcessEnv;
  /** In which the files are looked for. */
  folder: string;
  /** Undefined: any may follow. */
  command?: CommandName;
}>;

/** Throws a UserError that names the flag, variable or file with the wrong value. */
export async function loadConfiguration(sources: ConfigurationSources): Promise<Configuration> {
  const { flags, env, folder, command } = sources;
  const real = realEnvironment(env);
  const envFile = nameOfOption(OPTIONS.envFile, flags, real);
  const environment = await withEnvFiles(real, folder, envFile.path);
  const config = nameOfOption(OPTIONS.config, flags, environment);
  const file = { ...(await loadConfigFile(folder, config.path)), isFound: config.isFound };
  const each = askedTargets(flags, environment, file, command).map((target) =>
    resolveSettings(flags, environment, { ...file, target }),
  );
  const [first] = each;
  if (first === undefined) throw new Error("there is no target");
  const targets = each.map(({ settings }) => settings);
  // what follows a command without a target, or over all of them, has to name one
  const isOne = each.length === 1 && OPTIONS.target.commands.includes(command ?? "run");
  const isNamed = file.targets.size < 2 || isOne || first.origins.target.source !== "default";
  const target: Origin = { source: "default", words: ["--target", ALL_TARGETS] };
  requireColumns(targets);
  return {
    ...first,
    origins: isNamed ? first.origins : { ...first.origins, target },
    targets,
    originsOfEach: each.map(({ origins }) => origins),
    environment,
    warnings: [...mistypedVariables(environment), ...openSecrets(environment)],
  };
}

/** `target`: the name of the one that is asked for. */
type TrustedFile = ConfigFile & Readonly<{ isFound: boolean; target?: string | undefined }>;

/** Of the targets that are asked for; undefined: the one that the settings are by themselves. */
function askedTargets(
  flags: Flags,
  environment: Environment,
  file: TrustedFile,
  command: CommandName | undefined,
): readonly (string | undefined)[] {
  const found = find(OPTIONS.target, flags, environment, file);
  const asked = found && checkedValue(OPTIONS.target, found);
  const naming = NAMING.map((name) => OPTIONS[name].flag).find((flag) => flags[flag] !== undefined);
  const { targets, entries, file: name } = file;
  const isBeside = entries.has("table") && targets.values().some((own) => own.has("table"));
  return namedTargets([...targets.keys()], { asked, naming, isBeside, command, file: name });
}

/** With one of these a command line names a table itself; a column goes to the target. */
const NAMING = ["schema", "table"] as const;

function resolveSettings(
  flags: Flags,
  environment: Environment,
  file: TrustedFile,
): Pick<Configuration, "settings" | "origins"> {
  const values: Record<string, unknown> = {};
  const origins: Record<string, Origin> = {};
  for (const [name, option] of OPTION_LIST) {
    const found = find(option, flags, environment, file);
    values[name] = found === undefined ? option.default : checkedValue(option, found);
    origins[name] = found?.origin ?? { source: "default" };
  }
  if (!hasAll(OPTIONS, values) || !isOrigins(origins)) throw new Error("an option got no value");
  const place = schemaOfTable(values, origins);
  const settings = {
    ...values,
    ...place,
    target: file.target,
    json: values.json || values.format === "json",
  };
  checkTogether(settings, origins);
  const { table } = origins;
  if (!("schema" in place) || table.source === "default") return { settings, origins };
  // a command line names it with the table
  return { settings, origins: { ...origins, schema: { ...table, words: [] } } };
}

/** `--table app.questions` names both, where no schema is given but by the file, whose table is another. */
function schemaOfTable({ table }: Pick<Settings, "table">, origins: Origins) {
  const [schema, name, ...more] = table.split(".");
  const others = origins.table.source === "file" ? ["default"] : ["default", "file"];
  const isFree = others.includes(origins.schema.source);
  return isFree && schema && name && more.length === 0 ? { schema, table: name } : {};
}

type OptionTable = Readonly<Record<string, Option<unknown>>>;

/** Of options that flags alone can give; an empty flag counts as not given. */
export function flagValues<O extends OptionTable>(options: O, flags: Flags): ValuesOf<O> {
  const values = Object.fromEntries(
    Object.entries(options).map(([name, option]) => {
      const found = inFlags(option, flags);
      const isEmpty = found === undefined || found.given === "";
      return [name, isEmpty ? option.default : checkedValue(option, found)];
    }),
  );
  if (!hasAll(options, values)) throw new Error("an option got no value");
  return values;
}

function hasAll<O extends OptionTable>(
  options: O,
  values: Readonly<Record<string, unknown>>,
): values is ValuesOf<O> {
  return Object.keys(options).every((name) => name in values);
}

export function targetOf(settings: Settings): Target {
  const { schema, table, id, text, embedding, model, dimensions, taskType } = settings;
  return { schema, table, id, text, embedding, model, dimensions, taskType };
}

/** Of the tables that the asked one stands for. Without any it is itself, and whoever goes there says what is wrong. */
export function leavesOf(asked: Settings, { leaves, kin, all }: FoundLeaves): readonly Settings[] {
  const has = isAlike(targetOf(asked), (table) => kin.has(table) || !all.has(table));
  const tables = leaves.map(({ schema, table, isPartition }) => ({
    schema,
    table,
    ...(isPartition && { kin: { tables: kin, has } }),
  }));
  const [first = asked] = tables;
  if (tables.length < 2 && tableName(first) === tableName(asked)) return [{ ...asked, ...first }];
  const targets = [asked, ...tables].map((table) => targetOf({ ...asked, ...table }));
  const siblings = { name: tableName(asked), targets, has };
  return tables.map((table) => {
    const own = table.schema === asked.schema ? [table.table] : [table.schema, table.table];
    const names = asked.target === undefined ? [] : [asked.target];
    const target = [...names, ...own.map(inFileNames)].join(".");
    return { ...asked, ...table, target, siblings };
  });
}

/** As it stands in names of files, of no two tables the same. */
function inFileNames(name: string): string {
  return name.replaceAll(/[^\p{L}\p{N}_-]/gu, (character) =>
    Buffer.from(character).toString("hex").toUpperCase().replaceAll(/../g, "%$&"),
  );
}

/** Tables that were asked for as one have one limit. `rows`: what was taken of it by the first `of` all. */
export function restOf(its: Settings, of: readonly Settings[], rows: readonly number[]): Settings {
  const { limit, siblings } = its;
  const taken = rows.filter((_, at) => siblings !== undefined && of[at]?.siblings === siblings);
  if (limit === undefined || taken.length === 0) return its;
  return { ...its, limit: Math.max(0, limit - taken.reduce((sum, each) => sum + each, 0)) };
}

function describeOrigin(origin: Origin): string {
  return origin.source === "default" ? "the default" : origin.name;
}

type Found = Readonly<{ given: unknown; origin: GivenOrigin }>;

/** The one line of precedence. */
function find(
  option: Option<unknown>,
  flags: Flags,
  environment: Environment,
  file: TrustedFile,
): Found | undefined {
  return inFlags(option, flags) ?? inEnvironment(option, environment) ?? inFile(option, file);
}

function inFlags({ flag }: Option<unknown>, flags: Flags): Found | undefined {
  const given = flags[flag];
  if (given === undefined) return undefined;
  const isSwitch = typeof given === "boolean";
  const value = typeof given === "string" ? [given] : [];
  const words = [`--${isSwitch && !given ? "no-" : ""}${flag}`, ...value];
  return { given, origin: { source: "flag", name: `--${flag}`, isFound: false, words } };
}

function inEnvironment({ flag }: Option<unknown>, environment: Environment): Found | undefined {
  const variable = variableOf(flag);
  const given = valueOf(environment, variable);
  if (given === undefined) return undefined;
  const [name, found] = [placeOf(environment, variable), isFound(environment, variable)];
  return { given, origin: { source: "environment", name, isFound: found } };
}

/** What the target has of its own comes first. */
function inFile(
  { flag }: Option<unknown>,
  { entries, targets, target, file, isFound: found }: TrustedFile,
): Found | undefined {
  const own = targets.get(target ?? "")?.get(flag);
  const entry = own ?? entries.get(flag);
  if (entry === undefined) return undefined;
  const name = `${entry.key}${own === undefined ? "" : ` of target ${target}`} in ${file}`;
  return { given: entry.given, origin: { source: "file", name, isFound: found } };
}

/**
 * Where the option that says which file to read names one. It cannot stand in such a file itself; a
 * file that a found one names is found as well.
 */
function nameOfOption(
  option: Option<string | undefined>,
  flags: Flags,
  environment: Environment,
): Readonly<{ path: string | undefined; isFound: boolean }> {
  const given = inFlags(option, flags) ?? inEnvironment(option, environment);
  if (given === undefined) return { path: option.default, isFound: true };
  return { path: checkedValue(option, given), isFound: given.origin.isFound };
}

function checkedValue<T>(option: Option<T>, { given, origin }: Found): T {
  if (Array.isArray(given)) throw usage(`${origin.name} is given ${given.length} times.`, option);
  const outcome = isGiven(given) ? option.check(given) : { wrong: "it has no value" };
  if ("value" in outcome) return outcome.value;
  throw usage(`${origin.name} is wrong: ${outcome.wrong}.`, option);
}

function isGiven(given: unknown): given is Given {
  return typeof given === "string" || typeof given === "number" || typeof given === "boolean";
}

function usage(message: string, { flag, describe }: Option<unknown>): UserError {
  return usageError(message, `--${flag}: ${describe}.`);
}

function isOrigins(origins: Record<string, Origin>): origins is Origins {
  return OPTION_LIST.every(([name]) => name in origins);
}

/** What no option can tell by itself. */
function checkTogether(settings: Settings, origins: Origins): void {
  if (settings.quiet && settings.verbose) {
    throw disagree("Quiet and verbose exclude each other", origins.quiet);
  }
  if (settings.quiet && settings.progressJson) {
    throw disagree("Quiet and progress as JSON exclude each other", origins.quiet);
  }
}

function disagree(what: string, origin: Origin): UserError {
  return usageError(`${what}.`, `Change ${describeOrigin(origin)}.`);
}

/** Files with a key or a password in them that others on this machine can read. */
function openSecrets({ files }: Environment): string[] {
  return files.flatMap(({ file, variables = [], readableByOthers }) => {
    const secrets = variables.filter(isSecretVariable);
    if (!readableByOthers || secrets.length === 0) return [];
    return [
      `${file} can be read by others on this machine, and holds ${secrets.join(", ")}: chmod 600 ${file}`,
    ];
  });
}

/** A mistyped variable would change nothing, and nobody would know. */
function mistypedVariables(environment: Environment): string[] {
  const prefix = variableOf("");
  const known = OPTION_LIST.map(([, { flag }]) => variableOf(flag).slice(prefix.length));
  return [...environment.variables.keys()]
    .filter((name) => name.startsWith(prefix) && !known.includes(name.slice(prefix.length)))
    .flatMap((name) => {
      const meant = nearest(name.slice(prefix.length), known);
      if (meant === undefined) return [];
      return [`${placeOf(environment, name)} is no option; did you mean ${prefix}${meant}?`];
    });
}
