/**
 * Embedded databases for tests: real ones, that are started once a process instead of once a test. Starting one
 * compiles ten megabytes of WebAssembly and runs initdb. In memory, a database that is closed is emptied and given
 * to whoever opens the next one; a folder starts from a prepared one.
 */
import { existsSync } from "node:fs";
import { cp, readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { PGlite, type PGliteOptions } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { preparedArchive, preparedFolder } from "./prepared.ts";

const IN_MEMORY = "memory://";
const createNew = PGlite.create.bind(PGlite);
/** Empty ones that nobody uses. */
const idle: PGlite[] = [];
/** By folder; those of `keepOpen`. */
const kept = new Map<string, Promise<PGlite> | undefined>();

/** From now on, whatever opens an embedded database in this process gets one of these. */
export function keepDatabases(): void {
  Object.assign(PGlite, { create });
}

async function create(where: string, options: PGliteOptions): Promise<PGlite> {
  if (where === IN_MEMORY) return borrow();
  const folder = resolve(where);
  if (kept.has(folder)) return openKept(folder);
  if (!existsSync(folder)) await cp(preparedFolder(), folder, { recursive: true });
  return createNew(where, options);
}

/**
 * The embedded database of this folder stays open between two commands of this process, and is in memory: for
 * tests of which no other process opens it. Its lock, beside it, is taken and let go as ever.
 */
export function keepOpen(folder: string): string {
  const path = resolve(folder);
  if (!kept.has(path)) kept.set(path, undefined);
  return `pglite:${folder}`;
}

/** After the last test of a file. */
export async function letKeptGo(): Promise<void> {
  const opened = [...kept.values()];
  kept.clear();
  for (const database of opened) if (database !== undefined) await giveBack(await database);
}

async function openKept(folder: string): Promise<PGlite> {
  const opened = kept.get(folder) ?? start();
  kept.set(folder, opened);
  const database = await opened;
  return lent(database, () => database.exec(NEXT_SESSION));
}

async function borrow(): Promise<PGlite> {
  const database = await start();
  return lent(database, () => giveBack(database));
}

/** For one opening of it: once that is closed, it takes no more calls, as a database that is closed does. */
function lent(database: PGlite, onClose: () => Promise<unknown>): PGlite {
  let isClosed = false;
  const close = async () => {
    if (isClosed) return;
    isClosed = true;
    await onClose();
  };
  return new Proxy(database, {
    get: (target, name) => {
      if (name === "close") return close;
      if (isClosed) throw new Error("PGlite is closed");
      if (withVector.has(target) && CALLS.includes(name)) return firstCall(target, name);
      return member(target, name);
    },
  });
}

function member(database: PGlite, name: string | symbol): unknown {
  if (name === "query") return queryPlanned(database);
  const value: unknown = Reflect.get(database, name, database);
  return typeof value === "function" ? value.bind(database) : value;
}

/**
 * To make the extension, and to drop it, takes half as long as a file's tests do. So it stays in an empty database, for a
 * borrower whose first statement makes it; for any other one it goes first.
 */
const withVector = new WeakSet<PGlite>();
const CALLS: readonly (string | symbol)[] = ["query", "exec", "transaction"];
const MAKES_VECTOR = /^CREATE EXTENSION (?:IF NOT EXISTS )?vector$/;

function firstCall(database: PGlite, name: string | symbol) {
  return async (...given: unknown[]): Promise<unknown> => {
    if (withVector.delete(database)) {
      const nothing = { rows: [], fields: [], affectedRows: 0 };
      if (MAKES_VECTOR.test(String(given[0]))) return name === "exec" ? [nothing] : nothing;
      await database.exec("DROP EXTENSION vector CASCADE");
    }
    const call = member(database, name);
    if (typeof call !== "function") throw new TypeError(`${String(name)} is no call`);
    return call(...given);
  };
}

/** The catalogue's query has more, and hardly another. */
const LONG_SQL = 5_000;
/** Of the session: names of prepared statements by their text. */
const prepared = new WeakMap<PGlite, Map<string, string>>();

/** As `query`; a long SELECT is planned once a session: here that takes longer than to run it. */
function queryPlanned(database: PGlite): PGlite["query"] {
  return async (sql, parameters, options) => {
    const isLong = sql.length >= LONG_SQL && sql.startsWith("SELECT");
    if (!isLong || (parameters ?? []).length > 0) {
      return database.query(sql, parameters, options);
    }
    const names = prepared.get(database) ?? new Map<string, string>();
    prepared.set(database, names);
    const name = names.get(sql) ?? `planned_${names.size}`;
    if (!names.has(sql)) await database.exec(`PREPARE ${name} AS ${sql}`);
    names.set(sql, name);
    return database.query(`EXECUTE ${name}`, [], options);
  };
}

async function start(): Promise<PGlite> {
  const database = idle.pop();
  if (database !== undefined) return database;
  const loadDataDir = new Blob([await readFile(preparedArchive())]);
  return createNew({ loadDataDir, extensions: { vector } });
}

async function giveBack(database: PGlite): Promise<void> {
  await endSession(database);
  withVector.delete(database);
  await database.exec(EMPTY);
  const { rows } = await database.query("SELECT FROM pg_extension WHERE extname = 'vector'");
  if (rows.length > 0) withVector.add(database);
  idle.push(database);
}

/** As a new session finds it, but for the plans: the next command on the same folder asks the catalogue the same. */
const NEXT_SESSION = `ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *;
  SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES`;

/** Two calls: what follows cannot run in the transaction of several statements. */
async function endSession(database: PGlite): Promise<void> {
  await database.exec("ROLLBACK");
  await database.exec("DISCARD ALL");
  prepared.delete(database);
}

/**
 * As after initdb: no schema but an empty `public`, no extension, no role of a test's own. But for `vector`, as it was made.
 * A `public` with nothing of a test's but tables is emptied by dropping those: to move `vector` out of it and back takes
 * ten times as long.
 */
const EMPTY = `
  DO $$
  DECLARE
    each text;
    aside text := 'aside of the tests';
    only_tables boolean;
  BEGIN
    FOR each IN SELECT evtname FROM pg_event_trigger LOOP
      EXECUTE format('DROP EVENT TRIGGER %I', each);
    END LOOP;
    FOR each IN SELECT extname FROM pg_extension e WHERE extname <> 'plpgsql' AND (
      extname <> 'vector' OR extowner::regrole::text <> current_user OR EXISTS (
        SELECT FROM pg_depend d LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
        LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
        WHERE d.refobjid = e.oid AND d.deptype = 'e' AND coalesce(p.proacl, t.typacl) IS NOT NULL
      )
    ) LOOP
      EXECUTE format('DROP EXTENSION %I CASCADE', each);
    END LOOP;
    only_tables := EXISTS (
      SELECT FROM pg_namespace n WHERE nspname = 'public' AND nspowner = 'pg_database_owner'::regrole
        AND nspacl::text = '{pg_database_owner=UC/pg_database_owner,=U/pg_database_owner}'
        AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector' AND extnamespace <> n.oid)
        AND NOT EXISTS (
          SELECT FROM pg_depend d WHERE refclassid = 'pg_namespace'::regclass AND refobjid = n.oid
            AND classid <> 'pg_extension'::regclass
            AND NOT EXISTS (SELECT FROM pg_class c WHERE classid = 'pg_class'::regclass AND c.oid = objid AND relkind IN ('r', 'p', 'S'))
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')
        )
    );
    IF only_tables THEN
      FOR each IN SELECT format('%s IF EXISTS public.%I', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname)
        FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S') ORDER BY relkind = 'S'
      LOOP
        EXECUTE format('DROP %s CASCADE', each);
      END LOOP;
    ELSE
      EXECUTE format('CREATE SCHEMA %I', aside);
      FOR each IN SELECT extname FROM pg_extension WHERE extname = 'vector' LOOP
        EXECUTE format('ALTER EXTENSION %I SET SCHEMA %I', each, aside);
      END LOOP;
      DROP SCHEMA IF EXISTS public CASCADE;
    END IF;
    FOR each IN SELECT nspname FROM pg_namespace
      WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public', aside)
    LOOP
      EXECUTE format('DROP SCHEMA %I CASCADE', each);
    END LOOP;
    FOR each IN SELECT rolname FROM pg_roles WHERE oid >= 16384 LOOP
      EXECUTE format('DROP OWNED BY %I CASCADE', each);
      EXECUTE format('DROP ROLE %I', each);
    END LOOP;
    IF EXISTS (SELECT FROM pg_default_acl) THEN
      RAISE 'a test has left default privileges outside of a schema of its own';
    END IF;
    EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
    EXECUTE format('ALTER ROLE %I RESET ALL', current_user);
    IF NOT only_tables THEN
      CREATE SCHEMA public AUTHORIZATION pg_database_owner;
      GRANT USAGE ON SCHEMA public TO PUBLIC;
      COMMENT ON SCHEMA public IS 'standard public schema';
      FOR each IN SELECT extname FROM pg_extension WHERE extname = 'vector' LOOP
        EXECUTE format('ALTER EXTENSION %I SET SCHEMA public', each);
      END LOOP;
      EXECUTE format('DROP SCHEMA %I', aside);
    END IF;
  END $$`;
