/**
 * The statements of a migration. What changes the table goes as one, with a short lock_timeout: it needs the
 * table for an instant, and must not stand in front of everybody else's queries while it waits.
 */
import { z } from "zod";
import type { Target } from "../../row/target.ts";
import { tableQuery } from "../catalogue.ts";
import { cell, type Database } from "../database.ts";
import { explainFailure } from "../failure.ts";
import {
  qualifiedColumn,
  qualifiedTable,
  quoteIdentifier as quoted,
  quoteLiteral as literal,
  textExpression,
} from "../sql.ts";
import { inOneStatement, removeStatements, triggerStatements } from "../supabase-functions.ts";
import type { Follower, MigrationNames, MigrationStore } from "./port.ts";

type MigrationTable = Readonly<{
  /** Of the old column and of the new one, before any swap. */
  old: Target;
  next: Target;
  names: MigrationNames;
  columnType: "vector" | "halfvec";
}>;

export type MigrationGround = Readonly<{
  database: Database;
  /** Repeats what passes. */
  again: <T>(work: () => Promise<T>) => Promise<T>;
}>;

const LOCK_TIMEOUT = "perform pg_catalog.set_config('lock_timeout', '2s', true)";

/** Its errors for people are UserErrors. */
export function createMigrationStore(
  ground: MigrationGround,
  plan: MigrationTable,
): MigrationStore {
  const { database, again } = ground;
  const { old, next, names, columnType } = plan;
  const table = qualifiedTable(old);
  const query = (sql: string) =>
    again(() =>
      database.query(sql).catch((error: unknown) => {
        throw explainFailure(error, { label: database.label, target: old });
      }),
    );
  const one = async (sql: string) => {
    const [row] = await query(sql);
    if (row === undefined) throw new Error("the statement gave no row");
    return row;
  };
  const change = async (statements: readonly string[]) => {
    await query(inOneStatement([LOCK_TIMEOUT, ...statements]));
  };
  const columns = async () => COLUMNS.parse(JSON.parse(cell(await one(columnsSql(old)), "names")));
  const trigger = (column: string) => triggerStatements({ ...next, embedding: column }, false);
  const untrigger = (column: string) => removeStatements({ ...next, embedding: column });
  const factsOf = async (column: string) =>
    FACTS.parse(JSON.parse(cell(await one(factsSql(old, column)), "facts")));
  const dropped = (column: string) =>
    `alter table ${table} drop column if exists ${quoted(column)}`;
  return {
    size: async () => {
      const row = await one(sizeSql(old));
      const numbers = {
        rows: cell(row, "rows"),
        chars: cell(row, "chars"),
        bytes: cell(row, "bytes"),
      };
      return {
        rows: Number(numbers.rows),
        chars: Number(numbers.chars),
        bytes: Number(numbers.bytes),
      };
    },
    columns,
    add: async () => {
      const schema = cell(await one(VECTOR_SCHEMA_SQL), "schema");
      const type = `${quoted(schema)}.${columnType}(${next.dimensions})`;
      const add = `alter table ${table} add column if not exists ${quoted(names.next)} ${type}`;
      return change([add, ...trigger(names.next)]);
    },
    lacking: async () => Number(cell(await one(lackingSql(next)), "rows")),
    obstacles: async () => (await factsOf(names.old)).followers.filter(({ isView }) => !isView),
    swap: async () => {
      if ((await columns()).includes(names.kept)) return;
      const facts = await factsOf(names.old);
      await change([
        rename(table, names.old, names.kept),
        rename(table, names.next, names.old),
        ...names.indexes.flatMap((index) => [
          renameIndex(old, index.old, index.kept),
          renameIndex(old, index.next, index.old),
        ]),
        ...belongings(table, names.old, facts),
        ...facts.followers.map(viewAgain),
        ...untrigger(names.next),
        ...trigger(names.kept),
      ]);
    },
    withoutOld: async (limit) => {
      if (!(await columns()).includes(names.kept)) return [];
      const kept = { ...old, embedding: names.kept };
      return COLUMNS.parse(JSON.parse(cell(await one(idsLackingSql(kept, limit)), "names")));
    },
    undo: async () => {
      const isSwapped = (await columns()).includes(names.kept);
      const facts = isSwapped ? await factsOf(names.old) : undefined;
      const back = [
        rename(table, names.old, names.next),
        rename(table, names.kept, names.old),
        ...names.indexes.flatMap((index) => [
          renameIndex(old, index.old, index.next),
          renameIndex(old, index.kept, index.old),
        ]),
        ...(facts?.followers.map(viewAgain) ?? []),
      ];
      const triggers = [...untrigger(names.next), ...untrigger(names.kept)];
      await change([...triggers, ...(isSwapped ? back : []), dropped(names.next)]);
    },
    finish: async () => {
      const isSwapped = (await columns()).includes(names.kept);
      const triggers = [...untrigger(names.next), ...untrigger(names.kept)];
      const unneeded =
        isSwapped || !(await columns()).includes(names.next) ? names.kept : names.old;
      await change([...triggers, dropped(unneeded)]);
    },
  };
}

const COLUMNS = z.array(z.string());

const VECTOR_SCHEMA_SQL = `SELECT n.nspname::text AS schema
  FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'`;

function columnsSql(target: Target): string {
  return `WITH ${tableQuery(target)}
    SELECT coalesce(jsonb_agg(a.attname), '[]')::text AS names
    FROM vecfill_table, pg_catalog.pg_attribute a
    WHERE a.attrelid = vecfill_table.oid AND a.attnum > 0 AND NOT a.attisdropped`;
}

/** As the export has it: a row without a text is never filled. */
function hasText(target: Target): string {
  return `(${textExpression(target)}) ~ '[^[:space:]]'`;
}

function sizeSql(target: Target): string {
  return `SELECT count(*)::text AS rows, coalesce(sum(length(${textExpression(target)})), 0)::text AS chars,
      pg_catalog.pg_total_relation_size(${literal(qualifiedTable(target))}::regclass)::text AS bytes
    FROM ${qualifiedTable(target)} WHERE ${hasText(target)}`;
}

function lackingSql(target: Target): string {
  return `SELECT count(*)::text AS rows FROM ${qualifiedTable(target)}
    WHERE ${qualifiedColumn(target, target.embedding)} IS NULL AND ${hasText(target)}`;
}

function idsLackingSql(target: Target, limit: number): string {
  const id = qualifiedColumn(target, target.id);
  return `SELECT coalesce(jsonb_agg(f.id), '[]')::text AS names FROM (
      SELECT ${id}::text AS id FROM ${qualifiedTable(target)}
      WHERE ${qualifiedColumn(target, target.embedding)} IS NULL AND ${hasText(target)}
      ORDER BY ${id} LIMIT ${limit}) f`;
}

const FACTS = z.object({
  default: z.string().nullable(),
  comment: z.string().nullable(),
  grants: z.array(z.object({ privilege: z.string(), role: z.string(), grantable: z.boolean() })),
  followers: z.array(
    z.object({ isView: z.boolean(), name: z.string(), definition: z.string().nullable() }),
  ),
});

type Facts = Readonly<z.infer<typeof FACTS>>;

/**
 * What belongs to the column, and what follows it by its number: views, policies, constraints, triggers that
 * name it, functions in SQL's own form, generated columns. Its ANN indexes have twins, and its default is its own.
 */
function factsSql(target: Target, column: string): string {
  return `
  WITH ${tableQuery(target)},
  vecfill_path AS MATERIALIZED (SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)),
  vecfill_column AS MATERIALIZED (SELECT a.* FROM vecfill_table, pg_catalog.pg_attribute a
    WHERE a.attrelid = vecfill_table.oid AND a.attname = ${literal(column)}),
  vecfill_default AS MATERIALIZED (SELECT d.* FROM vecfill_column c, pg_catalog.pg_attrdef d
    WHERE d.adrelid = c.attrelid AND d.adnum = c.attnum)
  SELECT jsonb_build_object(
    'default', (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM vecfill_default d),
    'comment', (SELECT pg_catalog.col_description(c.attrelid, c.attnum) FROM vecfill_column c),
    'grants', (SELECT coalesce(jsonb_agg(jsonb_build_object('privilege', g.privilege_type,
        'role', CASE WHEN g.grantee = 0 THEN 'public' ELSE pg_catalog.quote_ident(r.rolname) END,
        'grantable', g.is_grantable)), '[]')
      FROM vecfill_column c, pg_catalog.aclexplode(c.attacl) g LEFT JOIN pg_catalog.pg_roles r ON r.oid = g.grantee),
    'followers', (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_object('isView', v.oid IS NOT NULL,
        'name', CASE WHEN w.oid IS NULL THEN pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
          ELSE pg_catalog.pg_describe_object('pg_class'::regclass, w.oid, 0) END,
        'definition', CASE WHEN v.oid IS NOT NULL THEN pg_catalog.format('create or replace view %s%s as %s', v.oid::regclass,
            ' with (' || pg_catalog.array_to_string(v.reloptions, ', ') || ')', pg_catalog.rtrim(pg_catalog.pg_get_viewdef(v.oid), ';'))
          WHEN d.classid = 'pg_constraint'::regclass THEN pg_catalog.pg_get_constraintdef(d.objid)
          WHEN d.classid = 'pg_trigger'::regclass THEN pg_catalog.pg_get_triggerdef(d.objid)
          WHEN d.classid = 'pg_proc'::regclass THEN pg_catalog.pg_get_functiondef(d.objid) END)), '[]')
      FROM vecfill_column c
      JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.attrelid AND d.refobjsubid = c.attnum
      LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
      LEFT JOIN pg_catalog.pg_class w ON w.oid = r.ev_class
      LEFT JOIN pg_catalog.pg_class v ON v.oid = w.oid AND v.relkind = 'v'
      LEFT JOIN pg_catalog.pg_class i ON d.classid = 'pg_class'::regclass AND i.oid = d.objid AND i.relkind = 'i'
      LEFT JOIN pg_catalog.pg_am m ON m.oid = i.relam
      WHERE coalesce(m.amname NOT IN ('hnsw', 'ivfflat'), true)
        AND NOT (d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT f.oid FROM vecfill_default f))))::text AS facts
  FROM vecfill_path`;
}

function rename(table: string, from: string, to: string): string {
  return `alter table ${table} rename column ${quoted(from)} to ${quoted(to)}`;
}

function renameIndex({ schema }: Target, from: string, to: string): string {
  return `alter index ${quoted(schema)}.${quoted(from)} rename to ${quoted(to)}`;
}

function viewAgain({ name, definition }: Follower): string {
  if (definition === null) throw new Error(`${name} has no definition`);
  return definition;
}

/** What goes over from the old column to the one that has its name now. */
function belongings(table: string, name: string, facts: Facts): string[] {
  const column = quoted(name);
  return [
    ...(facts.default === null
      ? []
      : [`alter table ${table} alter column ${column} set default ${facts.default}`]),
    ...(facts.comment === null
      ? []
      : [`comment on column ${table}.${column} is ${literal(facts.comment)}`]),
    ...facts.grants.map(({ privilege, role, grantable }) => {
      const option = grantable ? " with grant option" : "";
      return `grant ${privilege} (${column}) on ${table} to ${role}${option}`;
    }),
  ];
}
