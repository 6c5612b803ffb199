/**
 * Everything a pipeline needs, real but small: an embedded database, the emulator over HTTP, the
 * real client, a jobs folder. Tests look at what is in the database, on disk and at the emulator.
 */
import { openManifest } from "../src/jobs-folder/open.ts";
import { rm } from "node:fs/promises";
import { keyIdOf } from "../src/settings/environment/secret.ts";
import { type Clock, systemClock } from "../src/clock.ts";
import { type Emulator, startEmulator } from "../src/emulator/emulator.ts";
import { emulatedVector, type VectorShape } from "../src/emulator/vectors/embedding.ts";
import type { EmulatorOptions } from "../src/emulator/faults/emulator-options.ts";
import { connectGemini } from "../src/gemini/client.ts";
import type { Gemini } from "../src/gemini/port.ts";
import { retryingGemini } from "../src/gemini/retry.ts";
import type { IndexKeeper } from "../src/import/index-keeper.ts";
import type { JobBounds } from "../src/jobs-folder/cut.ts";
import type { Key } from "../src/jobs-folder/stage-services.ts";
import { type Manifest } from "../src/manifest/manifest.ts";
import type { ProgressEvent } from "../src/progress.ts";
import { Secret } from "../src/settings/environment/secret.ts";
import type { Database } from "../src/store/database.ts";
import { openDatabase } from "../src/store/postgres/open-database.ts";
import type { Store } from "../src/store/port.ts";
import { createSqlStore } from "../src/store/postgres/sql-store.ts";
import type { Target } from "../src/row/target.ts";
import { checkVector } from "../src/row/vector.ts";
import { fingerprintSql } from "./fingerprints.ts";
import { temporaryFolder } from "./manifest/sample.ts";
import { createNativeDatabase, hasNativeServer } from "./store/postgres/native-database.ts";

export const API_KEY = "a-key-for-tests";

type Question = Readonly<{ id: number; text: string | null }>;

export type Workshop = {
  readonly target: Target;
  readonly database: Database;
  readonly store: Store;
  readonly emulator: Emulator;
  readonly gemini: Gemini;
  readonly folder: string;
  /** What the stages reported, in order. */
  readonly events: ProgressEvent[];
  readonly bounds: JobBounds;
  /** Opens the manifest for the length of the work: as one command, or one process, would. */
  withServices<T>(work: (services: WorkshopServices) => Promise<T>, clock?: Clock): Promise<T>;
  /** Makes the table anew and empties the jobs folder. */
  seed(questions: readonly Question[]): Promise<void>;
  /** Ids whose vector is exactly what the emulator gives for the row's text now, normalised. */
  rightIds(): Promise<number[]>;
  /** The request key of every row, as its text is now. */
  keys(): Promise<string[]>;
  /** Ids whose vector is NULL. */
  emptyIds(): Promise<number[]>;
  close(): Promise<void>;
};

export type WorkshopServices = Readonly<{
  store: Store;
  storeOf: () => Promise<Store>;
  manifest: Manifest;
  gemini: Gemini;
  clock: Clock;
  report: (event: ProgressEvent) => void;
  signal: AbortSignal;
  keyId: string;
  project?: string;
  keys?: readonly Key[];
  resultsGraceMs: number;
  /** None, unless a test brings one. */
  indexes?: IndexKeeper;
}>;

const TABLE = "questions";
/** Small, so that tests are quick; the width is the emulator's to give. */
const DIMENSIONS = 128;
/** A last-place difference of float32. */
const TOLERANCE = 1e-6;

export async function openWorkshop(options: EmulatorOptions = {}): Promise<Workshop> {
  const emulator = await startEmulator({ batchSeconds: 0, tier: "off", ...options });
  const { database, dispose } = await openTestDatabase();
  const folder = await temporaryFolder();
  const target: Target = {
    schema: "public",
    table: TABLE,
    id: "id",
    text: "question_text",
    embedding: "embedding",
    model: "gemini-embedding-001",
    dimensions: DIMENSIONS,
    taskType: "RETRIEVAL_DOCUMENT",
  };
  const store = createSqlStore(database, target, { where: undefined });
  const events: ProgressEvent[] = [];
  const client = connectGemini({ apiKey: API_KEY, baseUrl: emulator.url });
  const gemini = retryingGemini(client, hastyClock);

  return {
    target,
    database,
    store,
    emulator,
    gemini,
    folder,
    events,
    bounds: { maxRows: 10, maxTokens: 100_000, maxBytes: 1_000_000 },
    withServices: async (work, clock = hastyClock) => {
      const manifest = await openManifest(folder, { ...systemClock, now: () => clock.now() });
      const controller = new AbortController();
      try {
        return await work({
          store,
          storeOf: async () => store,
          manifest,
          gemini,
          clock,
          report: (event) => events.push(event),
          signal: controller.signal,
          keyId: keyIdOf(new Secret(API_KEY)),
          resultsGraceMs: 0,
        });
      } finally {
        await manifest.close();
      }
    },
    seed: async (questions) => {
      await database.query(`DROP TABLE IF EXISTS ${TABLE}`, []);
      await database.query(
        `CREATE TABLE ${TABLE} (id bigint PRIMARY KEY, question_text text, embedding vector(${DIMENSIONS}))`,
        [],
      );
      for (const { id, text } of questions) {
        await database.query(`INSERT INTO ${TABLE} VALUES ($1, $2)`, [id, text]);
      }
      await rm(folder, { recursive: true, force: true });
    },
    rightIds: () => rightIds(database, target),
    keys: async () => {
      const key = `id || '@' || ${fingerprintSql("coalesce(question_text, '')")}`;
      const rows = await database.query(`SELECT ${key} AS key FROM ${TABLE} ORDER BY ${TABLE}.id`);
      return rows.map((row) => row["key"] ?? "");
    },
    emptyIds: () => idsWhere(database, "embedding IS NULL"),
    close: async () => {
      await emulator.close();
      await dispose();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The embedded database; where a native server is given, a new database there. */
async function openTestDatabase(): Promise<{ database: Database; dispose: () => Promise<void> }> {
  if (hasNativeServer) {
    const native = await createNativeDatabase();
    return { database: native.database, dispose: () => native.drop() };
  }
  const database = await openDatabase({ url: "pglite:memory" });
  await database.query("CREATE EXTENSION vector");
  return { database, dispose: () => database.close() };
}

/** Time as it is, with waits a hundred times as short. */
export const hastyClock: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms / 100, signal),
};

/** As fast as time goes on a racing clock. */
export const RACE = 1000;

/** Time itself goes faster, from now on: for what waits until so much of it has passed. */
export function racingClock(): Clock {
  const startedMs = Date.now();
  const passedMs = () => (Date.now() - startedMs) * RACE;
  return {
    now: () => new Date(startedMs + passedMs()),
    elapsedMs: passedMs,
    sleep: (ms, signal) => systemClock.sleep(ms / RACE, signal),
  };
}

async function rightIds(database: Database, target: Target): Promise<number[]> {
  const rows = await database.query(
    `SELECT id::text, question_text, embedding::text FROM ${TABLE} WHERE embedding IS NOT NULL ORDER BY ${TABLE}.id`,
    [],
  );
  return rows
    .filter((row) => isRight(row["question_text"] ?? "", row["embedding"] ?? "", target))
    .map((row) => Number(row["id"]));
}

/** Whether it is exactly what the emulator gives for the text, normalised. */
export function isRight(text: string, embedding: string, shape: VectorShape): boolean {
  const { model, dimensions, taskType } = shape;
  const expected = checkVector(emulatedVector(text, { model, dimensions, taskType }), dimensions);
  const found: unknown = JSON.parse(embedding);
  if (!expected.ok || !Array.isArray(found)) return false;
  return expected.vector.every(
    (value, index) => Math.abs(value - Number(found[index])) < TOLERANCE,
  );
}

async function idsWhere(database: Database, condition: string): Promise<number[]> {
  const rows = await database.query(
    `SELECT id::text FROM ${TABLE} WHERE ${condition} ORDER BY ${TABLE}.id`,
    [],
  );
  return rows.map((row) => Number(row["id"]));
}
