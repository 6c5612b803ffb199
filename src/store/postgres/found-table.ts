/** Every table that somebody may want to fill: for who has not said yet which. */
import { z } from "zod";
import { cell, type Database } from "../database.ts";
import { type FoundTable, type FoundTables, KEY_TYPES } from "../../row/target-description.ts";

const TABLE = z.object({
  schema: z.string(),
  table: z.string(),
  columns: z.array(z.object({ name: z.string(), type: z.string() })),
  /** Columns that are unique, each by itself. */
  unique: z.array(z.string()),
});

const FOUND = z.object({
  hasVectors: z.boolean(),
  isProject: z.boolean(),
  tables: z.array(TABLE),
});

const MAX_TABLES = 500;

export async function findTables(database: Database): Promise<FoundTables> {
  const [row] = await database.query(FIND_SQL);
  if (row === undefined) throw new Error("the catalogue gave no row");
  const { tables, ...found } = FOUND.parse(JSON.parse(cell(row, "found")));
  return { ...found, tables: tables.map(sorted) };
}

/** Its columns by what they can be to a target. */
function sorted({ schema, table, columns, unique }: z.infer<typeof TABLE>): FoundTable {
  const ofType = new Map(columns.map(({ name, type }) => [name, type.replace(/\(\d+\)$/, "")]));
  const kind = (name: string) => KEY_TYPES[ofType.get(name) ?? ""];
  return {
    schema,
    table,
    keys: unique.filter((name) => kind(name) !== undefined),
    texts: [...ofType.keys()].filter((name) => kind(name) === "text" && !unique.includes(name)),
    vectors: columns.flatMap(({ name, type }) => {
      const found = /^(?:.*\.)?(?:vector|halfvec)(?:\((?<width>\d+)\))?$/.exec(type);
      const width = found?.groups?.["width"];
      return found === null ? [] : [{ name, type, width: width ? Number(width) : undefined }];
    }),
  };
}

const FIND_SQL = `
  SELECT jsonb_build_object(
    'hasVectors', EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'vector'),
    'isProject', EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'service_role'),
    'tables', (SELECT coalesce(jsonb_agg(jsonb_build_object('schema', t.schema, 'table', t.name,
      'columns', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', a.attname,
          'type', pg_catalog.format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum), '[]')
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped),
      'unique', (SELECT coalesce(jsonb_agg(a.attname ORDER BY i.indisprimary DESC), '[]')
        FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = t.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
          AND i.indnkeyatts = 1))
      ORDER BY t.schema <> 'public', t.schema, t.name), '[]')
      FROM (SELECT c.oid, n.nspname AS schema, c.relname AS name
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        ORDER BY n.nspname <> 'public', n.nspname, c.relname
        LIMIT ${MAX_TABLES}) t))::text AS found`;
