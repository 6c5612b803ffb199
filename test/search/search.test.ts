// The column is full. Do I find a row by what I would ask for it; is my query embedded as the rows want it,
// whatever the model and the task; and do a script and SQL of my own get the very same vector?
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { emulatedVector } from "../../src/emulator/vectors/embedding.ts";
import { EXIT_CODES } from "../../src/errors.ts";
import { checkVector } from "../../src/row/vector.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { createSqlStore } from "../../src/store/postgres/sql-store.ts";
import { openVecfill } from "../../src/vecfill.ts";
import { runHere } from "../command-line.ts";
import { type Folders, openFolders } from "../folders.ts";
import { QUESTIONS, vectorOf } from "../store/contract.ts";

const TEXTS = [
  "Which planet has rings?",
  "Who painted the ceiling of a chapel?",
  "Which metal is liquid at room temperature?",
  "Which planet is the largest?",
];
const QUERY = "planet rings";

async function filled(...more: readonly string[]): Promise<Folders> {
  const folders = await openFolders(TEXTS);
  expect(await folders.vecfillInTime("jobs", "run", ...more)).toMatchObject({ code: 0 });
  return folders;
}

function unit(text: string, shape: Parameters<typeof emulatedVector>[1]): number[] {
  const checked = checkVector(emulatedVector(text, shape), shape.dimensions);
  return checked.ok ? [...checked.vector] : [];
}

test("the nearest rows come first, with their texts, and as many as were asked for", async () => {
  const { vecfill } = await filled();
  const { code, stdout } = await vecfill("jobs", "search", QUERY, "--top", "2");
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^similarity  id  text\n0\.\d{4} {6} 1  Which planet has rings\?\n0\.\d{4} {6} 4  Which planet is the largest\?\n$/,
  );
  const json = JSON.parse((await vecfill("jobs", "search", QUERY, "--json")).stdout);
  expect(json).toMatchObject({ query: QUERY, taskType: "RETRIEVAL_QUERY", dimensions: 128 });
  expect(json.rows.map(({ id }: { id: string }) => id)).toHaveLength(4);
  expect(await vecfill("jobs", "search", " ")).toMatchObject({ code: EXIT_CODES.usage });
});

test("without any vector it says so, and asks Gemini for no more than the query", async () => {
  const { vecfill, emulator } = await openFolders(TEXTS);
  expect((await vecfill("jobs", "search", QUERY)).stdout).toMatch(/^No row of public.questions/);
  expect([...emulator.paidTexts()]).toEqual([[QUERY, 1]]);
});

test("where Gemini gives no vector it says why, and what to do", async () => {
  const { vecfill, emulator } = await openFolders(TEXTS.slice(0, 1));
  emulator.setFaults("sync-bad-text=1");
  const { code, stderr } = await vecfill("jobs", "search", QUERY);
  expect([code, stderr]).toEqual([
    EXIT_CODES.fatal,
    expect.stringMatching(/^error: .*Gemini.*\nhint: /m),
  ]);
});

test.each([
  ["gemini-embedding-001", "RETRIEVAL_DOCUMENT", "", "RETRIEVAL_QUERY"],
  ["gemini-embedding-001", "CLUSTERING", "", "CLUSTERING"],
  ["gemini-embedding-2", "RETRIEVAL_DOCUMENT", "task: search result | query: ", undefined],
  ["gemini-embedding-2", "SEMANTIC_SIMILARITY", "task: sentence similarity | query: ", undefined],
] as const)("a query of %s for rows of %s", async (model, taskType, prefix, sentTask) => {
  const { emulator } = await openFolders(TEXTS);
  const args = ["search", QUERY, "--print-vector", "--model", model, "--task-type", taskType];
  // no database is named
  const env = { GEMINI_API_KEY: "a-key-for-tests", GOOGLE_GEMINI_BASE_URL: emulator.url };
  const { code, stdout } = await runHere(args, { env });
  expect(code).toBe(0);
  const shape = { model, dimensions: 768, taskType: sentTask };
  expect(JSON.parse(stdout)).toEqual(unit(prefix + QUERY, shape));
  expect([...emulator.paidTexts().keys()]).toEqual([prefix + QUERY]);
});

test("a script has both, the same", async () => {
  const { vecfill, home, env } = await filled();
  const printed = await vecfill("jobs", "search", QUERY, "--print-vector");
  const found = JSON.parse((await vecfill("jobs", "search", QUERY, "--json")).stdout);
  const script = await openVecfill({
    settings: { dimensions: 128, jobsDir: join(home, "jobs") },
    env,
    folder: home,
  });
  try {
    expect([...(await script.queryVector(QUERY))]).toEqual(JSON.parse(printed.stdout));
    expect(await script.search(QUERY)).toEqual(found.rows);
    expect(await script.search(QUERY, { top: 1 })).toEqual(found.rows.slice(0, 1));
  } finally {
    await script.close();
  }
});

test("an index gives as many rows as are asked for, by its own operator", async () => {
  const database = await openDatabase({ url: "pglite:memory" });
  onTestFinished(() => database.close());
  await database.query("CREATE EXTENSION vector");
  await database.query(`CREATE TABLE questions AS SELECT n::bigint AS id, 'Number ' || n AS question_text,
      l2_normalize((SELECT array_agg(sin(n * i)) FROM generate_series(1, 128) i)::vector::halfvec)::halfvec(128)
        AS embedding FROM generate_series(1, 100) n`);
  await database.query("ALTER TABLE questions ADD PRIMARY KEY (id)");
  await database.query("CREATE INDEX ON questions USING hnsw (embedding halfvec_ip_ops)");
  // as it is with more rows
  await database.query("SET enable_seqscan = off");
  const store = createSqlStore(database, QUESTIONS, { where: undefined });
  const found = async (exact: boolean) => store.nearest?.({ to: vectorOf(3), limit: 80, exact });
  const rows = (await found(false)) ?? [];
  expect(rows).toHaveLength(80);
  const cosines = rows.map(({ similarity }) => similarity);
  expect(cosines).toEqual(cosines.toSorted((a, b) => b - a));
  expect((await found(true))?.slice(0, 5)).toEqual(rows.slice(0, 5));
});

test("through Supabase's API it says what it needs", async () => {
  const { emulator } = await openFolders(TEXTS);
  const env = {
    GEMINI_API_KEY: "a-key-for-tests",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
    SUPABASE_URL: "http://127.0.0.1:9",
    SUPABASE_SECRET_KEY: "sb_secret_of_this_test",
  };
  const { code, stderr } = await runHere(["search", QUERY], { env });
  expect(code).toBe(EXIT_CODES.usage);
  expect(stderr).toMatch(/needs the database itself.*\nhint: Set DATABASE_URL/);
  expect([...emulator.paidTexts()]).toEqual([]);
});
