/**
 * As the worker of https://github.com/timescale/pgai fills a column: fifty rows a batch, embedded and written in one
 * transaction, an UPDATE a row.
 */
import pg from "pg";
import { embed } from "./embed.ts";

const db = new pg.Client(process.env["DATABASE_URL"]);
await db.connect();
for (;;) {
  await db.query("BEGIN");
  const { rows } = await db.query<{ id: string; question_text: string }>(
    `SELECT id, question_text FROM questions WHERE embedding IS NULL
     LIMIT 50 FOR UPDATE SKIP LOCKED`,
  );
  if (rows.length === 0) break;
  const vectors = await embed(rows.map((row) => row.question_text));
  for (const [place, { id }] of rows.entries()) {
    await db.query("UPDATE questions SET embedding = $1 WHERE id = $2", [vectors[place], id]);
  }
  await db.query("COMMIT");
}
await db.end();
