/** Which row has waited longest for its vector, by a column that says since when. */
import { MS_PER_SECOND } from "../../clock.ts";
import { usageError } from "../../errors.ts";
import type { Target } from "../../row/target.ts";
import { cell, type Database } from "../database.ts";
import { failureCode } from "../failure.ts";
import type { PendingSince } from "../port.ts";
import { hasText, qualifiedColumn, qualifiedTable } from "../sql.ts";

/** No such column, one of no date or time, and a text that is none. */
const NO_TIME = ["42703", "42846", "22007", "22008"];

export async function oldestPending(
  database: Database,
  target: Target,
  name: string,
): Promise<PendingSince | undefined> {
  const since = `${qualifiedColumn(target, name)}::timestamptz`;
  const sql = `
    SELECT ${qualifiedColumn(target, target.id)}::text AS id,
      extract(epoch FROM ${since})::text AS since, extract(epoch FROM now() - ${since})::text AS seconds
    FROM ${qualifiedTable(target)}
    WHERE ${qualifiedColumn(target, target.embedding)} IS NULL AND ${since} IS NOT NULL
      AND ${hasText(target)}
    ORDER BY ${since} LIMIT 1`;
  try {
    const [row] = await database.query(sql);
    if (row === undefined) return undefined;
    const time = new Date(Number(cell(row, "since")) * MS_PER_SECOND);
    return {
      id: cell(row, "id"),
      since: time.toISOString(),
      seconds: Math.round(Number(cell(row, "seconds"))),
    };
  } catch (error) {
    if (!NO_TIME.includes(failureCode(error) ?? "")) throw error;
    throw usageError(
      `--age-column ${name} tells no time: ${error instanceof Error ? error.message : ""}.`,
      "Name a column of type timestamptz, timestamp or date that says since when a row waits, such as created_at.",
    );
  }
}
