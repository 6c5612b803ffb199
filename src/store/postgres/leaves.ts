/** The tables that a name stands for. Of the catalogue alone, which takes no lock. */
import { usageError } from "../../errors.ts";
import { type FoundLeaves, type Target, tableName } from "../../row/target.ts";
import { cell, type Database } from "../database.ts";

/** Each has a trial write, a count and jobs. */
const MAX_TABLES = 2_000;

/**
 * In a name `*` stands for any characters, where no table has that very name; and a partitioned table for its
 * partitions, in whatever schema, also for foreign ones. In the order of their names.
 */
export async function findLeaves(database: Database, asked: Target): Promise<FoundLeaves> {
  const { schema, table, embedding } = asked;
  const like = table.replaceAll(/[\\%_]/g, String.raw`\$&`).replaceAll("*", "%");
  const rows = await database.query(FIND_SQL, [schema, table, like, embedding]);
  const found = rows.map((row) => ({
    schema: cell(row, "schema"),
    table: cell(row, "table"),
    isAsked: row["asked"] === "true",
    isKin: row["kin"] === "true",
    isPartition: row["partition"] === "true",
  }));
  const leaves = found.filter(({ isAsked }) => isAsked);
  if (leaves.length > MAX_TABLES)
    throw usageError(
      `${tableName(asked)} stands for more than ${MAX_TABLES} tables.`,
      "Name some of them at a time, by a pattern such as --table 'questions_2026*'.",
    );
  const kin = found.filter(({ isKin }) => isKin).map(tableName);
  return { leaves, kin: new Set(kin), all: new Set(found.map(tableName)) };
}

const FIND_SQL = `
  WITH RECURSIVE vecfill_named AS MATERIALIZED (
    SELECT c.oid, c.relname = $2::text AS exact
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1::text AND c.relkind IN ('r', 'p')
      AND (c.relname = $2::text OR c.relname::text LIKE $3::text)
  ), vecfill_tree AS (
    SELECT d.oid FROM vecfill_named d
    WHERE d.exact OR NOT EXISTS (SELECT FROM vecfill_named e WHERE e.exact)
    UNION
    SELECT i.inhrelid FROM vecfill_tree t
    JOIN pg_catalog.pg_class p ON p.oid = t.oid AND p.relkind = 'p'
    JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid
  )
  SELECT n.nspname::text AS schema, c.relname::text AS "table", c.relispartition::text AS partition,
    (t.oid IS NOT NULL AND c.relkind <> 'p')::text AS asked,
    (t.oid IS NOT NULL OR pg_catalog.pg_partition_root(c.oid) IN
      (SELECT pg_catalog.pg_partition_root(i.oid) FROM vecfill_tree i))::text AS kin
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN vecfill_tree t ON t.oid = c.oid
  WHERE c.relkind IN ('r', 'p', 'f') AND (t.oid IS NOT NULL OR EXISTS (
    SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = $4::text))
  ORDER BY n.nspname, c.relname`;
