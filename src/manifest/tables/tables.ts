/**
 * The manifest in tables, beside the column that it is about: schema `vecfill`, one manifest a database. `event` is the
 * truth, an event a row, in one order that `manifest.last_event` keeps; nobody may change or delete one. `job` says of each
 * job which of its moves was the last: a vector is written only while that is the one of whoever writes. `file` holds what events
 * speak of by a checksum, compressed. `saved` is what the events come to up to one of them: derived, and made again where it is lost.
 */
import { UserError } from "../../errors.ts";
import { isElsewhere, type Place } from "./elsewhere.ts";

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

/** In a statement that something is paid by, or a manifest goes on by: what a crash of the server takes back may have been paid for. */
export const DURABLY =
  "CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'local', true) END";

/** Of the type bytea. */
export const BYTES_OID = 17;

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
    -- in which it was made, or gone on with by a person's word: see which-database.ts
    database text NOT NULL,
    gone_to text,
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
  CREATE TABLE IF NOT EXISTS vecfill.saved (
    manifest text PRIMARY KEY,
    number bigint NOT NULL,
    holder text NOT NULL,
    bytes bytea NOT NULL
  );
  ALTER TABLE vecfill.saved ALTER COLUMN bytes SET STORAGE EXTERNAL;
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

/** `database`: as `whichDatabase` says it. */
type First = Readonly<{ id: string; database: string; state: "active" | "arriving" }>;

/** Needs CREATE on the database where they are not there yet. `first`: the manifest, if there is none. */
export async function makeTables(tables: Tables, first: First): Promise<void> {
  if ((await readHead(tables)) !== undefined) return;
  await tables.script(`${TABLES_SQL} ${firstSql(first)}`);
}

/** It comes from a folder, and is not whole yet; whoever worked on it before it left is locked out. One that nobody has used makes way. */
export async function beginArrival(tables: Tables, id: string, database: string): Promise<void> {
  const first: First = { id, database, state: "arriving" };
  await makeTables(tables, first);
  await tables.script(`
    SELECT pg_advisory_xact_lock(${MAKING_LOCK})::text;
    DELETE FROM vecfill.manifest WHERE id <> '${id}' AND last_event = 0 AND last_job = 0;
    ${firstSql(first)};
    UPDATE vecfill.manifest SET state = 'arriving', epoch = epoch + 1, database = '${database}'
      WHERE id = '${id}' AND state IN ('arriving', 'left')`);
}

function firstSql({ id, database, state }: First): string {
  return `
    INSERT INTO vecfill.manifest (id, version, database, state)
      SELECT '${id}', ${TABLES_VERSION}, '${database}', '${state}' WHERE NOT EXISTS (SELECT FROM vecfill.manifest)`;
}

export type Head = Place & Readonly<{ epoch: string; database: string }>;

/** Undefined where there is no shared manifest. Throws a UserError where a newer vecfill has made it. */
export async function readHead(tables: Tables): Promise<Head | undefined> {
  const [there] = await tables.query("SELECT to_regclass('vecfill.manifest')::text AS found");
  if (there?.["found"] === null) return undefined;
  const [row] = await tables.query(
    "SELECT id, version::text AS version, state, epoch::text AS epoch, database, gone_to FROM vecfill.manifest",
  );
  if (row === undefined) return undefined;
  if (Number(row["version"]) !== TABLES_VERSION) throw newerTables(textIn(row, "version"));
  const [id, state] = [textIn(row, "id"), textIn(row, "state")];
  const [epoch, database] = [textIn(row, "epoch"), textIn(row, "database")];
  return { id, state, epoch, database, goneTo: row["gone_to"] ?? null };
}

/** Once the statements are through that write vectors: none counts on the state as it was. One that is on its way to a folder is called back by it. */
const CHANGE = `
  WITH seen AS MATERIALIZED (SELECT FROM vecfill.manifest FOR UPDATE)
  UPDATE vecfill.manifest SET
    epoch = epoch + (state <> $1 OR $1 = 'active' AND database <> $2)::int, state = $1,
    database = CASE $1 WHEN 'active' THEN $2 ELSE database END
  WHERE (SELECT count(*) FROM seen) > 0 AND state IN ('active', 'paused', 'leaving') RETURNING id, ${DURABLY}`;

/**
 * Whoever works on it writes nothing more from then on. What is active is so in the `database` that is named. Undefined where there
 * is no shared manifest. Throws a UserError where it is elsewhere.
 */
export async function changeState(
  tables: Tables,
  state: "active" | "paused",
  database: string,
): Promise<string | undefined> {
  const head = await readHead(tables);
  if (head === undefined) return undefined;
  const [row] = await tables.query(CHANGE, [state, database]);
  if (row === undefined) throw isElsewhere(head);
  return textIn(row, "id");
}

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
