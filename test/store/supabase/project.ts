/** A Supabase project in small: a database with its roles, and the API in front of it. */
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { Pool } from "pg";
import type { ProgressEvent } from "../../../src/progress.ts";
import { readCatalogue } from "../../../src/store/catalogue.ts";
import type { Database } from "../../../src/store/database.ts";
import type { Store } from "../../../src/store/port.ts";
import { shapeOf } from "../../../src/store/rows.ts";
import { connectSupabase } from "../../../src/store/supabase/supabase.ts";
import { inOneStatement, installStatements } from "../../../src/store/supabase-functions.ts";
import { createSupabaseStore } from "../../../src/store/supabase/supabase-store.ts";
import { checkTarget } from "../../../src/row/target-check.ts";
import { quoteIdentifier as quoted, type Target } from "../../../src/row/target.ts";
import { createNativeDatabase } from "../postgres/native-database.ts";
import { SECRET_KEY } from "./keys.ts";
import {
  type Postgrest,
  type PostgrestOptions,
  PROJECT_ROLES,
  startPostgrest,
} from "./postgrest.ts";
import { type InTransaction, onPglite, onServer } from "./session.ts";

export type Project = Readonly<{
  api: Postgrest;
  /** As the SQL editor has it: the owner of everything. */
  database: Database;
  /** Several statements, as the SQL editor or `supabase db push` runs them. */
  runScript(sql: string): Promise<void>;
  /** What stores reported. */
  events: ProgressEvent[];
  store(target: Target, key?: string): Store;
  install(target: Target, options?: Installed): Promise<void>;
  close(): Promise<void>;
}>;

export const VECTOR_SCHEMA = "extensions";

export async function openProject(options: PostgrestOptions = {}): Promise<Project> {
  const pglite = await PGlite.create("memory://", { extensions: { vector } });
  const database: Database = {
    label: "the project's database",
    query: async (sql, parameters = []) => {
      const { rows } = await pglite.query<Record<string, string | null>>(sql, [...parameters]);
      return rows;
    },
    session: () => Promise.reject(new Error("no test of the API asks for a session")),
    script: () => Promise.reject(new Error("no test of the API asks for a script")),
    close: () => pglite.close(),
  };
  const runScript = async (sql: string): Promise<void> => {
    await pglite.exec(sql);
  };
  return setUp({ database, runScript }, onPglite(pglite), options, () => database.close());
}

/** The same on a native server, with the statement timeout of a hosted project. */
export async function openNativeProject(
  options: PostgrestOptions = {},
): Promise<Project & Readonly<{ url: string }>> {
  const native = await createNativeDatabase("public");
  await native.database.query("DROP EXTENSION vector");
  const pool = new Pool({ connectionString: native.url, max: 10 });
  const runScript = async (sql: string): Promise<void> => {
    await pool.query(sql);
  };
  const project = await setUp(
    { database: native.database, runScript },
    onServer(pool),
    { statementTimeout: "8s", ...options },
    async () => {
      await pool.end();
      await native.drop();
    },
  );
  return { ...project, url: native.url };
}

async function setUp(
  { database, runScript }: Pick<Project, "database" | "runScript">,
  inTransaction: InTransaction,
  options: PostgrestOptions,
  closeDatabase: () => Promise<void>,
): Promise<Project> {
  for (const statement of PROJECT_ROLES) await database.query(statement);
  await database.query(`CREATE SCHEMA ${VECTOR_SCHEMA}`);
  await database.query(
    `GRANT USAGE ON SCHEMA ${VECTOR_SCHEMA} TO anon, authenticated, service_role`,
  );
  await database.query(`CREATE EXTENSION vector SCHEMA ${VECTOR_SCHEMA}`);
  const api = await startPostgrest(inTransaction, options);
  const events: ProgressEvent[] = [];
  const watched = {
    ...database,
    query: async (sql: string, parameters?: Parameters<Database["query"]>[1]) => {
      const rows = await database.query(sql, parameters);
      if (changesSchema(sql)) api.schemaChanged();
      return rows;
    },
  };
  return {
    api,
    database: watched,
    runScript: async (sql) => {
      await runScript(sql);
      api.schemaChanged();
    },
    events,
    store: (target, key = SECRET_KEY) =>
      createSupabaseStore(connectSupabase({ url: api.url, key }), target, {
        report: (event) => events.push(event),
      }),
    install: (target, installed = {}) => install(watched, target, installed),
    close: async () => {
      await api.close();
      await closeDatabase();
    },
  };
}

/** As Supabase's event trigger sees it. */
function changesSchema(sql: string): boolean {
  return !/^\s*(select|insert|update|delete|truncate)\b/i.test(sql);
}

type Installed = Readonly<{ trigger?: boolean; fingerprint?: boolean }>;

async function install(
  database: Database,
  target: Target,
  { trigger = false, fingerprint = false }: Installed,
): Promise<void> {
  const { description, extension } = await readCatalogue(database, target);
  checkTarget(target, description);
  const statements = installStatements(target, shapeOf(description, extension?.schema), {
    trigger,
    fingerprint,
    api: true,
  });
  await database.query(inOneStatement(statements));
}

/** What a new project's default grants give, for schemas and tables made by hand. */
export async function grantAll(database: Database, target: Target): Promise<void> {
  const table = `${quoted(target.schema)}.${quoted(target.table)}`;
  await database.query(`GRANT USAGE ON SCHEMA ${quoted(target.schema)} TO service_role`);
  const [there] = await database.query(
    `SELECT to_regclass('${table.replaceAll("'", "''")}')::text AS name`,
  );
  if (there?.["name"] == null) return;
  await database.query(`GRANT ALL ON ${table} TO service_role`);
}
