/** What the database's own catalogue says about the target table. */
import { UserError } from "../errors.ts";
import { parseRecipe, recipeColumns } from "../recipe.ts";
import { tableName, type Target } from "../target.ts";
import { cell, type Database, type Row } from "./database.ts";
import type { IdType, TargetDescription } from "./port.ts";

/** pgvector as it is installed here. */
export type VectorExtension = Readonly<{
  version: string;
  schema: string;
  vectorOid: number;
  vectorArrayOid: number;
}>;

export type Catalogue = Readonly<{
  description: TargetDescription;
  extension: VectorExtension | undefined;
}>;

/** Throws a UserError when table or columns are not there. */
export async function readCatalogue(database: Database, target: Target): Promise<Catalogue> {
  const table = await findTable(database, target);
  const columns = await findColumns(database, target, table);
  const { id, embedding } = columns;
  const [server, extension, indexes, triggers] = [
    await database.query(SERVER),
    await findExtension(database),
    await database.query(INDEXES, [table, id.number, embedding.number]),
    await database.query(TRIGGERS, [table, embedding.number]),
  ];
  const description: TargetDescription = {
    idType: ID_TYPES[id.baseType],
    idTypeName: id.type,
    idUnique: indexes.some((index) => index["unique_id"] === "true"),
    embedding: describeEmbedding(embedding),
    embeddingIndexes: indexes
      .filter((index) => index["on_embedding"] === "true")
      .map((index) => ({ ...nameAndDefinition(index), method: cell(index, "method") })),
    updateTriggers: triggers.map(nameAndDefinition),
    serverVersion: server.map((row) => cell(row, "version")).join(""),
    pgvectorVersion: extension?.version,
  };
  return { description, extension };
}

type Column = Readonly<{
  name: string;
  number: string;
  /** As the database prints it, with its width. */
  type: string;
  /** Under a domain, the type below it. */
  baseType: string;
  /** -1 where none is declared. */
  modifier: number;
}>;

const ID_TYPES: Readonly<Partial<Record<string, IdType>>> = {
  smallint: "integer",
  integer: "integer",
  bigint: "integer",
  uuid: "uuid",
  text: "text",
  "character varying": "text",
};

const SERVER = `SELECT current_setting('server_version') AS version`;

const TABLE = `
  SELECT c.oid::text AS oid
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`;

const COLUMNS = `
  SELECT a.attname::text AS name, a.attnum::text AS number, a.atttypmod::text AS modifier,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
    CASE WHEN e.oid IS NULL THEN pg_catalog.format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL)
      ELSE t.typname::text END AS base_type
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_extension e ON e.extname = 'vector' AND e.extnamespace = t.typnamespace
    AND t.typname IN ('vector', 'halfvec')
  WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
  ORDER BY a.attnum`;

const EXTENSION = `
  SELECT e.extversion AS version, n.nspname::text AS schema,
    t.oid::text AS vector_oid, t.typarray::text AS array_oid
  FROM pg_catalog.pg_extension e
  JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
  JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname = 'vector'
  WHERE e.extname = 'vector'`;

/** An index on an expression names no column; that it depends on one stands in pg_depend. */
const INDEXES = `
  SELECT c.relname::text AS name, m.amname::text AS method,
    pg_catalog.pg_get_indexdef(i.indexrelid) AS definition,
    (i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1
      AND i.indkey[0] = $2::int2)::text AS unique_id,
    ($3::int2 = ANY (i.indkey) OR i.indexprs IS NOT NULL AND EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid
        AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid
        AND d.refobjsubid = $3::int2))::text AS on_embedding
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
  JOIN pg_catalog.pg_am m ON m.oid = c.relam
  WHERE i.indrelid = $1::oid
  ORDER BY c.relname`;

/** Bit 16 of tgtype is UPDATE; tgattr names the columns of an UPDATE OF. */
const TRIGGERS = `
  SELECT t.tgname::text AS name, pg_catalog.pg_get_triggerdef(t.oid) AS definition
  FROM pg_catalog.pg_trigger t
  WHERE t.tgrelid = $1::oid AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 16 <> 0
    AND (t.tgattr::text = '' OR $2::int2 = ANY (t.tgattr))
  ORDER BY t.tgname`;

async function findTable(database: Database, target: Target): Promise<string> {
  const [table] = await database.query(TABLE, [target.schema, target.table]);
  if (table === undefined) throw await noSuchTable(database, target);
  return cell(table, "oid");
}

async function findColumns(
  database: Database,
  target: Target,
  table: string,
): Promise<Readonly<{ id: Column; embedding: Column }>> {
  const columns = (await database.query(COLUMNS, [table])).map(parseColumn);
  const named = (name: string, option: string): Column => {
    const column = columns.find((candidate) => candidate.name === name);
    if (column === undefined) throw noSuchColumn(target, name, option, columns);
    return column;
  };
  for (const name of recipeColumns(parseRecipe(target.text))) named(name, "--text");
  return { id: named(target.id, "--id"), embedding: named(target.embedding, "--embedding") };
}

function parseColumn(row: Row): Column {
  return {
    name: cell(row, "name"),
    number: cell(row, "number"),
    type: cell(row, "type"),
    baseType: cell(row, "base_type"),
    modifier: Number(cell(row, "modifier")),
  };
}

async function findExtension(database: Database): Promise<VectorExtension | undefined> {
  const [row] = await database.query(EXTENSION);
  if (row === undefined) return undefined;
  return {
    version: cell(row, "version"),
    schema: cell(row, "schema"),
    vectorOid: Number(cell(row, "vector_oid")),
    vectorArrayOid: Number(cell(row, "array_oid")),
  };
}

function describeEmbedding(column: Column): TargetDescription["embedding"] {
  const { baseType } = column;
  if (baseType !== "vector" && baseType !== "halfvec") {
    return { typeName: column.type, dimensions: undefined };
  }
  return { typeName: baseType, dimensions: column.modifier < 0 ? undefined : column.modifier };
}

function nameAndDefinition(row: Row): Readonly<{ name: string; definition: string }> {
  return { name: cell(row, "name"), definition: cell(row, "definition") };
}

const MAX_TABLES_NAMED = 8;

/** Tables of that name elsewhere come first, then those of the same schema. */
const NEAR_TABLES = `
  SELECT n.nspname || '.' || c.relname AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND (lower(c.relname) = lower($2) OR n.nspname = $1)
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  ORDER BY lower(c.relname) <> lower($2), c.relname LIMIT ${MAX_TABLES_NAMED}`;

async function noSuchTable(database: Database, target: Target): Promise<UserError> {
  const near = await database.query(NEAR_TABLES, [target.schema, target.table]);
  const names = near.map((row) => cell(row, "name")).join(", ");
  return new UserError(`There is no table ${tableName(target)} in ${database.label}.`, {
    hint:
      names === ""
        ? `Check the database's address, --schema and --table; schema ${target.schema} has no tables.`
        : `Check --schema and --table. There are: ${names}.`,
    exit: "fatal",
  });
}

function noSuchColumn(
  target: Target,
  name: string,
  option: string,
  columns: readonly Column[],
): UserError {
  const mend =
    option === "--embedding"
      ? `Give --embedding, or add the column: alter table ${tableName(target)} add column ${name} vector(${target.dimensions});`
      : `Give ${option}.`;
  const there = columns.map((column) => `${column.name} (${column.type})`).join(", ");
  return new UserError(`Table ${tableName(target)} has no column ${name}.`, {
    hint: `${mend} Its columns: ${there}.`,
    exit: "fatal",
  });
}
