/** What PostgREST knows of a schema: it reads the catalogue once, and then only when it is told to. */
import { quoteIdentifier as quoted } from "../../../src/row/target.ts";
import type { Query } from "./session.ts";

export type Column = Readonly<{
  name: string;
  /** As a cast takes it. */
  type: string;
  /** As the OpenAPI document calls it before a version does it otherwise. */
  format: string;
  required: boolean;
  key: boolean;
  maxLength: number | undefined;
  description: string | undefined;
}>;

export type Relation = Readonly<{ name: string; writable: boolean; columns: readonly Column[] }>;

export type Procedure = Readonly<{
  name: string;
  /** Of the parameters; a nameless one is "". */
  names: readonly string[];
  types: readonly string[];
  /** How many of the last ones may be left out. */
  defaults: number;
  set: boolean;
  /** Rows of several columns. */
  table: boolean;
  nothing: boolean;
  volatile: boolean;
  /** Its own, as it stands in its settings. */
  statementTimeout: string | undefined;
}>;

export type SchemaCache = Readonly<{
  relations: readonly Relation[];
  procedures: readonly Procedure[];
}>;

export async function readSchemaCache(query: Query, schema: string): Promise<SchemaCache> {
  // so that every type prints with its schema
  await query("SELECT set_config('search_path', '', true)");
  return {
    relations: await readRelations(query, schema),
    procedures: await readProcedures(query, schema),
  };
}

/** Domains over built-in types count as these, also domains over domains. */
const COLUMNS = `
  SELECT c.relname::text AS relation, a.attname::text AS name, a.attnotnull AS required,
    format_type(a.atttypid, a.atttypmod) AS type,
    CASE WHEN n.nspname = 'pg_catalog' THEN format_type(b.oid, NULL)
      ELSE format_type(a.atttypid, a.atttypmod) END AS format,
    CASE WHEN b.typname IN ('varchar', 'bpchar') THEN m.modifier - 4
      WHEN b.typname IN ('bit', 'varbit') THEN m.modifier END AS length,
    col_description(c.oid, a.attnum) AS description,
    c.oid::text AS relation_id, a.attnum::int AS number, c.relkind::text AS kind,
    c.relkind <> 'm' AND pg_relation_is_updatable(c.oid, true) & 4 = 4 AS writable,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
      AND a.attnum = ANY (i.indkey)) AS key,
    (SELECT r.ev_action::text FROM pg_rewrite r
      WHERE r.ev_class = c.oid AND c.relkind IN ('v', 'm') AND r.ev_type = '1') AS definition
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_type d ON t.typtype = 'd' AND d.oid = t.typbasetype
  LEFT JOIN pg_type e ON d.typtype = 'd' AND e.oid = d.typbasetype
  JOIN pg_type b ON b.oid = coalesce(e.oid, d.oid, t.oid)
  JOIN pg_namespace n ON n.oid = b.typnamespace
  CROSS JOIN LATERAL (SELECT nullif(CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, -1)
    AS modifier) m
  WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
    AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
  ORDER BY c.relname, a.attnum`;

async function readRelations(query: Query, schema: string): Promise<Relation[]> {
  const rows = await query(COLUMNS, [quoted(schema)]);
  const keys = new Set(
    rows.filter(({ key }) => key === true).map((row) => place(row["relation_id"], row["number"])),
  );
  const origins = originsOf(rows);
  const relations = new Map<string, Readonly<{ writable: boolean; columns: Column[] }>>();
  for (const row of rows) {
    const name = String(row["relation"]);
    const relation = relations.get(name) ?? { writable: row["writable"] === true, columns: [] };
    relation.columns.push({
      name: String(row["name"]),
      type: String(row["type"]),
      format: String(row["format"]),
      required: row["required"] === true,
      key: keys.has(origin(origins, place(row["relation_id"], row["number"]))),
      maxLength: row["length"] == null ? undefined : Number(row["length"]),
      description: typeof row["description"] === "string" ? row["description"] : undefined,
    });
    relations.set(name, relation);
  }
  return [...relations].map(([name, relation]) => ({ name, ...relation }));
}

function place(relation: unknown, column: unknown): string {
  return `${String(relation)}.${String(column)}`;
}

const TARGET_ENTRY =
  /:resno (?<number>\d+) :resname \S+ :ressortgroupref \d+ :resorigtbl (?<table>\d+) :resorigcol (?<column>\d+)/g;

/** Which column a view's column shows, as its stored query tells it: the outermost entries come last. */
function originsOf(rows: readonly Readonly<Record<string, unknown>>[]): Map<string, string> {
  const origins = new Map<string, string>();
  const views = new Map(rows.map((row) => [row["relation_id"], row["definition"]]));
  for (const [view, definition] of views) {
    if (typeof definition !== "string") continue;
    for (const { groups = {} } of definition.matchAll(TARGET_ENTRY)) {
      origins.set(place(view, groups["number"]), place(groups["table"], groups["column"]));
    }
  }
  return origins;
}

/** Through views of views. */
function origin(origins: ReadonlyMap<string, string>, column: string): string {
  const below = origins.get(column);
  return below === undefined ? column : origin(origins, below);
}

async function readProcedures(query: Query, schema: string): Promise<Procedure[]> {
  const rows = await query(
    `SELECT p.proname::text AS name, p.proretset AS "set", p.provolatile = 'v' AS "volatile",
       p.pronargdefaults::int AS defaults, p.prorettype = 'void'::pg_catalog.regtype AS nothing,
       p.proargmodes IS NOT NULL AND 't' = ANY (p.proargmodes) AS "table",
       coalesce((p.proargnames::text[])[1:p.pronargs], array_fill(''::text, ARRAY[p.pronargs::int])) AS names,
       array(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS u(t, i) ORDER BY i) AS types,
       (SELECT split_part(c, '=', 2) FROM unnest(p.proconfig) c WHERE c LIKE 'statement\\_timeout=%') AS timeout
     FROM pg_proc p WHERE p.pronamespace = $1::regnamespace AND p.prokind = 'f' ORDER BY 1`,
    [quoted(schema)],
  );
  return rows.map((row) => ({
    name: String(row["name"]),
    names: asTexts(row["names"]),
    types: asTexts(row["types"]),
    defaults: Number(row["defaults"]),
    set: row["set"] === true,
    table: row["table"] === true,
    nothing: row["nothing"] === true,
    volatile: row["volatile"] === true,
    statementTimeout: typeof row["timeout"] === "string" ? row["timeout"] : undefined,
  }));
}

function asTexts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
