/** Import of a downloaded file, beside the ways in which scripts fill a column, and beside the floor. */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { systemClock } from "../src/clock.ts";
import { importJob } from "../src/import/import-job.ts";
import { openManifest } from "../src/jobs-folder/open.ts";
import { readLines } from "../src/disk/jsonl.ts";
import { parseKey } from "../src/row/question.ts";
import { readCatalogue } from "../src/store/catalogue.ts";
import type { Database, Parameter } from "../src/store/database.ts";
import { connectPostgres } from "../src/store/postgres/postgres.ts";
import { createSqlStore } from "../src/store/postgres/sql-store.ts";
import { applySql } from "../src/store/sql.ts";
import { encodeVectorArray } from "../src/store/postgres/vector-array.ts";
import { checkVector } from "../src/row/vector.ts";
import { copyJobs, makeEndedJob } from "./ended-job.ts";
import { DIMENSIONS, filling, fillTable, TARGET } from "./questions.ts";
import { alternate, type Figure, secondsOf } from "./rounds.ts";

/** As the import has it. */
const CHUNK_ROWS = 500;
const CONNECTIONS = 2;
const MANY_CONNECTIONS = 16;

export type ImportSizes = Readonly<{ rows: number; slowRows: number; rounds: number }>;

/** `folder` is for the jobs' files: about 10 kB a row. */
export async function measureImport(
  url: string,
  folder: string,
  { rows, slowRows, rounds }: ImportSizes,
): Promise<Figure> {
  const pool = new pg.Pool({ connectionString: url, max: MANY_CONNECTIONS });
  const database = connectPostgres(url);
  const jobs = await mkdtemp(join(folder, "import-"));
  try {
    await fillTable(database, rows);
    await makeEndedJob(jobs, createSqlStore(database, TARGET, { where: undefined }));
    const results = join(jobs, "0001.results.jsonl");
    const encoded = await encodeAll(results, database);
    const statement = await statementOf(database);
    const few = Math.min(rows, slowRows);
    const contestant = (name: string, n: number, work: () => Promise<number>) =>
      filling(database, name, { rows, filled: n }, work);
    return await alternate({ name: "import", unit: "rows/s", rounds, note: NOTE }, [
      contestant("vecfill: read, checked, normalised, guarded", rows, () =>
        importOneJob(database, jobs, `${jobs}-copy`),
      ),
      contestant("(d) floor: encoded before, no parsing", rows, () =>
        inFlight(encoded, CONNECTIONS, async (parameters) => {
          await database.query(statement, parameters);
        }),
      ),
      contestant("(c) unnest of text literals", few, () =>
        inFlight(linesOf(results, few, CHUNK_ROWS), 1, (lines) => unnestText(pool, lines)),
      ),
      contestant("(b) an UPDATE a row, 16 connections", few, () =>
        inFlight(linesOf(results, few, 1), MANY_CONNECTIONS, (lines) => updateRow(pool, lines)),
      ),
      contestant("(a) an UPDATE a row, awaited", few / 4, () =>
        inFlight(linesOf(results, few / 4, 1), 1, (lines) => updateRow(pool, lines)),
      ),
    ]);
  } finally {
    await pool.end();
    await database.close();
    await rm(jobs, { recursive: true, force: true });
    await rm(`${jobs}-copy`, { recursive: true, force: true });
  }
}

const NOTE =
  "(a), (b) and (c) parse with JSON.parse, check and normalise nothing, and guard nothing; (d) is the same statement over two connections.";

/** What `vecfill import` does with a job once its results are down, in seconds. */
async function importOneJob(database: Database, from: string, to: string): Promise<number> {
  await copyJobs(from, to);
  const store = createSqlStore(database, TARGET, { where: undefined });
  const manifest = await openManifest(to, systemClock);
  try {
    return await secondsOf(async () => {
      for (const job of manifest.jobs()) {
        await importJob(
          { manifest, store, report: () => {}, signal: new AbortController().signal },
          job,
        );
      }
    });
  } finally {
    await manifest.close();
  }
}

type Line = Readonly<{ id: string; fingerprint: string; vector: string }>;

/** As scripts read a line: JSON.parse, and no questions. */
function readLine(json: string): Line {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const line = JSON.parse(json) as { key: string; response: { embedding: { values: number[] } } };
  const key = parseKey(line.key);
  if (key === undefined) throw new Error(`no key: ${line.key}`);
  return { ...key, vector: JSON.stringify(line.response.embedding.values) };
}

/** The first `rows` lines of the file, read as they are asked for, `size` at a time. */
async function* linesOf(path: string, rows: number, size: number): AsyncGenerator<Line[]> {
  let chunk: Line[] = [];
  let left = rows;
  for await (const lines of readLines(path)) {
    for (const { bytes } of lines) {
      if (left === 0) return;
      left -= 1;
      chunk.push(readLine(String(bytes)));
      if (chunk.length < size && left > 0) continue;
      yield chunk;
      chunk = [];
    }
  }
}

async function updateRow(pool: pg.Pool, [line]: readonly Line[]): Promise<void> {
  await pool.query("UPDATE questions SET embedding = $1 WHERE id = $2", [line?.vector, line?.id]);
}

async function unnestText(pool: pg.Pool, lines: readonly Line[]): Promise<void> {
  await pool.query(
    `UPDATE questions SET embedding = given.embedding
     FROM unnest($1::bigint[], $2::text[]::vector[]) AS given(id, embedding)
     WHERE questions.id = given.id`,
    [lines.map(({ id }) => id), lines.map(({ vector }) => vector)],
  );
}

async function statementOf(database: Database): Promise<string> {
  const { extension } = await readCatalogue(database, TARGET);
  if (extension === undefined) throw new Error("pgvector is not installed");
  const shape = {
    idType: "integer",
    vectorSchema: extension.schema,
    embeddingType: "vector",
  } as const;
  return applySql(TARGET, shape);
}

/** Every chunk's parameters, ready to be sent. */
async function encodeAll(path: string, database: Database): Promise<Parameter[][]> {
  const { extension } = await readCatalogue(database, TARGET);
  if (extension === undefined) throw new Error("pgvector is not installed");
  const chunks: Parameter[][] = [];
  for await (const lines of linesOf(path, Infinity, CHUNK_ROWS)) {
    const vectors = lines.map(({ vector }) => unitVector(JSON.parse(vector)));
    chunks.push([
      lines.map(({ id }) => id),
      lines.map(({ fingerprint }) => fingerprint),
      {
        typeOid: extension.vectorArrayOid,
        bytes: encodeVectorArray(vectors, extension.vectorOid),
      },
    ]);
  }
  return chunks;
}

function unitVector(values: number[]): Float32Array {
  const checked = checkVector(values, DIMENSIONS);
  if (!checked.ok) throw new Error(checked.message);
  return checked.vector;
}

/** Works on `width` at a time; how long it took, in seconds. */
function inFlight<T>(
  source: AsyncIterable<T> | Iterable<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<number> {
  const underWay = new Set<Promise<void>>();
  return secondsOf(async () => {
    for await (const item of source) {
      const working = work(item).finally(() => underWay.delete(working));
      underWay.add(working);
      if (underWay.size >= width) await Promise.race(underWay);
    }
    await Promise.all(underWay);
  });
}
