/**
 * What the database's own catalogue says about the target table. One expression gives all of it as
 * one JSON object, for a query of ours and for the SQL function behind Supabase's API alike.
 */
import { KEY_TYPES, type TargetDescription } from "../row/target-description.ts";
import { z } from "zod";
import { parseRecipe, recipeColumns } from "../row/recipe.ts";
import { noExtension } from "../row/target-check.ts";
import { addingColumn, tableName, type Target } from "../row/target.ts";
import { cell, type Database } from "./database.ts";
import { type Session, TableRefusal } from "./port.ts";
import { quoteLiteral } from "./sql.ts";
import { nearest, nearFirst } from "../errors.ts";

export type Catalogue = Readonly<{
  description: TargetDescription;
  extension: VectorExtension | undefined;
  session: Session;
  /** The database has the role that Supabase's API takes on for a secret key. */
  apiRole: boolean;
}>;

/** Throws a UserError when table or columns are not there. */
export async function readCatalogue(database: Database, target: Target): Promise<Catalogue> {
  const [row] = await database.query(`SELECT (${catalogueExpression(target)})::text AS facts`);
  if (row === undefined) throw new Error("the catalogue gave no row");
  return catalogueOf(target, JSON.parse(cell(row, "facts")), database.label);
}

/** The same from the facts that `catalogueExpression` gave. `label`: where the database is. */
export function catalogueOf(target: Target, given: unknown, label: string): Catalogue {
  const facts = FACTS.parse(given);
  const { id, embedding } = findColumns(target, facts, label);
  const { extension, indexes, triggers, session } = facts;
  const description: TargetDescription = {
    idType: KEY_TYPES[id.baseType],
    idTypeName: id.type,
    idUnique: indexes.some((index) => index.uniqueId),
    ...(facts.insteadOfTable === null ? {} : { insteadOfTable: facts.insteadOfTable }),
    embedding: describeEmbedding(embedding),
    printedTexts: recipeColumns(parseRecipe(target.text)).flatMap((name) => {
      const { type = "" } = facts.columns?.find((column) => column.name === name) ?? {};
      return /^jsonb?$|\[\]$/.test(type) ? [`${name} (${type})`] : [];
    }),
    embeddingIndexes: indexes
      .filter((index) => index.onEmbedding)
      .map(({ name, method, definition, valid }) => ({ name, method, definition, valid })),
    updateTriggers: triggers,
    tablesBelow: facts.tablesBelow,
    writing: facts.writing,
    serverVersion: facts.serverVersion,
    pgvectorVersion: extension?.version,
  };
  return {
    description,
    extension: extension ?? undefined,
    apiRole: facts.apiRole,
    session: { ...session, databaseTime: new Date(session.databaseTimeMs) },
  };
}

const COLUMN = z.object({
  name: z.string(),
  /** As the database prints it, with its width. */
  type: z.string(),
  /** Under a domain, the type below it. */
  baseType: z.string(),
  /** -1 where none is declared. */
  modifier: z.number(),
});

type Column = Readonly<z.infer<typeof COLUMN>>;

/** pgvector as it is installed here. */
const EXTENSION = z.object({
  version: z.string(),
  schema: z.string(),
  vectorOid: z.number(),
  vectorArrayOid: z.number(),
});

export type VectorExtension = Readonly<z.infer<typeof EXTENSION>>;

const FACTS = z.object({
  serverVersion: z.string(),
  apiRole: z.boolean(),
  extension: EXTENSION.nullable(),
  insteadOfTable: z
    .enum(["view", "materialized view", "partitioned table", "foreign table"])
    .nullable(),
  /** Null when there is no such table. */
  columns: z.array(COLUMN).nullable(),
  indexes: z.array(
    z.object({
      name: z.string(),
      method: z.string(),
      definition: z.string(),
      valid: z.boolean(),
      uniqueId: z.boolean(),
      onEmbedding: z.boolean(),
    }),
  ),
  triggers: z.array(z.object({ name: z.string(), definition: z.string() })),
  /** As `WritingFacts`. */
  writing: z.object({
    generated: z.boolean(),
    notNull: z.boolean(),
    children: z.array(z.string()),
    publications: z.array(z.string()),
    rules: z.array(z.string()),
  }),
  /** Of a view. */
  tablesBelow: z.array(z.string()),
  /** Tables that may have been meant. */
  near: z.array(z.string()),
  session: z.object({
    role: z.string(),
    mayRead: z.boolean(),
    mayWrite: z.boolean(),
    readOnly: z.boolean(),
    rowSecurity: z.boolean(),
    statementTimeoutMs: z.number(),
    databaseTimeMs: z.number(),
  }),
});

const MAX_TABLES_READ = 500;

/**
 * A scalar subquery of type jsonb. It names nothing of the user's but in literals, so that it also
 * works where the table is gone, and under any search path.
 */
export function catalogueExpression(target: Target): string {
  return `
  WITH ${tableQuery(target)}
  SELECT jsonb_build_object(
    'serverVersion', current_setting('server_version'),
    'apiRole', EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'service_role'),
    'extension', (${EXTENSION_SQL}),
    'insteadOfTable', (SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
        WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table' END
      FROM pg_catalog.pg_class c WHERE c.oid = vecfill_table.oid),
    'columns', (${COLUMNS_SQL}),
    'indexes', (${indexesSql(target)}),
    'triggers', (${triggersSql(literal(target.embedding))}),
    'writing', jsonb_build_object(
      'generated', ${isEmbedding(target, "a.attgenerated <> ''")},
      'notNull', ${isEmbedding(target, "a.attnotnull OR t.typnotnull")},
      'children', (${CHILDREN_SQL}), 'publications', (${PUBLICATIONS_SQL}), 'rules', (${RULES_SQL})),
    'tablesBelow', (${TABLES_BELOW_SQL}),
    'near', (${nearTablesSql(literal(target.schema), literal(target.table))}),
    'session', jsonb_build_object(
      'role', current_user,
      'mayRead', coalesce(has_table_privilege(vecfill_table.oid, 'SELECT'), false),
      'mayWrite', coalesce(has_column_privilege(vecfill_table.oid, ${numberOf(literal(target.embedding))}, 'UPDATE'), false),
      'readOnly', current_setting('default_transaction_read_only') = 'on' OR pg_catalog.pg_is_in_recovery(),
      'rowSecurity', coalesce(pg_catalog.row_security_active(vecfill_table.oid), false),
      'statementTimeoutMs', floor(extract(epoch FROM current_setting('statement_timeout')::interval) * 1000)::int,
      'databaseTimeMs', floor(extract(epoch FROM clock_timestamp()) * 1000)
    )
  ) FROM vecfill_table`;
}

/** For WITH: one row, whose `oid` is the table's, or NULL. */
export function tableQuery(target: Target): string {
  return `vecfill_table AS MATERIALIZED (
    SELECT max(c.oid) AS oid
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ${literal(target.schema)} AND c.relname = ${literal(target.table)}
      AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  )`;
}

const EXTENSION_SQL = `
    SELECT jsonb_build_object('version', e.extversion, 'schema', n.nspname,
      'vectorOid', t.oid::int8, 'vectorArrayOid', t.typarray::int8)
    FROM pg_catalog.pg_extension e
    JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
    JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname = 'vector'
    WHERE e.extname = 'vector'`;

const COLUMNS_SQL = `
    SELECT jsonb_agg(jsonb_build_object('name', a.attname, 'modifier', a.atttypmod,
      'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
      'baseType', CASE WHEN e.oid IS NULL
        THEN pg_catalog.format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL)
        ELSE t.typname::text END) ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_extension e ON e.extname = 'vector' AND e.extnamespace = t.typnamespace
      AND t.typname IN ('vector', 'halfvec')
    WHERE a.attrelid = vecfill_table.oid AND a.attnum > 0 AND NOT a.attisdropped`;

function literal(name: string): string {
  return `${quoteLiteral(name)}::name`;
}

function numberOf(column: string): string {
  return `(SELECT a.attnum FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = vecfill_table.oid AND a.attname = ${column} AND NOT a.attisdropped)`;
}

function indexesSql(target: Target): string {
  return `
    SELECT coalesce(jsonb_agg(jsonb_build_object('name', c.relname, 'method', m.amname,
      'definition', pg_catalog.pg_get_indexdef(i.indexrelid), 'valid', i.indisvalid,
      'uniqueId', i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1
        AND i.indkey[0] IS NOT DISTINCT FROM ${numberOf(literal(target.id))},
      'onEmbedding', ${isOnEmbedding(target)}) ORDER BY c.relname), '[]')
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_am m ON m.oid = c.relam
    WHERE i.indrelid = vecfill_table.oid`;
}

/**
 * A condition on `pg_index i`, beside `tableQuery`. An index on an expression names no column; that
 * it depends on one stands in pg_depend.
 */
export function isOnEmbedding(target: Target): string {
  const embedding = numberOf(literal(target.embedding));
  return `(coalesce(${embedding} = ANY (i.indkey), false)
        OR i.indexprs IS NOT NULL AND EXISTS (
          SELECT FROM pg_catalog.pg_depend d
          WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid
            AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid
            AND d.refobjsubid = ${embedding}))`;
}

/** Bit 16 of tgtype is UPDATE; tgattr names the columns of an UPDATE OF. */
function triggersSql(embedding: string): string {
  return `
    SELECT coalesce(jsonb_agg(jsonb_build_object('name', t.tgname,
      'definition', pg_catalog.pg_get_triggerdef(t.oid)) ORDER BY t.tgname), '[]')
    FROM pg_catalog.pg_trigger t
    WHERE t.tgrelid = vecfill_table.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'
      AND t.tgtype & 16 <> 0
      AND (t.tgattr::text = '' OR ${numberOf(embedding)} = ANY (t.tgattr))`;
}

function isEmbedding(target: Target, what: string): string {
  return `EXISTS (
    SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = vecfill_table.oid AND a.attnum = ${numberOf(literal(target.embedding))} AND (${what}))`;
}

/** Of a plain table: partitions are another thing. */
const CHILDREN_SQL = `
    SELECT coalesce(jsonb_agg(i.inhrelid::regclass::text ORDER BY i.inhrelid), '[]')
    FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
    WHERE i.inhparent = vecfill_table.oid AND p.relkind = 'r'`;

/** Those for which Postgres refuses every UPDATE: they publish it, and nothing identifies the row. Planning the view takes long. */
const PUBLICATIONS_SQL = `
    SELECT coalesce(jsonb_agg(p.pubname ORDER BY p.pubname), '[]')
    FROM pg_catalog.pg_class c CROSS JOIN pg_catalog.pg_publication p
    WHERE c.oid = vecfill_table.oid AND c.relreplident IN ('d', 'n') AND p.pubupdate
      AND NOT (c.relreplident = 'd' AND EXISTS (
        SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))
      AND EXISTS (SELECT FROM pg_catalog.pg_get_publication_tables(p.pubname::text) t
        WHERE t.relid = c.oid)`;

/** Type 2 is UPDATE. */
const RULES_SQL = `
    SELECT coalesce(jsonb_agg(r.rulename ORDER BY r.rulename), '[]')
    FROM pg_catalog.pg_rewrite r
    WHERE r.ev_class = vecfill_table.oid AND r.ev_type = '2' AND r.is_instead AND r.ev_enabled <> 'D'`;

/** A view is a rule that reads them. */
const TABLES_BELOW_SQL = `
    SELECT coalesce(jsonb_agg(DISTINCT n.nspname || '.' || c.relname), '[]')
    FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
      AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> r.ev_class
    JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE r.ev_class = vecfill_table.oid AND r.ev_type = '1'`;

/** Tables of that name elsewhere come first, then those of the same schema. */
function nearTablesSql(schema: string, table: string): string {
  return `
    SELECT coalesce(jsonb_agg(name), '[]') FROM (
      SELECT n.nspname || '.' || c.relname AS name
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE vecfill_table.oid IS NULL AND c.relkind IN ('r', 'p')
        AND (lower(c.relname::text) = lower(${table}::text) OR n.nspname = ${schema})
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
      ORDER BY lower(c.relname::text) <> lower(${table}::text), c.relname LIMIT ${MAX_TABLES_READ}) near`;
}

function findColumns(
  target: Target,
  { columns, near, extension }: Pick<z.infer<typeof FACTS>, "columns" | "near" | "extension">,
  label: string,
): Readonly<{ id: Column; embedding: Column }> {
  if (columns === null) throw noSuchTable(target, near, label);
  const there = new Map(columns.map((column) => [column.name, column.type]));
  const named = (name: string, option: string): Column => {
    const column = columns.find((candidate) => candidate.name === name);
    if (column === undefined) throw noSuchColumn(target, name, option, there);
    return column;
  };
  for (const name of recipeColumns(parseRecipe(target.text))) named(name, "--text");
  if (!there.has(target.embedding) && extension === null) throw noExtension();
  return { id: named(target.id, "--id"), embedding: named(target.embedding, "--embedding") };
}

function describeEmbedding(column: Column): TargetDescription["embedding"] {
  const { baseType } = column;
  if (baseType !== "vector" && baseType !== "halfvec") {
    return { typeName: column.type, dimensions: undefined };
  }
  return { typeName: baseType, dimensions: column.modifier < 0 ? undefined : column.modifier };
}

/** `tables`: those that may have been meant. */
export function noSuchTable(target: Target, tables: readonly string[], label: string) {
  const name = tableName(target);
  const meant = tables.find((each) => each.endsWith(`.${target.table}`)) ?? nearest(name, tables);
  const question = meant === undefined ? "Check --schema and --table." : `Did you mean ${meant}?`;
  const hint =
    tables.length === 0
      ? `Check the database's address, --schema and --table; schema ${target.schema} has no tables.`
      : `${question} There are: ${nearFirst(name, tables)}.`;
  return new TableRefusal(`There is no table ${name} in ${label}.`, { hint, isGone: true });
}

/** `option`: the flag that names the column; `types`: of the columns there are, by name. */
export function noSuchColumn(
  target: Target,
  name: string,
  option: string,
  types: ReadonlyMap<string, string>,
) {
  const [names, table] = [[...types.keys()], tableName(target)];
  const meant = nearest(name, names);
  const add = `, or add the column: ${addingColumn(target, name)};`;
  const otherwise = `Give ${option}${option === "--embedding" ? add : "."}`;
  const mend = meant ? `Did you mean ${meant}? Give ${option} ${meant}.` : otherwise;
  const hint = `${mend} Its columns: ${nearFirst(name, names, (each) => `${each} (${types.get(each)})`)}.`;
  return new TableRefusal(`Table ${table} has no column ${name}.`, { hint });
}
