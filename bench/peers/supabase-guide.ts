/** As https://supabase.com/docs/guides/ai/automatic-embeddings writes: a call and an UPDATE for each row of a batch. */
import pg from "pg";
import { embed } from "./embed.ts";

const db = new pg.Client(process.env["DATABASE_URL"]);
await db.connect();
const { rows } = await db.query<{ id: string; question_text: string }>(
  "SELECT id, question_text FROM questions WHERE embedding IS NULL ORDER BY id",
);
for (const { id, question_text: text } of rows) {
  const [vector] = await embed([text]);
  await db.query("UPDATE questions SET embedding = $1 WHERE id = $2", [vector, id]);
}
await db.end();
