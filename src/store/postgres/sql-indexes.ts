/**
 * The ANN indexes on a table's embedding: read, dropped, and built again, each in a way that may be
 * repeated.
 *
 * Dropping is a plain DROP INDEX with a short lock_timeout: it must not stand in front of everybody else's queries for
 * long. Vacuum, which gives way after a second only, is kept out before.
 *
 * Building goes CONCURRENTLY where the connection is a session of the server's own: others go on
 * writing to the table meanwhile, and an HNSW graph over a million rows can take an hour. The price:
 * it is slower, it waits for old transactions, and one that fails leaves an invalid index, which the
 * next attempt recognises by its name and drops. Behind a pooler (PgBouncer, Supavisor), which may
 * hand every transaction to another session, settings hold within a transaction only, and no
 * transaction may hold CONCURRENTLY; so there it is a plain CREATE INDEX in one transaction with its
 * settings: reading goes on, writing to the table waits, and it leaves a whole index or none. Either
 * way the settings end with it, the role's statement_timeout does not apply, and nothing of it stays
 * on a connection that others use.
 *
 * maintenance_work_mem becomes what shared_buffers is, if that is more: servers give a quarter of
 * their memory to those, and a graph that fits is built several times as fast. Where that much cannot
 * be had (containers keep shared memory small), it is built once more with the server's own settings.
 */
import { randomUUID } from "node:crypto";
import { UserError } from "../../errors.ts";
import { quoteIdentifier, tableName, type Target } from "../../row/target.ts";
import { ANN_METHODS } from "../../row/write-cost.ts";
import { isOnEmbedding, tableQuery } from "../catalogue.ts";
import { cell, type Database, type Session } from "../database.ts";
import { explainFailure, failureCode } from "../failure.ts";
import {
  type AnnIndex,
  type BuildOutcome,
  type IndexProgress,
  type StandingIndex,
  type StoreIndexes,
  LOCK_WAITS,
} from "../port.ts";
import { qualifiedTable, quoteLiteral } from "../sql.ts";

const LOCK_TIMEOUT = "2s";

/** Their errors for people are UserErrors; nothing is repeated here. */
export function sqlIndexes(database: Database, target: Target): StoreIndexes {
  const explainedIndex = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw explainFailure(error, { label: database.label, target, where: undefined });
    }
  };
  return {
    read: (every = false) => explainedIndex(() => read(database, target, every)),
    drop: (name) => explainedIndex(() => drop(database, target, name)),
    build: (index, signal) => explainedIndex(() => build(database, target, index, signal)),
    progress: () => explainedIndex(() => progress(database, target)),
  };
}

async function read(database: Database, target: Target, every: boolean): Promise<StandingIndex[]> {
  const rows = await database.query(readSql(target, every));
  return rows.map((row) => ({
    name: cell(row, "name"),
    method: cell(row, "method"),
    definition: cell(row, "definition"),
    tablespace: row["tablespace"] ?? undefined,
    comment: row["comment"] ?? undefined,
    valid: cell(row, "valid") === "true",
    obstacle: row["obstacle"] ?? undefined,
  }));
}

/** Under a search path that shows nothing, the database qualifies every name in a definition. */
function readSql(target: Target, every: boolean): string {
  const isAnn = `m.amname IN (${ANN_METHODS.map(quoteLiteral).join(", ")}) AND ${isOnEmbedding(target)}`;
  return `
    WITH ${tableQuery(target)},
    vecfill_path AS MATERIALIZED (SELECT pg_catalog.set_config('search_path', 'pg_catalog', true))
    SELECT c.relname::text AS name, m.amname::text AS method, s.spcname::text AS tablespace,
      pg_catalog.pg_get_indexdef(i.indexrelid) AS definition,
      pg_catalog.obj_description(i.indexrelid, 'pg_class') AS comment, i.indisvalid::text AS valid,
      CASE
        WHEN i.indisunique OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid)
          THEN 'it belongs to a constraint'
        WHEN c.relkind <> 'i' OR c.relispartition THEN 'the table is partitioned'
        WHEN NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')
          THEN 'the role ' || current_user || ' does not own the table'
        WHEN NOT pg_catalog.has_schema_privilege(c.relnamespace, 'CREATE')
          THEN 'the role ' || current_user || ' may not create anything in its schema'
        WHEN s.oid IS NOT NULL AND NOT pg_catalog.has_tablespace_privilege(s.oid, 'CREATE')
          THEN 'the role ' || current_user || ' may not create anything in its tablespace'
      END AS obstacle
    FROM vecfill_path, vecfill_table, pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_am m ON m.oid = c.relam
    LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace
    WHERE i.indrelid = vecfill_table.oid AND ${every ? dependsOnEmbedding(target) : isAnn}
    ORDER BY c.relname`;
}

/** Also where it stands in the condition alone. */
function dependsOnEmbedding({ embedding }: Target): string {
  return `EXISTS (SELECT FROM pg_catalog.pg_depend d
      JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid
        AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid
        AND a.attname = ${quoteLiteral(embedding)})`;
}

async function drop(database: Database, target: Target, name: string): Promise<void> {
  try {
    await database.session((session) =>
      session.transaction([
        setting("lock_timeout", LOCK_TIMEOUT, "transaction"),
        `LOCK TABLE ${qualifiedTable(target)} IN SHARE UPDATE EXCLUSIVE MODE`,
        setting("lock_timeout", LOCK_WAITS.alone, "transaction"),
        `DROP INDEX IF EXISTS ${quoteIdentifier(target.schema)}.${quoteIdentifier(name)}`,
      ]),
    );
  } catch (error) {
    throw failureCode(error) === "55P03"
      ? busy(target, `dropping the index ${name}`, error)
      : error;
  }
}

async function build(
  database: Database,
  target: Target,
  index: AnnIndex,
  signal: AbortSignal,
): Promise<BuildOutcome> {
  signal.throwIfAborted();
  const standing = await read(database, target, true);
  const there = standing.find(({ name }) => name === index.name);
  if (there?.valid === true) return isSame(there, index) ? "standing" : "replaced";
  if (standing.some((other) => other.valid && isSame(other, index))) return "standing";
  if (await isUnderWay(database, target, index.name)) throw underWay(index);
  if (there !== undefined) await drop(database, target, index.name);
  await cancellable(database, target, index, signal);
  return "built";
}

/** But for its name, which who built it by hand may have chosen anew. */
function isSame(a: AnnIndex, b: AnnIndex): boolean {
  return unnamed(a) === unnamed(b);
}

/** The database quotes a name where it has to only. */
function unnamed({ definition, name }: AnnIndex): string {
  const start = [name, quoteIdentifier(name)]
    .map((printed) => `CREATE INDEX ${printed} ON `)
    .find((each) => definition.startsWith(each));
  return definition.slice(start?.length ?? 0);
}

/** Builds it; an abort cancels the statement at the server, and takes away what it leaves. */
async function cancellable(
  database: Database,
  target: Target,
  index: AnnIndex,
  signal: AbortSignal,
): Promise<void> {
  const mark = `vecfill ${randomUUID()}`;
  let cancelling: Promise<unknown> = Promise.resolve();
  const cancel = () => {
    // where it cannot be cancelled it goes on, and this waits for it as for any build
    cancelling = database.query(CANCEL_SQL, [mark]).catch(() => {});
  };
  signal.addEventListener("abort", cancel);
  try {
    await buildWithin(database, target, index, mark);
  } catch (error) {
    if (!signal.aborted) throw buildFailure(error, target, index);
    await drop(database, target, index.name);
    throw signal.reason;
  } finally {
    signal.removeEventListener("abort", cancel);
    await cancelling;
  }
}

/** The mark is a parameter here, so that this statement does not find itself. */
const CANCEL_SQL = `
  SELECT pg_catalog.pg_cancel_backend(pid)::text FROM pg_catalog.pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND pg_catalog.strpos(query, $1::text) > 0`;

/** With generous settings and, where these cannot be had, with the server's own. */
async function buildWithin(
  database: Database,
  target: Target,
  index: AnnIndex,
  mark: string,
): Promise<void> {
  try {
    await database.session((session) =>
      createIndex(session, target, index, { mark, generous: true }),
    );
  } catch (error) {
    if (!OUT_OF_MEMORY.includes(failureCode(error) ?? "")) throw error;
    await drop(database, target, index.name);
    await database.session((session) =>
      createIndex(session, target, index, { mark, generous: false }),
    );
  }
}

/** What Postgres says when shared memory for parallel workers cannot be had; or memory at all. */
const OUT_OF_MEMORY = ["53100", "53200"];

async function createIndex(
  session: Session,
  target: Target,
  index: AnnIndex,
  { mark, generous }: Readonly<{ mark: string; generous: boolean }>,
): Promise<void> {
  const comments =
    index.comment === undefined
      ? []
      : [
          `COMMENT ON INDEX ${quoteIdentifier(target.schema)}.${quoteIdentifier(index.name)} IS ${quoteLiteral(index.comment)}`,
        ];
  if (!session.isDirect) {
    const settings = settingsFor(index, "transaction", generous);
    const lock = setting("lock_timeout", LOCK_TIMEOUT, "transaction");
    await session.transaction([lock, ...settings, marked(index.definition, mark), ...comments]);
    return;
  }
  // its locks let others write, so it may wait for them
  for (const each of [
    setting("lock_timeout", "0", "session"),
    ...settingsFor(index, "session", generous),
  ]) {
    await session.statement(each);
  }
  await session.statement(marked(concurrently(index.definition), mark));
  for (const each of comments) await session.statement(each);
}

function marked(sql: string, mark: string): string {
  return `/* ${mark} */ ${sql}`;
}

function concurrently(definition: string): string {
  return definition.replace(/^CREATE INDEX /, "CREATE INDEX CONCURRENTLY ");
}

type Scope = "session" | "transaction";

function settingsFor({ tablespace }: AnnIndex, scope: Scope, generous: boolean): string[] {
  return [
    setting("statement_timeout", "0", scope),
    setting("default_tablespace", tablespace ?? "", scope),
    ...(generous
      ? [
          settingTo("maintenance_work_mem", MEMORY, scope),
          settingTo("max_parallel_maintenance_workers", WORKERS, scope),
        ]
      : []),
  ];
}

const MEMORY = `greatest(pg_catalog.pg_size_bytes(current_setting('maintenance_work_mem')),
  pg_catalog.pg_size_bytes(current_setting('shared_buffers'))) / 1024 || 'kB'`;
/** Half of what the server lends to parallel work: others use it as well. */
const WORKERS = `greatest(current_setting('max_parallel_maintenance_workers')::int,
  current_setting('max_parallel_workers')::int / 2)::text`;

function setting(name: string, value: string, scope: Scope): string {
  return settingTo(name, quoteLiteral(value), scope);
}

function settingTo(name: string, expression: string, scope: Scope): string {
  return `SELECT pg_catalog.set_config('${name}', ${expression}, ${scope === "transaction"})`;
}

/** A build of ours may go on at the server after its connection was lost. */
async function isUnderWay(database: Database, target: Target, name: string): Promise<boolean> {
  const [row] = await database.query(
    `WITH ${tableQuery(target)}
     SELECT count(*)::text AS builds
     FROM vecfill_table, pg_catalog.pg_stat_progress_create_index p
     LEFT JOIN pg_catalog.pg_class c ON c.oid = p.index_relid
     WHERE p.datname = current_database() AND p.relid = vecfill_table.oid
       AND (c.oid IS NULL OR c.relname = $1::text)`,
    [name],
  );
  return row !== undefined && cell(row, "builds") !== "0";
}

async function progress(database: Database, target: Target): Promise<IndexProgress | undefined> {
  const [row] = await database.query(
    `WITH ${tableQuery(target)}
     SELECT p.phase AS phase,
       CASE WHEN p.blocks_total > 0 THEN 100.0 * p.blocks_done / p.blocks_total
         WHEN p.tuples_total > 0 THEN 100.0 * p.tuples_done / p.tuples_total
         WHEN p.lockers_total > 0 THEN 100.0 * p.lockers_done / p.lockers_total END::text AS percent
     FROM vecfill_table, pg_catalog.pg_stat_progress_create_index p
     WHERE p.datname = current_database() AND p.relid = vecfill_table.oid
     ORDER BY p.pid LIMIT 1`,
  );
  if (row === undefined) return undefined;
  const percent = row["percent"] ?? undefined;
  return {
    phase: cell(row, "phase"),
    percent: percent === undefined ? undefined : Number(percent),
  };
}

function busy(target: Target, what: string, cause: unknown): UserError {
  const table = tableName(target);
  return new UserError(`Other transactions hold ${table}: ${what} had to wait for too long.`, {
    hint: `Wait until they have ended, or see which they are (select pid, state, query from pg_stat_activity where wait_event_type is distinct from 'Activity';), then run the same command again.`,
    cause,
  });
}

function underWay({ name }: AnnIndex): Error {
  return Object.assign(new Error(`the index ${name} is being built`), { code: "INDEX_UNDER_WAY" });
}

/** What the server has against this very index; what concerns the connection is explained elsewhere. */
function buildFailure(error: unknown, target: Target, { name, definition }: AnnIndex): unknown {
  const code = failureCode(error);
  if (code === "55P03") return busy(target, `building the index ${name}`, error);
  if (!(error instanceof Error) || code === undefined || !/^(22|42|54|57014|0A)/.test(code))
    return error;
  return new UserError(`The index ${name} could not be built: ${error.message}.`, {
    hint: `Mend that, then run the same command again. It is: ${definition}`,
    // a person who stopped it does not want it to begin again
    ...(code === "57014" ? {} : { cause: error }),
  });
}
