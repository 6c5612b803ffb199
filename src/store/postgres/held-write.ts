/**
 * Vectors of a job of a shared manifest: nothing is written where others have moved the job since, and until the statement has
 * ended nobody moves it.
 */
import { HoldLost } from "../../errors.ts";
import type { Database, Parameter, Row } from "../database.ts";
import type { Hold } from "../port.ts";

/** `write` is one of rows that are given as `held`, by three parameters. What it returns. */
export async function writeHeld(
  database: Database,
  write: string,
  given: readonly Parameter[],
  { manifest, job, seq }: Hold,
): Promise<Row[]> {
  // a row at least, which says whether the hold was there
  const sql = `
    WITH vecfill_hold AS MATERIALIZED (
      SELECT FROM vecfill.job WHERE manifest = $4 AND id = $5 AND seq = $6 FOR SHARE
    ), vecfill_written AS (${write}
    )
    SELECT (SELECT count(*) FROM vecfill_hold)::text AS held, w.place
    FROM (SELECT) AS vecfill_one LEFT JOIN vecfill_written AS w ON true`;
  const answers = await database.query(sql, [...given, manifest, job, seq]);
  if (answers[0]?.["held"] !== "1") throw new HoldLost(`Job ${job}`);
  return answers.filter(({ place }) => place !== null);
}
