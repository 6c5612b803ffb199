/**
 * The manifest in tables, beside the column that it is about: schema `vecfill`, one manifest a database. `event` is the
 * truth, an event a row, in one order that `manifest.last_event` keeps; nobody may change or delete one. `job` says of each
 * job which of its moves was the last: a vector is written only while that is the one of whoever writes. `file` holds what events
 * speak of by a checksum, compressed.
 */
import { UserError } from "../../errors.ts";

/** Every cell as the database prints it. */
export type Row = Readonly<Record<string, string | null>>;
type Parameter =
  | string
  | number
  | null
  | readonly string[]
  | Readonly<{ typeOid: number; bytes: Buffer }>;

/** A database, as far as it is needed here: one statement, or several that go as one. Each may be repeated by whoever gives it. */
export type Tables = Readonly<{
  query(sql: string, parameters?: readonly Parameter[]): Promise<Row[]>;
  script(sql: string): Promise<Row[]>;
}>;

/** Another number for tables that an older vecfill cannot read. */
const TABLES_VERSION = 1;
/** Two that make them at once would meet in the catalogue. */
const MAKING_LOCK = 8_322_719_042;

const TABLES_SQL = `
  SELECT pg_advisory_xact_lock(${MAKING_LOCK})::text;
  -- a session may still believe that it is not there, which it saw before the lock
  DO $$ BEGIN CREATE SCHEMA vecfill; EXCEPTION WHEN duplicate_schema OR unique_violation THEN END $$;
  CREATE TABLE IF NOT EXISTS vecfill.manifest (
    id text PRIMARY KEY,
    version int NOT NULL,
    epoch int NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'active',
    last_event bigint NOT NULL DEFAULT 0,
    last_job bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
  );
  CREATE TABLE IF NOT EXISTS vecfill.job (
    manifest text NOT NULL,
    id text NOT NULL,
    seq int NOT NULL,
    state text NOT NULL,
    PRIMARY KEY (manifest, id)
  );
  CREATE TABLE IF NOT EXISTS vecfill.event (
    manifest text NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    holder text NOT NULL,
    body json NOT NULL,
    PRIMARY KEY (manifest, number)
  );
  CREATE TABLE IF NOT EXISTS vecfill.file (
    manifest text NOT NULL,
    job text NOT NULL,
    sha256 text NOT NULL,
    bytes bytea NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (manifest, job, sha256)
  );
  ALTER TABLE vecfill.file ALTER COLUMN bytes SET STORAGE EXTERNAL;
  CREATE TABLE IF NOT EXISTS vecfill.worker (
    id text PRIMARY KEY,
    host text NOT NULL,
    pid int NOT NULL,
    command text NOT NULL,
    lease interval NOT NULL,
    duties text[] NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
  );
  CREATE OR REPLACE FUNCTION vecfill.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RAISE EXCEPTION 'vecfill.event is append-only: it says what was paid for';
  END $$;
  CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON vecfill.event
    FOR EACH STATEMENT EXECUTE FUNCTION vecfill.refuse_change();
  REVOKE ALL ON SCHEMA vecfill FROM PUBLIC;`;

/** Needs CREATE on the database where they are not there yet. `id`: of the manifest, if there is none. */
export async function makeTables(tables: Tables, id: string): Promise<void> {
  if ((await readHead(tables)) !== undefined) return;
  await tables.script(`${TABLES_SQL}
    INSERT INTO vecfill.manifest (id, version)
      SELECT '${id}', ${TABLES_VERSION} WHERE NOT EXISTS (SELECT FROM vecfill.manifest)`);
}

/** Undefined where there is no shared manifest. Throws a UserError where a newer vecfill has made it. */
export async function readHead(tables: Tables): Promise<Readonly<{ id: string }> | undefined> {
  const [there] = await tables.query("SELECT to_regclass('vecfill.manifest')::text AS found");
  if (there?.["found"] === null) return undefined;
  const [row] = await tables.query("SELECT id, version::text AS version FROM vecfill.manifest");
  if (row === undefined) return undefined;
  if (Number(row["version"]) !== TABLES_VERSION) throw newerTables(textIn(row, "version"));
  return { id: textIn(row, "id") };
}

/** Whoever works on it writes nothing more from then on; undefined where there is no shared manifest. */
export async function changeState(
  tables: Tables,
  state: "active" | "paused",
): Promise<string | undefined> {
  if ((await readHead(tables)) === undefined) return undefined;
  const [row] = await tables.query(CHANGE, [state]);
  return row && textIn(row, "id");
}

/** Once the statements are through that write vectors: none counts on the state as it was. */
const CHANGE = `
  WITH seen AS MATERIALIZED (SELECT FROM vecfill.manifest FOR UPDATE)
  UPDATE vecfill.manifest SET epoch = epoch + (state <> $1)::int, state = $1
  WHERE (SELECT count(*) FROM seen) > 0 RETURNING id`;

export function textIn(row: Row, name: string): string {
  const value = row[name];
  if (typeof value === "string") return value;
  throw new Error(`the query gave no ${name}`);
}

function newerTables(version: string): UserError {
  return new UserError(
    `The tables of schema vecfill have version ${version}; this vecfill knows version ${TABLES_VERSION}.`,
    { hint: "Use the newest: `npm install --global vecfill@latest`. Nothing was changed." },
  );
}
