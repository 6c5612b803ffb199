/** What `vecfill init` finds and writes. Everything is looked at before the first file is written. */
import { appendFile, readFile } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import type { Clock } from "../../clock.ts";
import { replaceFile } from "../../disk/durable-file.ts";
import { exists, ifThere } from "../../disk/presence.ts";
import type { Examination, FunctionsSql } from "../../store/port.ts";
import { isJsonObject, type JsonObject } from "../../row/json-value.ts";
import { SCHEMA_FILE, SCHEMA_KEY, TARGETS_KEY } from "../../settings/config-file.ts";
import { checkTarget, noTable } from "../../row/target-check.ts";
import { columnName, type Target } from "../../row/target.ts";
import {
  type Migration,
  MIGRATIONS_FOLDERS,
  newestMigration,
  nextFile,
  writeMigration,
} from "./migration.ts";

export type InitOptions = Readonly<{
  target: Target;
  /** Of one of several; undefined: the file's settings are those of the target. */
  name: string | undefined;
  jobsDir: string;
  /** In which the files are. */
  folder: string;
  configFile: string;
  /** A Supabase project is named: its API wants the functions. */
  project: boolean;
  trigger: boolean;
  fingerprintColumn: boolean;
  apply: boolean;
  remove: boolean;
  dryRun: boolean;
  /** Statements that make what the target lacks. */
  lacks: readonly string[];
}>;

export type InitServices = Readonly<{
  examine(target: Target): Promise<Examination>;
  functionsSql(target: Target): Promise<FunctionsSql>;
  execute(statements: readonly string[]): Promise<void>;
  clock: Clock;
}>;

/** `changed`: written now, or would be. Undefined: there is no such file, nor need for one. */
export type InitSummary = Readonly<{
  /** `before`: another table that it named. */
  config: Readonly<{ file: string; changed: boolean; before: string | undefined }>;
  gitignore: Readonly<{ file: string; changed: boolean }>;
  migration: Readonly<{ file: string; changed: boolean }> | undefined;
  /** With the functions for an API; else it has the trigger alone. */
  functions: boolean;
  applied: boolean;
}>;

export async function init(services: InitServices, options: InitOptions): Promise<InitSummary> {
  const { folder, configFile, dryRun } = options;
  const configPath = resolve(folder, configFile);
  const config = options.remove ? undefined : await draftConfigFile(configPath, options);
  const ignored = options.remove ? undefined : await draftGitignore(options);
  if (options.lacks.length > 0) await services.execute(options.lacks);
  const sql = await draftMigration(services, options);
  if (!dryRun) {
    if (config !== undefined) await replaceFile(configPath, config.content);
    if (ignored !== undefined) await appendFile(join(folder, GITIGNORE), ignored);
    if (sql?.content !== undefined) await writeMigration(sql.path, sql.content);
    if (sql !== undefined && options.apply) await services.execute(sql.statements);
  }
  return {
    config: { file: configFile, changed: config !== undefined, before: config?.before },
    gitignore: { file: GITIGNORE, changed: ignored !== undefined },
    migration:
      sql?.path === undefined ? undefined : { file: sql.file, changed: sql.content !== undefined },
    functions: sql?.functions ?? false,
    applied: sql !== undefined && options.apply && !dryRun,
  };
}

type MigrationDraft = Readonly<{
  statements: readonly string[];
  functions: boolean;
  /** As it is named to people. */
  file: string;
  path: string;
  /** Undefined: the newest one says the same. */
  content: string | undefined;
}>;

/** Undefined where neither functions nor trigger are wanted. */
async function draftMigration(
  services: InitServices,
  options: InitOptions,
): Promise<MigrationDraft | undefined> {
  const { target, folder, remove } = options;
  const { project, trigger, fingerprintColumn, apply } = options;
  if (![project, trigger, fingerprintColumn, apply, remove].some(Boolean)) return undefined;
  const functionsSql = await services.functionsSql(target);
  const name = `vecfill_${functionsSql.hash}`;
  const newest = await newestOf(folder, name);
  const made = remove
    ? { statements: functionsSql.remove(), functions: true }
    : await statementsFor(services, options, { functionsSql, newest: newest?.content ?? "" });
  if (made === undefined) return undefined;
  const content = migrationText(target, made, remove);
  const nothingToRemove = remove && newest === undefined;
  const shown = (path: string): string => path.slice(folder.length).replace(/^[/\\]/, "");
  if (newest?.content === content || nothingToRemove) {
    const path = newest?.file ?? "";
    return { ...made, file: shown(path), path, content: undefined };
  }
  const usual = made.functions ? MIGRATIONS_FOLDERS.supabase : MIGRATIONS_FOLDERS.plain;
  const place = newest === undefined ? join(folder, usual) : dirname(newest.file);
  const path = await nextFile(place, name, services.clock.now());
  return { ...made, file: shown(path), path, content };
}

async function newestOf(folder: string, name: string): Promise<Migration | undefined> {
  const { supabase, plain } = MIGRATIONS_FOLDERS;
  return (
    (await newestMigration(join(folder, supabase), name)) ??
    (await newestMigration(join(folder, plain), name))
  );
}

type Made = Pick<MigrationDraft, "statements" | "functions">;

/** Triggers that an earlier migration made stay in. */
async function statementsFor(
  { examine }: InitServices,
  options: InitOptions,
  { functionsSql, newest }: Readonly<{ functionsSql: FunctionsSql; newest: string }>,
): Promise<Made | undefined> {
  const { target, project } = options;
  const seen = await examine(target);
  const { description, supabase } = seen;
  if (description.insteadOfTable?.endsWith("view") === true) throw noTable(target, description);
  checkTarget(target, description);
  const functions = project || supabase;
  const trigger = options.trigger || /^create trigger \S+_reset /m.test(newest);
  const fingerprint = options.fingerprintColumn || /^create trigger \S+_fingerprint /m.test(newest);
  if (!functions && !trigger && !fingerprint) return undefined;
  const statements = functionsSql.install(seen, { trigger, fingerprint, api: functions });
  return { functions, statements };
}

function migrationText(target: Target, { statements, functions }: Made, remove: boolean): string {
  const what = JSON.stringify(`${columnName(target)} from ${target.text}`);
  const header = remove
    ? `-- Takes out what \`vecfill init\` made for ${what}.`
    : `-- Made by \`vecfill init\` for ${what}.
${functions ? ABOUT_FUNCTIONS : ABOUT_TRIGGER}
-- May be run again at any time. \`vecfill init --remove\` makes a migration that takes everything out.`;
  return `${header}\n\n${statements.map((statement) => `${statement};\n`).join("\n")}`;
}

const ABOUT_FUNCTIONS = `-- Functions through which vecfill reads and fills this column over Supabase's API. They run with the
-- rights of the caller, and only service_role may execute them.`;
const ABOUT_TRIGGER = `-- Triggers: with _reset, a row whose text changes loses its vector, so that the next run fills it again; with
-- _fingerprint, a column says which text a vector was made of, so that \`vecfill verify\` finds those of other texts.`;

/** What the config file should hold, all but the target's settings as it is; undefined when it holds that already. */
async function draftConfigFile(
  path: string,
  { target, name, folder }: InitOptions,
): Promise<Readonly<{ content: string; before: string | undefined }> | undefined> {
  const content = await ifThere(readFile(path, "utf8"));
  const now: unknown = JSON.parse(content ?? "{}");
  if (!isJsonObject(now))
    throw new Error("the config file was checked before, and holds no object");
  const schema = join(folder, SCHEMA_FILE);
  const place = (await exists(schema)) && relative(dirname(path), schema).replaceAll("\\", "/");
  const named = { ...(place ? { [SCHEMA_KEY]: `./${place}` } : {}), ...now };
  const next =
    name === undefined
      ? withTarget(named, target)
      : { ...named, [TARGETS_KEY]: withTargetNamed(name, target, now[TARGETS_KEY]) };
  if (JSON.stringify(next) === JSON.stringify(now)) return undefined;
  const { table } = now;
  const isOther = name === undefined && typeof table === "string" && table !== target.table;
  return {
    content: `${JSON.stringify(next, undefined, 2)}\n`,
    before: isOther ? table : undefined,
  };
}

function withTargetNamed(name: string, target: Target, given: unknown): readonly JsonObject[] {
  const targets = Array.isArray(given) ? given.filter(isJsonObject) : [];
  const isThere = targets.some((each) => each["name"] === name);
  return [...targets, ...(isThere ? [] : [{ name }])].map((each) =>
    each["name"] === name ? withTarget(each, target) : each,
  );
}

/** A key may stand with dashes. */
function withTarget(file: JsonObject, target: Target): JsonObject {
  const next: Record<string, unknown> = { ...file };
  for (const [key, value] of Object.entries(target)) {
    const dashed = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    next[Object.hasOwn(file, dashed) ? dashed : key] = value;
  }
  return next;
}

const GITIGNORE = ".gitignore";

/** What to put behind what it holds: texts and keys are nobody else's. Undefined: it names them already. */
async function draftGitignore({ folder, jobsDir }: InitOptions): Promise<string | undefined> {
  const content = (await ifThere(readFile(join(folder, GITIGNORE), "utf8"))) ?? "";
  const within = relative(folder, resolve(folder, jobsDir));
  const isInside = within !== "" && !within.startsWith("..") && !isAbsolute(within);
  const wanted = [...(isInside ? [`/${within}/`] : []), ".env.local"];
  const there = content.split(/\r?\n/).map((line) => line.replace(/^\/|\/$/g, ""));
  const missing = wanted.filter((line) => !there.includes(line.replace(/^\/|\/$/g, "")));
  if (missing.length === 0) return undefined;
  const before = content === "" || content.endsWith("\n") ? "" : "\n";
  return `${before}${missing.join("\n")}\n`;
}
