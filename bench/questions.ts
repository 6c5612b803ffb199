/** The table that every figure is taken on, and the vectors that go into it. */
import type { Database } from "../src/store/database.ts";
import type { Target } from "../src/row/target.ts";
import type { Contestant } from "./rounds.ts";

export const DIMENSIONS = 768;

export const TARGET: Target = {
  schema: "public",
  table: "questions",
  id: "id",
  text: "question_text",
  embedding: "embedding",
  model: "gemini-embedding-001",
  dimensions: DIMENSIONS,
  taskType: "RETRIEVAL_DOCUMENT",
};

/** A new table with so many rows without a vector, no index but the key's, texts of about 100 characters. */
export async function fillTable(database: Database, rows: number): Promise<void> {
  await database.query("DROP TABLE IF EXISTS questions");
  // vacuum would come in the middle of one contestant and not of the other
  await database.query(
    `CREATE TABLE questions (id bigint PRIMARY KEY, question_text text NOT NULL, embedding vector(${DIMENSIONS}))
     WITH (autovacuum_enabled = false)`,
  );
  await database.query(
    `INSERT INTO questions (id, question_text)
     SELECT n, 'Question ' || n || ': which of the many things called ' || left(md5(n::text), 8) ||
       ' came first, and who was the one to find it out?'
     FROM generate_series(1, $1::bigint) n`,
    [rows],
  );
  await database.query("VACUUM ANALYZE questions");
}

/** Sets the column back to how it was. */
export async function emptyTable(database: Database, rows: number): Promise<void> {
  await fillTable(database, rows);
  await database.query("CHECKPOINT");
}

/** How many rows have a vector. */
export async function countWritten(database: Database): Promise<number> {
  const [row] = await database.query(
    "SELECT count(*)::text AS n FROM questions WHERE embedding IS NOT NULL",
  );
  return Number(row?.["n"]);
}

/** Fills an empty table of so many rows, or a part of them, in the seconds that the work resolves to. */
export function filling(
  database: Database,
  name: string,
  { rows, filled = rows }: Readonly<{ rows: number; filled?: number }>,
  work: () => Promise<number>,
): Contestant {
  const run = async () => {
    await emptyTable(database, rows);
    const seconds = await work();
    const written = await countWritten(database);
    if (written !== filled) throw new Error(`${name} wrote ${written} of ${filled} rows`);
    return { value: filled / seconds, size: `${filled} rows` };
  };
  return { name, run };
}

/** Whole vectors as the service writes them: nine decimals, a length of about 0.6. */
export function someValues(seed: number): number[] {
  return Array.from({ length: DIMENSIONS }, (_, at) => {
    const wave = Math.sin(seed * 131.7 + at * 7.13) * 0.5 + Math.sin(seed * 17.1 + at * 91.3) * 0.5;
    return Math.round(wave * 0.044 * 1e9) / 1e9;
  });
}
