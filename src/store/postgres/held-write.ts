/**
 * Vectors of a job of a shared manifest: nothing is written or cleared where others have moved the job since, or where the
 * manifest was paused, and until the statement has ended nobody moves it, nor counts the manifest as paused.
 */
import { HoldLost } from "../../errors.ts";
import type { Database, Parameter, Row } from "../database.ts";
import type { Hold } from "../port.ts";
import type { GivenAs } from "../sql.ts";

/** `write`: one of rows that are given by three parameters. What it returns. */
export async function writeHeld(
  database: Database,
  write: (as: GivenAs) => string,
  given: readonly Parameter[],
  hold: Hold | undefined,
): Promise<Row[]> {
  if (hold === undefined) return database.query(write("arrays"), given);
  const { manifest, epoch, job, seq } = hold;
  // the job first, as who records does; and appends to the manifest go on. A row at least, which says whether the hold was there
  const sql = `
    WITH vecfill_job AS MATERIALIZED (
      SELECT FROM vecfill.job WHERE manifest = $4 AND id = $5 AND seq = $6 FOR SHARE
    ), vecfill_hold AS MATERIALIZED (
      SELECT FROM vecfill.manifest
      WHERE (SELECT count(*) FROM vecfill_job) = 1 AND id = $4 AND epoch = $7 AND state = 'active'
      FOR KEY SHARE
    ), vecfill_written AS (${write("held")}
    )
    SELECT (SELECT count(*) FROM vecfill_hold)::text AS held, w.place
    FROM (SELECT) AS vecfill_one LEFT JOIN vecfill_written AS w ON true`;
  const answers = await database.query(sql, [...given, manifest, job, seq, epoch]);
  if (answers[0]?.["held"] !== "1") throw new HoldLost(`Job ${job}`);
  return answers.filter(({ place }) => place !== null);
}
