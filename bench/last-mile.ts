/**
 * What a person waits for once Gemini has sent all: from the last byte of a download to the last vector, for one job,
 * beside the quickest way to fill the column with the same vectors, made before: COPY BINARY into a temporary table,
 * and one UPDATE from it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { systemClock } from "../src/clock.ts";
import { readBlocks } from "../src/disk/file-blocks.ts";
import type { Gemini } from "../src/gemini/port.ts";
import { saveResults } from "../src/gemini/saved-results.ts";
import { importResults } from "../src/import/import.ts";
import { openManifest } from "../src/jobs-folder/open.ts";
import type { Database } from "../src/store/database.ts";
import { connectPostgres } from "../src/store/postgres/postgres.ts";
import { createSqlStore } from "../src/store/postgres/sql-store.ts";
import { CopyIn } from "./copy.ts";
import { copyJobs, makeEndedJob } from "./ended-job.ts";
import { DIMENSIONS, filling, fillTable, someValues, TARGET } from "./questions.ts";
import { alternate, type Figure, secondsOf } from "./rounds.ts";

const MS = 1000;
const CHUNK_BYTES = 64 * 1024;

export async function measureLastMile(
  url: string,
  folder: string,
  { rows, rounds }: Readonly<{ rows: number; rounds: number }>,
): Promise<Figure> {
  const database = connectPostgres(url);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const jobs = await mkdtemp(join(folder, "last-"));
  try {
    await fillTable(database, rows);
    const store = createSqlStore(database, TARGET, { where: undefined });
    await makeEndedJob(jobs, store, { until: "succeeded" });
    const encoded = copyBinaryOf(rows);
    return await alternate({ name: "last-mile", unit: "rows/s", rounds, note: NOTE }, [
      filling(database, "vecfill: from the last byte of the download", { rows }, () =>
        lastMile(database, jobs, `${jobs}-copy`),
      ),
      filling(database, "COPY BINARY into a temporary table, one UPDATE", { rows }, () =>
        secondsOf(() => copyAndUpdate(client, encoded)),
      ),
    ]);
  } finally {
    await client.end();
    await database.close();
    await rm(jobs, { recursive: true, force: true });
    await rm(`${jobs}-copy`, { recursive: true, force: true });
  }
}

const NOTE =
  "The second checks nothing and guards nothing: whatever stands in a row is overwritten, whatever its text is by now.";

/** In seconds; the download comes from a file, in pieces, as through the network. */
async function lastMile(database: Database, from: string, to: string): Promise<number> {
  await copyJobs(from, to);
  const store = createSqlStore(database, TARGET, { where: undefined });
  // as it is in a run, whose export has asked before
  await store.describe();
  const manifest = await openManifest(to, systemClock);
  let lastByteMs = 0;
  const gemini = geminiWith(
    join(from, "0001.results.jsonl"),
    () => (lastByteMs = performance.now()),
  );
  const { signal } = new AbortController();
  const services = { manifest, gemini, clock: systemClock, keyId: "bench", signal };
  try {
    for (const job of manifest.jobs()) {
      await importResults(
        { ...services, report: () => {}, storeOf: async () => store, resultsGraceMs: 0 },
        job,
      );
    }
    return (performance.now() - lastByteMs) / MS;
  } finally {
    await manifest.close();
  }
}

function never(): never {
  throw new Error("the last mile asks for a download only");
}

function geminiWith(results: string, onEnd: () => void): Gemini {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for await (const block of readBlocks(results)) {
      for (let at = 0; at < block.length; at += CHUNK_BYTES) {
        yield Uint8Array.from(block.subarray(at, at + CHUNK_BYTES));
      }
    }
    onEnd();
  }
  return {
    downloadResults: (_, path, watching) => saveResults(chunks(), path, new Map(), watching),
    openResults: chunks,
    uploadFile: never,
    createBatch: never,
    findBatches: never,
    getBatch: never,
    isOtherFile: never,
    cancelBatch: never,
    deleteBatch: never,
    deleteFile: never,
    hasFile: never,
    listModels: never,
    countTokens: never,
    embedNow: never,
  };
}

async function copyAndUpdate(client: pg.Client, encoded: readonly Buffer[]): Promise<void> {
  await client.query("BEGIN");
  await client.query(
    `CREATE TEMPORARY TABLE given (id bigint, embedding vector(${DIMENSIONS})) ON COMMIT DROP`,
  );
  await client.query(new CopyIn("COPY given FROM STDIN (FORMAT binary)", encoded)).done;
  await client.query(
    "UPDATE questions SET embedding = given.embedding FROM given WHERE questions.id = given.id",
  );
  await client.query("COMMIT");
}

const COPY_SIGNATURE = Buffer.from("PGCOPY\n\u00FF\r\n\0", "latin1");
const HEADER_BYTES = 19;
const ID_BYTES = 8;
const FLOAT_BYTES = 4;
const VECTOR_BYTES = 4 + DIMENSIONS * FLOAT_BYTES;
const ROW_BYTES = 2 + 4 + ID_BYTES + 4 + VECTOR_BYTES;
const ROWS_A_CHUNK = 1000;

/** The file's header, rows by the thousand, and its trailer. */
function copyBinaryOf(rows: number): Buffer[] {
  const header = Buffer.alloc(HEADER_BYTES);
  COPY_SIGNATURE.copy(header);
  const chunks = [header];
  for (let first = 1; first <= rows; first += ROWS_A_CHUNK) {
    const count = Math.min(ROWS_A_CHUNK, rows - first + 1);
    const chunk = Buffer.alloc(count * ROW_BYTES);
    for (let at = 0; at < count; at += 1) writeRow(chunk, at * ROW_BYTES, first + at);
    chunks.push(chunk);
  }
  const trailer = Buffer.alloc(2);
  trailer.writeInt16BE(-1);
  return [...chunks, trailer];
}

const DISTINCT_VECTORS = 256;
const vectors = Array.from({ length: DISTINCT_VECTORS }, (_, seed) => someValues(seed));

function writeRow(chunk: Buffer, start: number, id: number): void {
  let at = chunk.writeInt16BE(2, start);
  at = chunk.writeInt32BE(ID_BYTES, at);
  at = chunk.writeBigInt64BE(BigInt(id), at);
  at = chunk.writeInt32BE(VECTOR_BYTES, at);
  at = chunk.writeInt16BE(DIMENSIONS, at);
  at = chunk.writeInt16BE(0, at);
  for (const value of vectors[id % DISTINCT_VECTORS] ?? []) at = chunk.writeFloatBE(value, at);
}
