/** What `vecfill init` finds and writes. Everything is looked at before the first file is written. */
import { join, resolve } from "node:path";
import type { Clock } from "../clock.ts";
import { replaceFile } from "../durable-file.ts";
import type { Examination } from "../store/port.ts";
import { shapeOf } from "../store/rows.ts";
import {
  inOneStatement,
  installStatements,
  removeStatements,
  targetHash,
} from "../store/supabase-functions.ts";
import { checkTarget } from "../target-check.ts";
import { tableName, type Target } from "../target.ts";
import { MIGRATIONS_FOLDER, newestMigration, nextFile, writeMigration } from "./migration.ts";
import { draftConfigFile } from "./settings-file.ts";

export type InitOptions = Readonly<{
  target: Target;
  /** In which the files are. */
  folder: string;
  configFile: string;
  /** There is a Supabase project: its API wants the functions. */
  migration: boolean;
  trigger: boolean;
  apply: boolean;
  remove: boolean;
  dryRun: boolean;
}>;

export type InitServices = Readonly<{
  examine(target: Target): Promise<Examination>;
  execute(sql: string): Promise<void>;
  clock: Clock;
}>;

/** `changed`: written now, or would be. Undefined: there is no such file, nor need for one. */
export type InitSummary = Readonly<{
  config: Readonly<{ file: string; changed: boolean }>;
  migration: Readonly<{ file: string; changed: boolean }> | undefined;
  applied: boolean;
}>;

export async function init(services: InitServices, options: InitOptions): Promise<InitSummary> {
  const { folder, target, configFile, dryRun } = options;
  const configPath = resolve(folder, configFile);
  const config = options.remove ? undefined : await draftConfigFile(configPath, target);
  const sql = options.migration ? await draftMigration(services, options) : undefined;
  if (!dryRun) {
    if (config !== undefined) await replaceFile(configPath, config);
    if (sql?.content !== undefined) await writeMigration(sql.path, sql.content);
    if (sql !== undefined && options.apply) await services.execute(inOneStatement(sql.statements));
  }
  return {
    config: { file: configFile, changed: config !== undefined },
    migration:
      sql?.path === undefined ? undefined : { file: sql.file, changed: sql.content !== undefined },
    applied: sql !== undefined && options.apply && !dryRun,
  };
}

type MigrationDraft = Readonly<{
  statements: readonly string[];
  /** As it is named to people. */
  file: string;
  path: string;
  /** Undefined: the newest one says the same. */
  content: string | undefined;
}>;

async function draftMigration(
  services: InitServices,
  options: InitOptions,
): Promise<MigrationDraft | undefined> {
  const { target, folder, remove } = options;
  const migrations = join(folder, MIGRATIONS_FOLDER);
  const name = `vecfill_${targetHash(target)}`;
  const newest = await newestMigration(migrations, name);
  const shown = (path: string): string => path.slice(folder.length).replace(/^[/\\]/, "");
  const statements = remove
    ? removeStatements(target)
    : await functionStatements(services, options, newest?.content ?? "");
  const content = migrationText(target, statements, remove);
  const nothingToRemove = remove && newest === undefined;
  if (newest?.content === content || nothingToRemove) {
    const path = newest?.file ?? "";
    return { statements, file: shown(path), path, content: undefined };
  }
  const path = await nextFile(migrations, name, services.clock.now());
  return { statements, file: shown(path), path, content };
}

/** A trigger that an earlier migration made stays in. */
async function functionStatements(
  { examine }: InitServices,
  { target, trigger }: InitOptions,
  newest: string,
): Promise<string[]> {
  const { description, vectorSchema } = await examine(target);
  checkTarget(target, description);
  const shape = shapeOf(description, vectorSchema);
  return installStatements(target, shape, {
    trigger: trigger || newest.includes("\ncreate trigger "),
  });
}

function migrationText(target: Target, statements: readonly string[], remove: boolean): string {
  const what = JSON.stringify(`${tableName(target)}.${target.embedding} from ${target.text}`);
  const header = remove
    ? `-- Takes out what \`vecfill init\` made for ${what}.`
    : `-- Made by \`vecfill init\` for ${what}.
-- Functions through which vecfill reads and fills this column over Supabase's API. They run with the
-- rights of the caller, and only service_role may execute them. May be run again at any time.
-- \`vecfill init --remove\` makes a migration that takes them out.`;
  return `${header}\n\n${statements.map((statement) => `${statement};\n`).join("\n")}`;
}
