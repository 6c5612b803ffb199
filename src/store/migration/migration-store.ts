/**
 * The statements of a migration. What changes the table goes as one, with a short lock_timeout: it needs the
 * table for an instant, and must not stand in front of everybody else's queries while it waits.
 */
import { z } from "zod";
import { quoteIdentifier as quoted, type Target } from "../../row/target.ts";
import { tableQuery } from "../catalogue.ts";
import { cell, type Database } from "../database.ts";
import { explainFailure } from "../failure.ts";
import {
  hasText,
  qualifiedColumn,
  qualifiedTable,
  quoteLiteral as literal,
  textExpression,
} from "../sql.ts";
import { inOneStatement, removeStatements, triggerStatements } from "../supabase-functions.ts";
import type { MigrationNames, Renamed } from "../../row/migration-names.ts";
import type { MigrationStore } from "./port.ts";

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
  { database, again }: MigrationGround,
  plan: MigrationTable,
): MigrationStore {
  const { old, next, names, columnType } = plan;
  const query = (sql: string) =>
    again(() =>
      database.query(sql).catch((error: unknown) => {
        throw explainFailure(error, { label: database.label, target: old });
      }),
    );
  const one = async (sql: string): Promise<unknown> => {
    const [row] = await query(`SELECT (${sql})::text AS found`);
    return JSON.parse(row === undefined ? "null" : cell(row, "found"));
  };
  const change = async (statements: readonly string[]) => {
    await query(inOneStatement([LOCK_TIMEOUT, ...statements]));
  };
  const { facts, isSwapped, ...looks } = looksOf(one, plan);
  const triggersOff = [names.next, names.kept].flatMap((embedding) =>
    removeStatements({ ...next, embedding }),
  );
  return {
    ...looks,
    add: async () => {
      const schema = NAMES.parse(await one(VECTOR_SCHEMA_SQL)).join();
      const type = `${quoted(schema)}.${columnType}(${next.dimensions})`;
      const add = `${alter(old)} add column if not exists ${quoted(names.next)} ${type}`;
      await change([add, ...triggerStatements({ ...next, embedding: names.next }, false)]);
    },
    swap: async () => {
      if (await isSwapped()) return;
      const its = await facts();
      const all = swapped(old, names, (each) => [each.old, each.kept, each.next]);
      const kept = triggerStatements({ ...next, embedding: names.kept }, false);
      await change([
        ...all,
        ...belongings(old, names.old, its),
        ...viewsOf(its),
        ...triggersOff,
        ...kept,
      ]);
    },
    undo: async () => {
      const dropped = `${alter(old)} drop column if exists ${quoted(names.next)}`;
      if (!(await isSwapped())) return change([...triggersOff, dropped]);
      const its = await facts();
      const back = swapped(old, names, (each) => [each.old, each.next, each.kept]);
      return change([...triggersOff, ...back, ...viewsOf(its), dropped]);
    },
    finish: async () => {
      const hasBoth = !(await isSwapped()) && (await looks.columns()).includes(names.next);
      const unneeded = hasBoth ? names.old : names.kept;
      await change([...triggersOff, `${alter(old)} drop column if exists ${quoted(unneeded)}`]);
    },
  };
}

/** What is only read. */
function looksOf(one: (sql: string) => Promise<unknown>, { old, next, names }: MigrationTable) {
  const columns = async () => NAMES.parse(await one(columnsSql(old)));
  const isSwapped = async () => (await columns()).includes(names.kept);
  const facts = async () => FACTS.parse(await one(factsSql(old, names)));
  return {
    columns,
    isSwapped,
    facts,
    size: async () => SIZE.parse(await one(sizeSql(old))),
    lacking: async () => z.number().parse(await one(lackingSql(next))),
    obstacles: async () => (await facts()).followers.filter(({ isView }) => !isView),
    withoutOld: async (limit: number) => {
      if (!(await isSwapped())) return [];
      return NAMES.parse(await one(idsLackingSql({ ...old, embedding: names.kept }, limit)));
    },
  };
}

/** The first name becomes the second, and the third the first: of the columns and of each index. */
function swapped(
  target: Target,
  names: MigrationNames,
  order: (each: Renamed) => readonly [string, string, string],
): string[] {
  const [column, away, instead] = order(names);
  const rename = (from: string, to: string) =>
    `${alter(target)} rename column ${quoted(from)} to ${quoted(to)}`;
  const index = (from: string, to: string) =>
    `alter index ${quoted(target.schema)}.${quoted(from)} rename to ${quoted(to)}`;
  return [
    rename(column, away),
    rename(instead, column),
    ...names.indexes
      .map(order)
      .flatMap(([its, itsAway, other]) => [index(its, itsAway), index(other, its)]),
  ];
}

function alter(target: Target): string {
  return `alter table ${qualifiedTable(target)}`;
}

const NAMES = z.array(z.string());
const SIZE = z.object({ rows: z.number(), chars: z.number(), bytes: z.number() });

const VECTOR_SCHEMA_SQL = `SELECT jsonb_build_array(n.nspname)
  FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'`;

function columnsSql(target: Target): string {
  return `WITH ${tableQuery(target)}
    SELECT coalesce(jsonb_agg(a.attname), '[]') FROM vecfill_table, pg_catalog.pg_attribute a
    WHERE a.attrelid = vecfill_table.oid AND a.attnum > 0 AND NOT a.attisdropped`;
}

function lacks(target: Target): string {
  return `FROM ${qualifiedTable(target)}
    WHERE ${qualifiedColumn(target, target.embedding)} IS NULL AND ${hasText(target)}`;
}

function lackingSql(target: Target): string {
  return `SELECT count(*) ${lacks(target)}`;
}

function sizeSql(target: Target): string {
  return `SELECT jsonb_build_object('rows', count(*), 'chars', coalesce(sum(length(${textExpression(target)})), 0),
      'bytes', pg_catalog.pg_total_relation_size(${literal(qualifiedTable(target))}::regclass))
    FROM ${qualifiedTable(target)} WHERE ${hasText(target)}`;
}

function idsLackingSql(target: Target, limit: number): string {
  const id = qualifiedColumn(target, target.id);
  return `SELECT coalesce(jsonb_agg(f.id), '[]')
    FROM (SELECT ${id}::text AS id ${lacks(target)} ORDER BY ${id} LIMIT ${limit}) f`;
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
 * name it, functions in SQL's own form, generated columns. Its indexes have twins, and its default is its own.
 */
function factsSql(target: Target, { old: column, indexes }: MigrationNames): string {
  const twins = indexes.map(({ old }) => literal(old)).join(", ");
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
      WHERE (i.oid IS NULL OR i.relname <> ALL (array[${twins}]::name[]))
        AND NOT (d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT f.oid FROM vecfill_default f))))
  FROM vecfill_path`;
}

function viewsOf({ followers }: Facts): string[] {
  return followers.flatMap(({ isView, definition }) =>
    isView && definition !== null ? [definition] : [],
  );
}

/** What goes over from the old column to the one that has its name now. */
function belongings(target: Target, name: string, facts: Facts): string[] {
  const [table, column] = [qualifiedTable(target), quoted(name)];
  const grants = facts.grants.map(({ privilege, role, grantable }) => {
    const option = grantable ? " with grant option" : "";
    return `grant ${privilege} (${column}) on ${table} to ${role}${option}`;
  });
  return [
    ...(facts.default === null
      ? []
      : [`${alter(target)} alter column ${column} set default ${facts.default}`]),
    ...(facts.comment === null
      ? []
      : [`comment on column ${table}.${column} is ${literal(facts.comment)}`]),
    ...grants,
  ];
}
