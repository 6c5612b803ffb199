/** I have a project and run `vecfill init`: what is in my folder then, and in my database? */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Database } from "../../../src/store/database.ts";
import { openDatabase } from "../../../src/store/postgres/open-database.ts";
import { runHere, type Ended } from "../../command-line.ts";
import { temporaryFolder } from "../../manifest/sample.ts";
import { DIMENSIONS, QUESTIONS } from "../contract.ts";
import { SECRET_KEY } from "./keys.ts";
import { PROJECT_ROLES } from "./postgrest.ts";
import { openProject, type Project } from "./project.ts";
import { keepOpen } from "../../embedded/kept.ts";
import { IN_FULL } from "../../size.ts";

const TABLE = `CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding extensions.vector(${DIMENSIONS}))`;
const FUNCTIONS =
  "SELECT proname::text AS name FROM pg_proc WHERE proname LIKE 'vecfill%' ORDER BY 1";
let project: Project;
let folder: string;

beforeAll(async () => {
  project = await openProject();
  await project.database.query(TABLE);
});
afterAll(() => project.close());
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function init(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const supabase = { SUPABASE_URL: project.api.url, SUPABASE_SECRET_KEY: SECRET_KEY };
  return runHere(["init", "--dimensions", String(DIMENSIONS), ...args], {
    env: { ...supabase, ...env },
    folder,
  });
}

async function migrations(): Promise<string[]> {
  const files = await readdir(join(folder, "supabase", "migrations")).catch(() => []);
  return files.toSorted((a, b) => a.localeCompare(b));
}

async function contentOf(file: string | undefined): Promise<string> {
  return readFile(join(folder, "supabase", "migrations", file ?? "none"), "utf8");
}

async function othersMigration(time: string): Promise<string> {
  const path = join(folder, "supabase", "migrations");
  await mkdir(path, { recursive: true });
  await writeFile(join(path, `${time}_create_questions.sql`), "select 1;");
  return `${time}_create_questions.sql`;
}

describe("init for a Supabase project", () => {
  it("writes a config file and a migration that the project takes, and then nothing more", async () => {
    const first = await init([]);
    expect(first).toMatchObject({ code: 0 });
    expect(first.stdout).toMatch(
      /Wrote vecfill\.config\.json[^]*Wrote supabase\/migrations\/\d{14}_vecfill_[0-9a-f]{8}\.sql[^]*db push/,
    );
    expect(JSON.parse(await readFile(join(folder, "vecfill.config.json"), "utf8"))).toEqual({
      ...QUESTIONS,
    });
    const [file, ...others] = await migrations();
    expect(others).toEqual([]);

    const again = await init([]);
    expect(again.stdout).toContain("is as it should be");
    expect(await migrations()).toEqual([file]);

    await project.runScript(await contentOf(file));
    await project.runScript(await contentOf(file));
    project.events.length = 0;
    expect(await project.store(QUESTIONS).count()).toEqual({ total: 0, pending: 0 });
    expect(project.events).toEqual([]);
    expect((await init([])).stdout).toContain("is as it should be");
    expect(await migrations()).toEqual([file]);
  });

  it("says with --json what it wrote, and with --dry-run what it would", async () => {
    const dry = JSON.parse((await init(["--dry-run", "--json"])).stdout);
    expect(dry).toMatchObject({
      command: "init",
      dryRun: true,
      config: { file: "vecfill.config.json", changed: true },
      migration: {
        file: expect.stringMatching(/^supabase\/migrations\/\d+_vecfill_/),
        changed: true,
      },
      applied: false,
    });
    expect(await readdir(folder)).toEqual([]);
  });

  it("keeps what else stands in the config file, in its place", async () => {
    const path = join(folder, "vecfill.config.json");
    await writeFile(
      path,
      JSON.stringify({ $schema: "x", "task-type": "CLUSTERING", jobsDir: "work" }),
    );
    await init(["--table", "questions"]);
    const { taskType, ...target } = QUESTIONS;
    expect(taskType).toBe("RETRIEVAL_DOCUMENT");
    expect(JSON.parse(await readFile(path, "utf8"))).toEqual({
      $schema: "x",
      jobsDir: "work",
      "task-type": "CLUSTERING",
      ...target,
    });
  });

  it("adds the trigger in a migration of its own, keeps it, and takes everything out again", async () => {
    await init([]);
    await init(["--trigger"]);
    await init([]);
    const [first, second, ...others] = await migrations();
    expect(others).toEqual([]);
    expect(await contentOf(first)).not.toContain("create trigger");
    expect(await contentOf(second)).toContain("create trigger");
    await project.runScript(await contentOf(second));
    expect(await project.database.query(FUNCTIONS)).toHaveLength(9);

    await init(["--remove"]);
    await init(["--remove"]);
    const [, , third, ...more] = await migrations();
    expect(more).toEqual([]);
    await project.runScript(await contentOf(third));
    expect(await project.database.query(FUNCTIONS)).toEqual([]);

    await init([]);
    expect(await migrations()).toHaveLength(4);
    expect(await contentOf((await migrations()).at(-1))).not.toContain("create trigger");
  });

  it.each([
    ["an hour", new Date(Date.now() + 3_600_000).toISOString().replace(/\D/g, "").slice(0, 14)],
    ["years", "20991231235959"],
  ])("leaves migrations of others alone, and comes behind them: %s ahead", async (_, time) => {
    const other = await othersMigration(time);
    await init([]);
    const files = await migrations();
    expect(files[0]).toBe(other);
    expect(files[1]).toMatch(/_vecfill_/);
  });

  it.each(["99999999999999", "9999", "99991231235959"])(
    "names a migration that none can come behind: %s",
    async (time) => {
      const other = await othersMigration(time);
      const ended = await init([]);
      expect(ended).toMatchObject({ code: 3 });
      expect(ended.stderr).toMatch(new RegExp(`${other}.*\\n.*Rename it`));
      expect(ended.stderr).not.toContain(" at ");
      expect(await migrations()).toEqual([other]);
    },
  );

  it.each([
    [["--table", "answers"], /no table public\.answers/],
    [["--text", "answer"], /no column answer/],
    [["--dimensions", "768"], /128 dimensions, and 768/],
    [["--trigger", "--remove"], /exclude each other/],
  ])("writes nothing where the target does not fit: %j", async (args, message) => {
    const env = args[0] === "--dimensions" ? {} : { VECFILL_DIMENSIONS: String(DIMENSIONS) };
    const supabase = { SUPABASE_URL: project.api.url, SUPABASE_SECRET_KEY: SECRET_KEY };
    const ended = await runHere(["init", ...args], { env: { ...supabase, ...env }, folder });
    expect(ended.stderr).toMatch(message);
    expect(ended.code).toBeGreaterThan(0);
    expect(await readdir(folder)).toEqual([]);
  });
});

async function plainDatabase(): Promise<
  Readonly<{ url: string; database: () => Promise<Database> }>
> {
  const url = keepOpen(join(folder, "database"));
  const database = await openDatabase({ url });
  await database.query("CREATE EXTENSION vector");
  await database.query(TABLE.replace("extensions.", ""));
  await database.close();
  return { url, database: () => openDatabase({ url }) };
}

describe("init with the database's own address", () => {
  it("needs no functions, and says so", async () => {
    const ended = await runHere(["init"], { env: { DATABASE_URL: "pglite:memory" }, folder });
    expect(ended).toMatchObject({ code: 0 });
    expect(ended.stdout).toContain("No SQL functions are needed");
    expect(await readdir(folder)).toEqual([".gitignore", "vecfill.config.json"]);
  });

  it("applies and removes them when it is told to", async () => {
    const url = keepOpen(join(folder, "database"));
    const sql = async (...statements: readonly string[]) => {
      const database = await openDatabase({ url });
      let rows: unknown = [];
      for (const statement of statements) rows = await database.query(statement);
      await database.close();
      return rows;
    };
    await sql(
      "CREATE SCHEMA extensions",
      "CREATE EXTENSION vector SCHEMA extensions",
      TABLE,
      ...PROJECT_ROLES,
    );
    const applied = await init(["--apply"], { DATABASE_URL: url });
    expect(applied.stdout).toContain("Installed the functions");
    expect(await sql(FUNCTIONS)).toHaveLength(8);
    const removed = await init(["--apply", "--remove"], { DATABASE_URL: url });
    expect(removed.stdout).toContain("Removed the functions");
    expect(await sql(FUNCTIONS)).toEqual([]);
  });

  it(
    "without a Supabase project gets the trigger alone, and nothing for roles that are not there",
    IN_FULL,
    async () => {
      const { url, database } = await plainDatabase();
      const only = { SUPABASE_URL: "", SUPABASE_SECRET_KEY: "", DATABASE_URL: url };
      const applied = await init(["--trigger", "--apply"], only);
      expect(applied).toMatchObject({ code: 0 });
      expect(applied.stdout).toMatch(
        /Wrote vecfill-migrations\/\d+_vecfill_[0-9a-f]+\.sql\.\nInstalled the trigger/,
      );
      const again = await init(["--trigger", "--apply"], only);
      expect(again.stdout).toMatch(/is as it should be[^]*Installed the trigger/);
      const there = await database();
      expect(await there.query(FUNCTIONS)).toEqual([{ name: expect.stringMatching(/_reset$/) }]);
      await there.query(
        "INSERT INTO questions VALUES (1, 'a', array_fill(0.5, ARRAY[128])::vector)",
      );
      await there.query("UPDATE questions SET question_text = 'b'");
      expect(await there.query("SELECT embedding::text AS v FROM questions")).toEqual([
        { v: null },
      ]);
      await there.close();
    },
  );

  it("of another database than the project's applies no functions to it", async () => {
    const { url, database } = await plainDatabase();
    const ended = await init(["--apply"], { DATABASE_URL: url });
    expect(ended).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/no Supabase project's[^]*SUPABASE_URL unset/),
    });
    const there = await database();
    expect(await there.query(FUNCTIONS)).toEqual([]);
    await there.close();
    expect(await readdir(folder)).toEqual([]);
  });

  it("is asked for when there is none to apply them to", async () => {
    const ended = await init(["--apply"]);
    expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining("DATABASE_URL") });
  });
});
