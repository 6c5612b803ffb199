/**
 * A project's address and secret key are all I have. Does the whole way work, from export to the
 * filled column, with the SQL functions and without, and come to the same as on the database itself?
 *
 * VECFILL_TEST_ROWS asks for more rows than a test run has time for; with a native server (see
 * `native-database.ts`) 5,000 take a few minutes.
 */
import { rm } from "node:fs/promises";
import { afterEach, describe, expect, it } from "vitest";
import { type Emulator, startEmulator } from "../../../src/emulator/emulator.ts";
import { emulatedVector } from "../../../src/emulator/vectors/embedding.ts";
import type { Target } from "../../../src/row/target.ts";
import { checkVector } from "../../../src/row/vector.ts";
import { runHere } from "../../command-line.ts";
import { temporaryFolder } from "../../manifest/sample.ts";
import { sized } from "../../size.ts";
import { hasNativeServer } from "../postgres/native-database.ts";
import { QUESTIONS } from "../contract.ts";
import { SECRET_KEY } from "./keys.ts";
import { openNativeProject, openProject, type Project } from "./project.ts";

const ROWS = Number(process.env["VECFILL_TEST_ROWS"] ?? sized({ quick: 60, full: 150 }));
const TIMEOUT_MS = 60_000 + ROWS * 100;
const DIMENSIONS = 768;
const TARGET: Target = { ...QUESTIONS, dimensions: DIMENSIONS };
/** A last-place difference of float32. */
const TOLERANCE = 1e-6;
/** What happens to some rows while they are at Gemini. */
const STALE = "id % 50 = 1";
const FILLED = "id % 50 = 2";
const GONE = "id % 50 = 3";

let emulator: Emulator;
let project: Project & Readonly<{ url?: string }>;
let folder: string;
/** The whole table at the end, by the way it was filled. */
const endStates = new Map<string, string>();

async function setUp(): Promise<void> {
  emulator = await startEmulator({ batchSeconds: 0, tier: "off", faults: "shuffle" });
  project = hasNativeServer ? await openNativeProject() : await openProject();
  folder = await temporaryFolder();
  await project.database.query(
    `CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding extensions.vector(${DIMENSIONS}))`,
  );
  await project.database.query(
    `INSERT INTO questions SELECT i, 'What is the meaning of ' || md5(i::text) || '?' FROM generate_series(1, ${ROWS}) i`,
  );
}

async function vecfill(way: Way, ...args: readonly string[]): Promise<Record<string, unknown>> {
  const env = {
    GEMINI_API_KEY: "a-key",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
    ...(way === "the database itself" ? { DATABASE_URL: project.url } : {}),
    SUPABASE_URL: project.api.url,
    SUPABASE_SECRET_KEY: SECRET_KEY,
    VECFILL_JOBS_DIR: `${folder}/jobs`,
    VECFILL_POLL_INTERVAL: "0.05",
  };
  const ended = await runHere([...args, "--json"], { env, folder });
  const result: unknown = JSON.parse(ended.stdout);
  if (typeof result !== "object" || result === null) throw new Error(ended.stderr);
  return { code: ended.code, stderr: ended.stderr, ...result };
}

/** Ids whose vector is what the model gives for the row's text as it is now. */
async function rightIds(): Promise<number[]> {
  const rows = await project.database.query(
    "SELECT id::text, question_text, embedding::text FROM questions WHERE embedding IS NOT NULL ORDER BY id",
  );
  return rows
    .filter((row) => isRight(row["question_text"] ?? "", row["embedding"] ?? ""))
    .map(({ id }) => Number(id));
}

function isRight(text: string, embedding: string): boolean {
  const { model, dimensions, taskType } = TARGET;
  const expected = checkVector(emulatedVector(text, { model, dimensions, taskType }), dimensions);
  const found: unknown = JSON.parse(embedding);
  if (!expected.ok || !Array.isArray(found)) return false;
  return expected.vector.every(
    (value, index) => Math.abs(value - Number(found[index])) < TOLERANCE,
  );
}

async function wholeTable(): Promise<string> {
  const [row] = await project.database.query(
    "SELECT md5(string_agg(q::text, ',' ORDER BY id)) AS digest FROM questions q",
  );
  return row?.["digest"] ?? "";
}

async function idsWhere(condition: string): Promise<number[]> {
  const rows = await project.database.query(
    `SELECT id::text FROM questions WHERE ${condition} ORDER BY id`,
  );
  return rows.map(({ id }) => Number(id));
}

type Way = "the SQL functions" | "the API alone" | "the database itself";

const WAYS: readonly Way[] = [
  "the SQL functions",
  ...sized({ quick: [], full: ["the API alone"] as const }),
  // the embedded one has no address here
  ...(hasNativeServer ? (["the database itself"] as const) : []),
];

describe.each(WAYS)("through %s", (way) => {
  afterEach(async () => {
    await emulator.close();
    await project.close();
    await rm(folder, { recursive: true, force: true });
  });

  it(
    `fills ${ROWS} rows, but for those that others filled meanwhile`,
    { timeout: TIMEOUT_MS },
    async () => {
      await setUp();
      if (way === "the SQL functions") await project.install(TARGET);
      const exported = await vecfill(way, "export");
      expect(exported).toMatchObject({ code: 0, exported: ROWS });
      expect(String(exported["stderr"]).includes("not installed")).toBe(way === "the API alone");

      const away = {
        stale: await idsWhere(STALE),
        filled: await idsWhere(FILLED),
        gone: await idsWhere(GONE),
      };
      const other = `array_fill(0.5, ARRAY[${DIMENSIONS}])::extensions.vector`;
      await project.database.query(
        `UPDATE questions SET question_text = 'Changed: ' || id WHERE ${STALE}`,
      );
      await project.database.query(`UPDATE questions SET embedding = ${other} WHERE ${FILLED}`);
      await project.database.query(`DELETE FROM questions WHERE ${GONE}`);

      expect(await vecfill(way, "submit", "--yes")).toMatchObject({ code: 0 });
      expect(await vecfill(way, "poll")).toMatchObject({ code: 0 });
      const missing = away.stale.length + away.filled.length + away.gone.length;
      expect(await vecfill(way, "import")).toMatchObject({
        code: 0,
        requests: ROWS,
        written: ROWS - missing,
        failed: 0,
        stale: away.stale.length,
        filled: away.filled.length,
        gone: away.gone.length,
      });
      expect(await idsWhere("embedding IS NULL")).toEqual(away.stale);

      expect(await vecfill(way, "run", "--yes")).toMatchObject({
        code: 0,
        written: away.stale.length,
        remaining: 0,
      });
      const all = await idsWhere("true");
      expect(all).toHaveLength(ROWS - away.gone.length);
      expect(await rightIds()).toEqual(all.filter((id) => !away.filled.includes(id)));
      expect(await vecfill(way, "run", "--yes")).toMatchObject({ code: 0, jobs: [], remaining: 0 });
      endStates.set(way, await wholeTable());
    },
  );
});

it("every way comes to the same, to the bit", () => {
  expect([...endStates.keys()]).toEqual(WAYS);
  expect(new Set(endStates.values()).size).toBe(1);
});
