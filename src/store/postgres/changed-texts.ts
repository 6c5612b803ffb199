/** Which vectors are of a text that the row does not have any more, where a trigger of ours tells. */
import { z } from "zod";
import { quoteIdentifier, type Target } from "../../row/target.ts";
import { cell, type Database } from "../database.ts";
import type { ChangedTexts } from "../../row/question.ts";
import { fingerprintExpression, qualifiedColumn, qualifiedTable, quoteLiteral } from "../sql.ts";
import { fingerprintColumn, triggerName } from "../supabase-functions.ts";

/** More help nobody. */
const IDS_MAX = 10_000;

const TOLD = z.object({ rows: z.number(), ids: z.array(z.string()), unknown: z.number() });

export async function changedTexts(
  database: Database,
  target: Target,
): Promise<ChangedTexts | undefined> {
  const standing = await database.query(
    `SELECT t.tgname::text AS name FROM pg_catalog.pg_trigger t
     WHERE t.tgrelid = ${quoteLiteral(qualifiedTable(target))}::regclass AND t.tgenabled <> 'D'`,
  );
  const stands = (kind: "fingerprint" | "reset") =>
    standing.some((row) => cell(row, "name") === triggerName(target, kind));
  if (stands("fingerprint")) return { by: "fingerprint", ...(await told(database, target)) };
  return stands("reset") ? { by: "reset", rows: 0, ids: [], unknown: 0 } : undefined;
}

async function told(database: Database, target: Target): Promise<z.infer<typeof TOLD>> {
  const id = qualifiedColumn(target, target.id);
  const recorded = qualifiedColumn(target, fingerprintColumn(target));
  const sql = `
    WITH vecfill_filled AS MATERIALIZED (
      SELECT ${id} AS id, ${recorded} IS NULL AS unknown, ${recorded} <> ${fingerprintExpression(target)} AS changed
      FROM ${qualifiedTable(target)} WHERE ${quoteIdentifier(target.embedding)} IS NOT NULL)
    SELECT jsonb_build_object(
      'rows', count(*) FILTER (WHERE f.changed), 'unknown', count(*) FILTER (WHERE f.unknown),
      'ids', (SELECT coalesce(jsonb_agg(c.id::text ORDER BY c.id), '[]')
        FROM (SELECT x.id FROM vecfill_filled x WHERE x.changed ORDER BY x.id LIMIT ${IDS_MAX}) c))::text AS told
    FROM vecfill_filled f`;
  const [row] = await database.query(sql);
  if (row === undefined) throw new Error("a count gave no row");
  return TOLD.parse(JSON.parse(cell(row, "told")));
}
