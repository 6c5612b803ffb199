/** The same with sixteen connections: the UPDATEs of a page are sent together. */
import pg from "pg";
import { embed } from "./embed.ts";

const db = new pg.Pool({ connectionString: process.env["DATABASE_URL"], max: 16 });
const { rows } = await db.query<{ id: string; question_text: string }>(
  "SELECT id, question_text FROM questions WHERE embedding IS NULL ORDER BY id",
);
for (let at = 0; at < rows.length; at += 100) {
  const page = rows.slice(at, at + 100);
  const vectors = await embed(page.map((row) => row.question_text));
  await Promise.all(
    page.map(({ id }, place) =>
      db.query("UPDATE questions SET embedding = $1 WHERE id = $2", [vectors[place], id]),
    ),
  );
}
await db.end();
