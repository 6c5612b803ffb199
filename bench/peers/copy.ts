/** By hand, the quickest way to write: everything is embedded, copied to a temporary table, and one UPDATE fills the column. */
import pg from "pg";
import { CopyIn } from "../copy.ts";
import { embed } from "./embed.ts";

const db = new pg.Client(process.env["DATABASE_URL"]);
await db.connect();
const { rows } = await db.query<{ id: string; question_text: string }>(
  "SELECT id, question_text FROM questions WHERE embedding IS NULL ORDER BY id",
);
const lines: Buffer[] = [];
for (let at = 0; at < rows.length; at += 100) {
  const page = rows.slice(at, at + 100);
  const vectors = await embed(page.map((row) => row.question_text));
  lines.push(Buffer.from(page.map(({ id }, place) => `${id}\t${vectors[place]}\n`).join("")));
}
await db.query("BEGIN; CREATE TEMP TABLE given (id bigint, embedding vector(768))");
const copy = new CopyIn("COPY given FROM STDIN", lines);
db.query(copy);
await copy.done;
await db.query(`UPDATE questions SET embedding = given.embedding FROM given
  WHERE questions.id = given.id; COMMIT`);
await db.end();
