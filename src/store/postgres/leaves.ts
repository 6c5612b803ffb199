/** The tables that a name stands for. Of the catalogue alone, which takes no lock. */
import { usageError } from "../../errors.ts";
import { type TableName, tableName } from "../../row/target.ts";
import { cell, type Database } from "../database.ts";

/** Each has a trial write, a count and jobs. */
const MAX_TABLES = 2_000;

/**
 * In a name `*` stands for any characters, where no table has that very name; and a partitioned table for its
 * partitions, in whatever schema, also for foreign ones. In the order of their names.
 */
export async function findLeaves(database: Database, asked: TableName): Promise<TableName[]> {
  const like = asked.table.replaceAll(/[\\%_]/g, String.raw`\$&`).replaceAll("*", "%");
  const rows = await database.query(FIND_SQL, [asked.schema, asked.table, like, MAX_TABLES + 1]);
  if (rows.length > MAX_TABLES)
    throw usageError(
      `${tableName(asked)} stands for more than ${MAX_TABLES} tables.`,
      "Name some of them at a time, by a pattern such as --table 'questions_2026*'.",
    );
  return rows.map((row) => ({ schema: cell(row, "schema"), table: cell(row, "table") }));
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
  SELECT n.nspname::text AS schema, c.relname::text AS "table"
  FROM vecfill_tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind <> 'p' ORDER BY n.nspname, c.relname LIMIT $4`;
