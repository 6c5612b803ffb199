// A project's address and secret key are all I have. Do I come to a new model by the files that I paste into the SQL
// editor, and back; and does the API fill the column from then on?
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startEmulator } from "../../../src/emulator/emulator.ts";
import { EXIT_CODES } from "../../../src/errors.ts";
import { runHere } from "../../command-line.ts";
import { temporaryFolder } from "../../manifest/sample.ts";
import { isRight } from "../../workshop.ts";
import { DIMENSIONS, QUESTIONS } from "../contract.ts";
import { SECRET_KEY } from "./keys.ts";
import { openProject, type Project } from "./project.ts";
import { IN_FULL } from "../../size.ts";

const NEW = { model: "gemini-embedding-2", dimensions: DIMENSIONS } as const;
const OLD = {
  model: "gemini-embedding-001",
  dimensions: DIMENSIONS,
  taskType: "RETRIEVAL_DOCUMENT",
} as const;

/** Ids of rows whose vector is that of their text. */
async function right({ database }: Project, shape: typeof NEW | typeof OLD): Promise<string[]> {
  const rows = await database.query(
    "SELECT id::text, question_text AS text, embedding::text AS vector FROM questions ORDER BY questions.id",
  );
  const prefix = shape === NEW ? "title: none | text: " : "";
  return rows
    .filter(({ text, vector }) => isRight(prefix + (text ?? ""), vector ?? "[]", shape))
    .map(({ id }) => id ?? "");
}

test("by files alone", { timeout: 60_000, ...IN_FULL }, async () => {
  const [project, folder] = [await openProject(), await temporaryFolder()];
  const emulator = await startEmulator({ batchSeconds: 0, tier: "off" });
  const env = {
    SUPABASE_URL: project.api.url,
    SUPABASE_SECRET_KEY: SECRET_KEY,
    GEMINI_API_KEY: "a-key-for-tests",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
    VECFILL_DIMENSIONS: String(DIMENSIONS),
    VECFILL_POLL_INTERVAL: "0.02",
    VECFILL_CANARY: "false",
  };
  const vecfill = (...args: readonly string[]) =>
    runHere([...args, "--yes", "--jobs-dir", join(folder, "jobs")], { env, folder });
  const pasting = async (...args: readonly string[]) => {
    const names: string[] = [];
    for (;;) {
      const ended = await vecfill("migrate", "--sql", join(folder, "sql"), ...args);
      const name = /yours: run .*\/([\w.-]+)\.$/m.exec(ended.stderr)?.[1];
      if (ended.code !== EXIT_CODES.unfinished || name === undefined) return { ...ended, names };
      expect(names).not.toContain(name);
      names.push(name);
      await project.runScript(await readFile(join(folder, "sql", name), "utf8"));
    }
  };
  try {
    await project.database.query(
      `CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding extensions.vector(${DIMENSIONS}))`,
    );
    await project.database.query(
      "INSERT INTO questions SELECT n, 'Question ' || n FROM generate_series(1, 12) n",
    );
    await project.install(QUESTIONS);
    expect(await vecfill("run")).toMatchObject({ code: 0 });
    await project.database.query(
      "CREATE INDEX by_meaning ON questions USING hnsw (embedding extensions.vector_cosine_ops)",
    );
    const done = await pasting();
    expect(done, done.stderr).toMatchObject({
      code: 0,
      names: ["1-add.sql", "2-index.sql", "3-swap.sql"],
    });
    expect(await right(project, NEW)).toHaveLength(12);
    await project.database.query("INSERT INTO questions VALUES (13, 'One more')");
    expect(await vecfill("run", "--model", NEW.model)).toMatchObject({ code: 0 });
    expect(await right(project, NEW)).toHaveLength(13);

    expect(await pasting("--undo")).toMatchObject({ code: 0, names: ["undo.sql"] });
    expect(await right(project, OLD)).toHaveLength(12);
    expect(await vecfill("run")).toMatchObject({ code: 0 });
    expect(await right(project, OLD)).toHaveLength(13);
  } finally {
    await project.close();
    await emulator.close();
    await rm(folder, { recursive: true, force: true });
  }
});
