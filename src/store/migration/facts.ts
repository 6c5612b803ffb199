/**
 * What belongs to a column, and what follows it by its number: views, policies, constraints, triggers that name it,
 * functions in SQL's own form, generated columns. Its indexes have twins, and its default is its own.
 */
import { z } from "zod";
import type { MigrationNames } from "../../row/migration-names.ts";
import type { Target } from "../../row/target.ts";
import { tableQuery } from "../catalogue.ts";
import { qualifiedTable, quoteLiteral as literal } from "../sql.ts";

/** `view`: its name in quotes, where it can be made again as it was. */
export const FACTS = z.object({
  /** Statements that give them to the column that then has the name. */
  belongings: z.array(z.string()),
  followers: z.array(
    z.object({
      view: z.string().nullable(),
      name: z.string(),
      definition: z.string().nullable(),
    }),
  ),
});

/** `FACTS` as jsonb, of the column that has the old one's name now. The search path is empty from then on. */
export function factsSql(
  target: Target,
  { old: column, next, kept, indexes }: MigrationNames,
): string {
  const twins = indexes.map(({ old }) => literal(old)).join(", ");
  const table = literal(qualifiedTable(target));
  const name = literal(column);
  return `
  WITH ${tableQuery(target)},
  vecfill_path AS MATERIALIZED (SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)),
  vecfill_column AS MATERIALIZED (SELECT a.* FROM vecfill_table, pg_catalog.pg_attribute a
    WHERE a.attrelid = vecfill_table.oid AND a.attname = ${name}),
  vecfill_default AS MATERIALIZED (SELECT d.* FROM vecfill_column c, pg_catalog.pg_attrdef d
    WHERE d.adrelid = c.attrelid AND d.adnum = c.attnum)
  SELECT jsonb_build_object(
    'belongings', (SELECT coalesce(jsonb_agg(b.statement), '[]') FROM (
      SELECT pg_catalog.format('alter table %s alter column %I set default %s', ${table}, ${name},
          pg_catalog.pg_get_expr(d.adbin, d.adrelid)) AS statement FROM vecfill_default d
      UNION ALL SELECT pg_catalog.format('comment on column %s.%I is %L', ${table}, ${name},
          pg_catalog.col_description(c.attrelid, c.attnum))
        FROM vecfill_column c WHERE pg_catalog.col_description(c.attrelid, c.attnum) IS NOT NULL
      UNION ALL SELECT pg_catalog.format('grant %s (%I) on %s to %s%s', g.privilege_type, ${name}, ${table},
          CASE WHEN g.grantee = 0 THEN 'public' ELSE pg_catalog.quote_ident(r.rolname) END,
          CASE WHEN g.is_grantable THEN ' with grant option' END)
        FROM vecfill_column c, pg_catalog.aclexplode(c.attacl) g LEFT JOIN pg_catalog.pg_roles r ON r.oid = g.grantee) b),
    'followers', (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_object('view', v.oid::regclass::text,
        'name', CASE WHEN w.oid IS NULL THEN pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
          ELSE pg_catalog.pg_describe_object('pg_class'::regclass, w.oid, 0) END,
        'definition', CASE
          WHEN w.relkind IN ('v', 'm') THEN pg_catalog.format('create %s %s%s as %s',
            CASE w.relkind WHEN 'v' THEN 'or replace view' ELSE 'materialized view' END, w.oid::regclass,
            ' with (' || pg_catalog.array_to_string(w.reloptions, ', ') || ')',
            pg_catalog.rtrim(pg_catalog.pg_get_viewdef(w.oid), ';'))
          WHEN d.classid = 'pg_policy'::regclass THEN (${POLICY_SQL})
          WHEN d.classid = 'pg_attrdef'::regclass THEN (${GENERATED_SQL})
          WHEN d.classid = 'pg_constraint'::regclass THEN pg_catalog.pg_get_constraintdef(d.objid)
          WHEN d.classid = 'pg_trigger'::regclass THEN pg_catalog.pg_get_triggerdef(d.objid)
          WHEN d.classid = 'pg_proc'::regclass THEN pg_catalog.pg_get_functiondef(d.objid) END)), '[]')
      FROM vecfill_column c
      JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.attrelid AND d.refobjsubid = c.attnum
      LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
      LEFT JOIN pg_catalog.pg_class w ON w.oid = r.ev_class
      LEFT JOIN pg_catalog.pg_class v ON v.oid = w.oid AND v.relkind = 'v' AND (
        NOT EXISTS (SELECT FROM pg_catalog.pg_attribute s WHERE s.attrelid = w.oid AND s.atttypid = c.atttypid)
        OR EXISTS (SELECT FROM pg_catalog.pg_attribute o WHERE o.attrelid = c.attrelid
          AND o.attname IN (${literal(next)}, ${literal(kept)}) AND o.atttypid = c.atttypid AND o.atttypmod = c.atttypmod))
      LEFT JOIN pg_catalog.pg_class i ON d.classid = 'pg_class'::regclass AND i.oid = d.objid AND i.relkind = 'i'
      WHERE (i.oid IS NULL OR i.relname <> ALL (array[${twins}]::name[]))
        AND NOT (d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT f.oid FROM vecfill_default f))))
  FROM vecfill_path`;
}

const POLICY_SQL = `
            SELECT pg_catalog.format('create policy %I on %s as %s for %s to %s%s%s', p.polname, p.polrelid::regclass,
              CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END,
              CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'all' END, (SELECT string_agg(CASE WHEN o.role = 0 THEN 'public' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(o.role)) END, ', ') FROM unnest(p.polroles) AS o(role)),
              ' using (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')', ' with check (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')
            FROM pg_catalog.pg_policy p WHERE p.oid = d.objid`;

const GENERATED_SQL = `
            SELECT pg_catalog.format('alter table %s add column %I %s generated always as (%s) stored', g.adrelid::regclass,
              a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), pg_catalog.pg_get_expr(g.adbin, g.adrelid))
            FROM pg_catalog.pg_attrdef g JOIN pg_catalog.pg_attribute a ON a.attrelid = g.adrelid AND a.attnum = g.adnum
            WHERE g.oid = d.objid`;
