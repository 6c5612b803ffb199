/** The table that is tortured, and what other people do to it meanwhile. */
import { cell, type Database } from "../src/store/database.ts";
import type { Target } from "../src/row/target.ts";
import type { Dice } from "./dice.ts";

/** The narrowest that the model has: the most rows in the least time. */
const DIMENSIONS = 128;
const TABLE = "questions";

export const TARGET: Target = {
  schema: "public",
  table: TABLE,
  id: "id",
  text: "question_text",
  embedding: "embedding",
  model: "gemini-embedding-001",
  dimensions: DIMENSIONS,
  taskType: "RETRIEVAL_DOCUMENT",
};

export async function makeTable(database: Database): Promise<void> {
  await database.query(`DROP TABLE IF EXISTS ${TABLE}`);
  await database.query(
    `CREATE TABLE ${TABLE} (id bigserial PRIMARY KEY, question_text text, embedding vector(${DIMENSIONS}))`,
  );
}

const INDEX = "by_meaning";

export async function makeIndex(database: Database): Promise<void> {
  await database.query(
    `CREATE INDEX ${INDEX} ON ${TABLE} USING hnsw (embedding vector_cosine_ops)`,
  );
}

export async function hasIndex(database: Database): Promise<boolean> {
  const found = await database.query(
    `SELECT 1 AS one FROM pg_index
     WHERE indexrelid = to_regclass('public.${INDEX}') AND indisvalid AND indisready`,
  );
  return found.length === 1;
}

/**
 * Texts of many lengths and scripts, quotes and line separators in them; now and then none at all, and
 * every fifth the same as the one before it.
 */
export async function addRows(database: Database, count: number): Promise<void> {
  await database.query(
    `INSERT INTO ${TABLE} (question_text)
     SELECT CASE WHEN n % 97 = 0 THEN '' WHEN n % 89 = 0 THEN NULL
       ELSE 'Question ' || m || E': "what\\'s \\u2028 this", ' || repeat('слово 言葉 👩‍🚀 ', m % 7)
     END FROM (SELECT n, n - (n % 5 = 4)::int AS m FROM generate_series(1, $1::int) AS n) AS numbers`,
    [count],
  );
}

export async function countEmpty(database: Database): Promise<number> {
  const [row] = await database.query(
    `SELECT count(*)::text AS rows FROM ${TABLE} WHERE embedding IS NULL AND question_text <> ''`,
  );
  return row === undefined ? 0 : Number(cell(row, "rows"));
}

/**
 * Edits some rows, deletes some, and fills some by hand, most of them rows that wait for their
 * vector; gives the ids of those that were filled.
 */
export async function meddle(
  database: Database,
  dice: Dice,
  filledBefore: ReadonlySet<string>,
): Promise<string[]> {
  const own = [...filledBefore];
  const random = String(dice.share());
  const some = (share: string, condition: string) =>
    `SELECT id FROM (SELECT id, ntile(${share}) OVER (ORDER BY embedding IS NOT NULL, md5(id::text || $1)) AS part
       FROM ${TABLE} WHERE id <> ALL($2::bigint[]) AND ${condition}) AS parts WHERE part = 1`;
  await database.query(
    `UPDATE ${TABLE} SET question_text = question_text || ' (edited ' || $1 || ')', embedding = NULL
     WHERE id IN (${some("20", "question_text <> ''")})`,
    [random, own],
  );
  await database.query(`DELETE FROM ${TABLE} WHERE id IN (${some("100", "true")})`, [random, own]);
  const filled = await database.query(
    `UPDATE ${TABLE} SET embedding = array_fill(0.5, ARRAY[${DIMENSIONS}])::vector
     WHERE id IN (${some("40", "embedding IS NULL AND question_text <> ''")}) AND embedding IS NULL
     RETURNING id::text AS id`,
    [`${random} filled`, own],
  );
  return filled.map((row) => cell(row, "id"));
}

/** Ends every connection of the commands, as a failover does. Gives how many there were. */
export async function cutConnections(database: Database): Promise<number> {
  const cut = await database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'vecfill'`,
  );
  return cut.length;
}
