/** The table that a migration is shown on: what is in it, and whether it is as it was. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { z } from "zod";
import { hash32 } from "../src/emulator/faults/hash.ts";
import { cell, type Database } from "../src/store/database.ts";
import { isRight } from "../test/workshop.ts";

const SCRIPT = fileURLToPath(new URL("../.ci/postgres", import.meta.url));
export const DIMENSIONS = 768;
export const INDEX = "by_meaning";
const PAGE_ROWS = 1_000;
const DUMP_BYTES_MAX = 16 * 1024 * 1024;

export type Text = Readonly<{ id: string; text: string }>;

const QUESTION = z.object({ id: z.number(), question_text: z.string().min(1) });
const WORDS = "river metal poet island engine planet bird language king battle opera number".split(
  " ",
);

/** Of a file with a question a line, or made up. */
export async function readTexts(path: string | undefined, rows: number): Promise<readonly Text[]> {
  if (path === undefined) return Array.from({ length: rows }, (_, at) => madeUp(at + 1));
  const lines = (await readFile(path, "utf8")).split("\n").filter(Boolean);
  return lines.map((line) => {
    const { id, question_text: text } = QUESTION.parse(JSON.parse(line));
    return { id: String(id), text };
  });
}

function madeUp(id: number): Text {
  const word = (place: number) => {
    const drawn = hash32(`${id} ${place}`, 1);
    return `${WORDS[drawn % WORDS.length]}${(drawn >>> 8) % 40}`;
  };
  return {
    id: String(id),
    text: `Which ${word(1)} of the ${word(2)} has a ${word(3)} and ${word(4)}, in ${id}?`,
  };
}

/** Empty, under an index, and with all that a swap has to take along. */
export async function makeTable(database: Database, texts: readonly Text[]): Promise<void> {
  for (const sql of [
    `CREATE TABLE questions (id bigint PRIMARY KEY, question_text text NOT NULL, embedding vector(${DIMENSIONS}))`,
    `CREATE INDEX ${INDEX} ON questions USING hnsw (embedding vector_cosine_ops)`,
    "CREATE VIEW asked AS SELECT id, question_text, embedding FROM questions",
    "COMMENT ON COLUMN questions.embedding IS 'of the question'",
    "GRANT SELECT (id, embedding) ON questions TO PUBLIC",
  ]) {
    await database.query(sql);
  }
  await database.query("INSERT INTO questions SELECT * FROM unnest($1::bigint[], $2::text[])", [
    texts.map(({ id }) => id),
    texts.map(({ text }) => text),
  ]);
  await database.query("ANALYZE questions");
}

/** As the server's own program writes it, but for what it draws anew each time. */
export async function schemaOf(url: string): Promise<string> {
  const run = promisify(execFile);
  const options = { maxBuffer: DUMP_BYTES_MAX };
  const { stdout } = await run("pg_dump", ["--schema-only", url], options).catch(() =>
    // there is none here, or one of another release
    run(SCRIPT, ["dump", url], options),
  );
  return stdout.replaceAll(/^\\(?:un)?restrict .*$/gm, "");
}

/** A hash of each row's vector; "" where it has none. */
export async function vectorsOf(database: Database): Promise<ReadonlyMap<string, string>> {
  const rows = await database.query(
    "SELECT id::text AS id, coalesce(md5(embedding::text), '') AS hash FROM questions",
  );
  return new Map(rows.map((row) => [cell(row, "id"), cell(row, "hash")]));
}

/** Ids of rows without a vector, and of those whose vector is not that of the text they have now. */
export type VectorsFound = Readonly<{ empty: ReadonlySet<string>; wrong: readonly string[] }>;

export async function lookAtVectors(database: Database): Promise<VectorsFound> {
  const [empty, wrong] = [new Set<string>(), new Array<string>()];
  const shape = { model: "gemini-embedding-2", dimensions: DIMENSIONS } as const;
  for (let after = "0"; ;) {
    const page = await database.query(
      `SELECT id::text AS id, question_text AS text, embedding::text AS vector FROM questions
       WHERE id > $1::bigint ORDER BY questions.id LIMIT ${PAGE_ROWS}`,
      [after],
    );
    for (const { id, text, vector } of page) {
      if (vector === null || vector === undefined) empty.add(id ?? "");
      else if (!isRight(`title: none | text: ${text ?? ""}`, vector, shape)) wrong.push(id ?? "");
    }
    const last = page.at(-1)?.["id"];
    if (page.length < PAGE_ROWS || last === null || last === undefined) return { empty, wrong };
    after = last;
  }
}
