/** Jobs folders that fill one table: an embedded database, an emulator whose time is the test's, the command line. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type Emulator, startEmulator } from "../src/emulator/emulator.ts";
import type { EmulatorOptions } from "../src/emulator/faults/emulator-options.ts";
import { openDatabase } from "../src/store/postgres/open-database.ts";
import { type Ended, runHere } from "./command-line.ts";
import { keepOpen } from "./embedded/kept.ts";
import { temporaryFolder } from "./manifest/sample.ts";
import { isRight } from "./workshop.ts";

/** Of all tests of a file. */
const DATABASE_HOME = await temporaryFolder();
const WIDTH = 128;
export const SHAPE = {
  model: "gemini-embedding-001",
  dimensions: WIDTH,
  taskType: "RETRIEVAL_DOCUMENT",
} as const;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const TICK_MS = 20;

export type Folders = Readonly<{
  home: string;
  emulator: Emulator;
  /** Of every command. */
  env: NodeJS.ProcessEnv;
  /** Resolves to the rows of the last statement. */
  sql(text: string): Promise<readonly Readonly<Record<string, string | null>>[]>;
  /** A command over the jobs folder of that name. */
  vecfill(folder: string, ...args: readonly string[]): Promise<Ended>;
  /** Every batch that is at Gemini ends. */
  endBatches(): Promise<void>;
  /** The same, while time passes at Gemini. */
  vecfillInTime(folder: string, ...args: readonly string[]): Promise<Ended>;
  /** How often each line was paid for, by its key; and how many rows lack their own vector. */
  books(): Promise<
    Readonly<{ paid: number; twice: readonly string[]; empty: number; wrong: number }>
  >;
}>;

/** `texts`: of the rows 1 and on. */
export async function openFolders(
  texts: readonly string[],
  options: EmulatorOptions = {},
): Promise<Folders> {
  const home = await temporaryFolder();
  const emulator = await startEmulator({ frozen: true, batchSeconds: 60, tier: "off", ...options });
  const url = keepOpen(join(DATABASE_HOME, "database"));
  const sql: Folders["sql"] = async (text) => {
    const database = await openDatabase({ url });
    try {
      return await database.query(text);
    } finally {
      await database.close();
    }
  };
  await sql("CREATE EXTENSION IF NOT EXISTS vector");
  await sql("DROP TABLE IF EXISTS questions, answers CASCADE");
  await sql(
    `CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(${WIDTH}))`,
  );
  const rows = texts.map((text, index) => `(${index + 1}, '${text}')`);
  await sql(`INSERT INTO questions VALUES ${rows.join(", ")}`);
  onTestFinished(async () => {
    await emulator.close();
    await rm(home, { recursive: true, force: true });
  });
  const env = {
    DATABASE_URL: url,
    GEMINI_API_KEY: "a-key-for-tests",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
    VECFILL_DIMENSIONS: String(WIDTH),
    VECFILL_MAX_JOB_ROWS: "3",
    VECFILL_POLL_INTERVAL: "0.02",
    VECFILL_RECONCILE_GRACE: "0",
    VECFILL_CANARY: "false",
  };
  const vecfill: Folders["vecfill"] = (folder, ...args) =>
    runHere([...args, "--jobs-dir", join(home, folder)], { env, folder: home });
  return {
    home,
    emulator,
    env,
    sql,
    vecfill,
    vecfillInTime: async (...given) => {
      const ticking = setInterval(() => void emulator.advance(MINUTE_MS), TICK_MS);
      try {
        return await vecfill(...given);
      } finally {
        clearInterval(ticking);
      }
    },
    endBatches: () => emulator.advance(HOUR_MS),
    books: async () => {
      const bill = [...(await emulator.billing())];
      const found = await sql(
        "SELECT question_text AS text, embedding::text AS vector FROM questions",
      );
      const filled = found.filter(({ vector }) => vector !== null);
      return {
        paid: bill.reduce((sum, [, times]) => sum + times, 0),
        twice: bill.filter(([, times]) => times > 1).map(([key]) => key),
        empty: found.length - filled.length,
        wrong: filled.filter(({ text, vector }) => !isRight(text ?? "", vector ?? "", SHAPE))
          .length,
      };
    },
  };
}

export const TEXTS = Array.from({ length: 7 }, (_, index) => `Question number ${index + 1}?`);
