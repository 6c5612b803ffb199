/** The usual script: a hundred texts a call, then one UPDATE a row, each awaited. */
import pg from "pg";
import { embed } from "./embed.ts";

const db = new pg.Client(process.env["DATABASE_URL"]);
await db.connect();
const { rows } = await db.query<{ id: string; question_text: string }>(
  "SELECT id, question_text FROM questions WHERE embedding IS NULL ORDER BY id",
);
for (let at = 0; at < rows.length; at += 100) {
  const page = rows.slice(at, at + 100);
  const vectors = await embed(page.map((row) => row.question_text));
  for (const [place, { id }] of page.entries()) {
    await db.query("UPDATE questions SET embedding = $1 WHERE id = $2", [vectors[place], id]);
  }
}
await db.end();
