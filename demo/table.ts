/** The demo's database: the table `questions`, as a trivia game would have it, and what is asked of it. */
import { createReadStream } from "node:fs";
import ndjson from "ndjson";
import { type Database, cell } from "../src/store/database.ts";
import { openDatabase } from "../src/store/postgres/open-database.ts";

export type Neighbour = Readonly<{ text: string; distance: number }>;

export type Column = Readonly<{
  rows: number;
  withVector: number;
  /** Of 768 dimensions and of unit length. */
  sound: number;
}>;

export const DIMENSIONS = 768;

const TABLE = `
  CREATE TABLE questions (
    id bigint PRIMARY KEY,
    category text NOT NULL,
    question_text text NOT NULL,
    options jsonb NOT NULL,
    correct_answer text NOT NULL,
    embedding vector(${DIMENSIONS})
  )`;

const FILL = `
  INSERT INTO questions (id, category, question_text, options, correct_answer)
  SELECT id, category, question_text, options, correct_answer
  FROM jsonb_to_recordset($1::jsonb)
    AS given(id bigint, category text, question_text text, options jsonb, correct_answer text)
  RETURNING id::text`;

const LOOK = `
  SELECT count(*)::text AS rows, count(embedding)::text AS with_vector,
    (count(*) FILTER (
      WHERE vector_dims(embedding) = ${DIMENSIONS} AND abs(vector_norm(embedding) - 1) < 1e-6
    ))::text AS sound
  FROM questions`;

/** An exact search: with so few rows an index would only be in the way. */
const NEAREST = `
  SELECT question_text, (embedding <=> $1::vector)::text AS distance
  FROM questions ORDER BY embedding <=> $1::vector LIMIT $2`;

const VECTORS = `SELECT question_text, embedding::text FROM questions WHERE embedding IS NOT NULL`;

/** One process at a time can have the folder open: whoever is done with it closes it. */
export async function withDatabase<T>(
  folder: string,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  const database = await openDatabase({ url: `pglite:${folder}` });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

/** Makes the table and puts the questions of a JSONL file into it. Resolves to their number. */
export async function fillTable(database: Database, path: URL): Promise<number> {
  const questions: unknown[] = [];
  // good for a file of our own: a broken line ends it. Results, which others write, are read by jsonl.ts
  const lines: AsyncIterable<unknown> = createReadStream(path).pipe(ndjson.parse());
  for await (const question of lines) questions.push(question);
  await database.query("CREATE EXTENSION vector");
  await database.query(TABLE);
  const inserted = await database.query(FILL, [JSON.stringify(questions)]);
  return inserted.length;
}

export async function lookAtColumn(database: Database): Promise<Column> {
  const [row] = await database.query(LOOK);
  if (row === undefined) throw new Error("a count gave no row");
  return {
    rows: Number(cell(row, "rows")),
    withVector: Number(cell(row, "with_vector")),
    sound: Number(cell(row, "sound")),
  };
}

/** The nearest questions by cosine distance, the nearest first. */
export async function nearest(
  database: Database,
  vector: readonly number[],
  limit: number,
): Promise<Neighbour[]> {
  const rows = await database.query(NEAREST, [JSON.stringify(vector), limit]);
  return rows.map((row) => ({
    text: cell(row, "question_text"),
    distance: Number(cell(row, "distance")),
  }));
}

/** How many rows hold a vector that is not the one expected for their own text. */
export async function countWrong(
  database: Database,
  isRight: (text: string, vector: readonly unknown[]) => boolean,
): Promise<number> {
  const rows = await database.query(VECTORS);
  return rows.filter((row) => {
    const vector: unknown = JSON.parse(cell(row, "embedding"));
    return !(Array.isArray(vector) && isRight(cell(row, "question_text"), vector));
  }).length;
}
