/** Somebody reads the migration before running it: is it as safe and as exact as it says? */
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  fingerprintColumn,
  functionName,
  inOneStatement,
  installStatements,
  removeStatements,
} from "../../../src/store/supabase-functions.ts";
import type { TableShape } from "../../../src/store/sql.ts";
import type { Target } from "../../../src/row/target.ts";
import { ON_NATIVE } from "../postgres/native-database.ts";
import { DIMENSIONS, embedded, QUESTIONS, rejection, userError } from "../contract.ts";
import { openNativeProject, openProject, type Project } from "./project.ts";

const SHAPE: TableShape = {
  idType: "integer",
  vectorSchema: "extensions",
  embeddingType: "vector",
};
const TARGET: Target = { ...QUESTIONS, text: "{question_text}\\'$vecfill$ {topic}" };
const FIRST = { after: undefined, limit: 100 };
let project: Project;

beforeAll(async () => {
  project = await openProject();
  await project.database.query(
    `CREATE TABLE questions (id int PRIMARY KEY, question_text text, topic text, rows text, place text,
       vecfill_written text, embedding extensions.vector(${DIMENSIONS}))`,
  );
  await project.database.query("GRANT ALL ON questions TO service_role");
});
afterAll(() => project.close());

async function functionsThere(): Promise<Record<string, string | null>[]> {
  return project.database.query(
    `SELECT p.proname::text AS name, p.prosecdef::text AS definer, p.proconfig::text AS config,
       has_function_privilege('service_role', p.oid, 'EXECUTE')::text AS service_role,
       has_function_privilege('anon', p.oid, 'EXECUTE')::text AS anon,
       has_function_privilege('authenticated', p.oid, 'EXECUTE')::text AS authenticated,
       obj_description(p.oid, 'pg_proc') AS comment
     FROM pg_proc p WHERE p.proname LIKE 'vecfill%' ORDER BY 1`,
  );
}

async function columnsThere(): Promise<Record<string, string | null>[]> {
  return project.database.query(
    `SELECT attname::text AS name FROM pg_attribute
     WHERE attrelid = 'questions'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1`,
  );
}

describe("the SQL functions", () => {
  it("run with the caller's rights on an empty search path, for service_role only", async () => {
    await project.install(TARGET, { trigger: true });
    const functions = await functionsThere();
    expect(functions).toHaveLength(9);
    for (const { name, comment, ...rights } of functions) {
      expect(rights).toEqual({
        definer: "false",
        config: '{"search_path=\\"\\""}',
        service_role: String(!name?.endsWith("_reset")),
        anon: "false",
        authenticated: "false",
      });
      expect(name?.endsWith("_reset") ? "" : comment).toMatch(
        name?.endsWith("_reset") ? /^$/ : /^vecfill 7: public\.questions\.embedding from/,
      );
    }
  });

  it("may be installed again and again, and taken out without a trace", async () => {
    const own = await columnsThere();
    await project.install(TARGET, { trigger: true, fingerprint: true });
    const before = await functionsThere();
    await project.install(TARGET, { trigger: true, fingerprint: true });
    expect(await functionsThere()).toEqual(before);
    expect(await columnsThere()).toHaveLength(own.length + 1);
    const remove = inOneStatement(removeStatements(TARGET));
    await project.database.query(remove);
    await project.database.query(remove);
    expect(await functionsThere()).toEqual([]);
    expect(
      await project.database.query("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"),
    ).toEqual([]);
    expect(await columnsThere()).toEqual(own);
  });

  it("leave a column alone that has the fingerprints' name and no trigger of ours", async () => {
    const name = fingerprintColumn(TARGET);
    await project.database.query(`ALTER TABLE questions ADD COLUMN ${name} text`);
    await project.database.query(inOneStatement(removeStatements(TARGET)));
    expect(await columnsThere()).toContainEqual({ name });
    await project.database.query(`ALTER TABLE questions DROP COLUMN ${name}`);
  });

  it.each([
    ["no such table", { ...TARGET, table: "answers" }, SHAPE, /answers/],
    ["no such column", { ...TARGET, text: "{answer}" }, SHAPE, /answer/],
    ["another type of key", TARGET, { ...SHAPE, idType: "uuid" }, /uuid/],
    ["pgvector elsewhere", TARGET, { ...SHAPE, vectorSchema: "public" }, /public\.vector/],
  ] as const)("are not made where there is %s", async (_, target, shape, message) => {
    const statement = inOneStatement(
      installStatements(target, shape, { trigger: false, fingerprint: false, api: true }),
    );
    expect(String(await rejection(project.database.query(statement)))).toMatch(message);
    expect(await functionsThere()).toEqual([]);
  });

  it("of another version are told from ours", async () => {
    await project.install(TARGET);
    await project.database.query(
      `CREATE OR REPLACE FUNCTION ${functionName(TARGET, "describe")}() RETURNS jsonb LANGUAGE sql
       AS $$ SELECT '{"version": 0, "what": "an older one had"}'::jsonb $$`,
    );
    expect(await rejection(project.store(TARGET).count())).toEqual(
      userError("fatal", /of version 0/, /vecfill init/),
    );
    await project.install(TARGET);
    expect(await project.store(TARGET).count()).toEqual({ total: 0, pending: 0 });
  });

  it.each([
    ["was dropped", (name: string) => `DROP FUNCTION ${name}(jsonb)`, /apply is not there/],
    [
      "was changed",
      (name: string) =>
        `CREATE OR REPLACE FUNCTION ${name}(rows jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '[]'::jsonb $$`,
      /apply was changed/,
    ],
    [
      "runs with other rights",
      (name: string) => `ALTER FUNCTION ${name}(jsonb) SECURITY DEFINER`,
      /apply was changed/,
    ],
    [
      "may not be executed",
      (name: string) => `REVOKE ALL ON FUNCTION ${name}(jsonb) FROM service_role`,
      /apply may not be executed/,
    ],
  ])("are told, not used, where one of them %s", async (_, statement, message) => {
    await project.install(TARGET);
    await project.database.query(statement(functionName(TARGET, "apply")));
    expect(await rejection(project.store(TARGET).readPending(FIRST))).toEqual(
      userError("fatal", message, /migration of `vecfill init`/),
    );
    await project.install(TARGET);
    expect(await project.store(TARGET).readPending(FIRST)).toEqual([]);
  });

  it("are as they should be where an editor ended the lines in its own way", async () => {
    await project.install(TARGET);
    const statements = installStatements(TARGET, SHAPE, {
      trigger: false,
      fingerprint: false,
      api: true,
    });
    for (const statement of statements) {
      await project.database.query(statement.replaceAll("\n", "\r\n"));
    }
    expect(await project.store(TARGET).readPending(FIRST)).toEqual([]);
  });

  it("that were made for other types are told, not used", async () => {
    await project.database.query("ALTER TABLE questions ALTER id TYPE bigint");
    expect(await project.store(TARGET).readPending(FIRST)).toEqual([]);
    await project.database.query("ALTER TABLE questions ALTER id TYPE text");
    expect(await rejection(project.store(TARGET).readPending(FIRST))).toEqual(
      userError("fatal", /other types/, /vecfill init/),
    );
    await project.database.query("ALTER TABLE questions ALTER id TYPE int USING id::int");
  });
});

describe("the trigger", () => {
  it("empties a row's vector when its text changes, and at no other time", async () => {
    const { database } = project;
    await project.install(TARGET, { trigger: true });
    await database.query(
      "INSERT INTO questions (id, question_text) SELECT i, 'q' || i FROM generate_series(1, 5) i",
    );
    const store = project.store(TARGET);
    const rows = (await store.readPending(FIRST)).map(embedded);
    expect(await store.apply(rows)).toEqual(rows.map(() => "written"));

    await database.query("UPDATE questions SET question_text = 'other' WHERE id = 1");
    await database.query("UPDATE questions SET topic = 'new' WHERE id = 2");
    await database.query(
      "UPDATE questions SET question_text = question_text, place = 'x' WHERE id = 3",
    );
    const own = `array_fill(0.5, ARRAY[${DIMENSIONS}])::extensions.vector`;
    await database.query(
      `UPDATE questions SET question_text = 'both', embedding = ${own} WHERE id = 4`,
    );
    const pending = await store.readPending(FIRST);
    expect(pending.map(({ id }) => id)).toEqual(["1", "2"]);
    expect((await store.describe()).updateTriggers).toEqual([]);
  });
});

describe("the trigger's migration, where others hold the table", ON_NATIVE, () => {
  it("gives up after some seconds, and has changed nothing", async () => {
    const busy = await openNativeProject();
    const other = new Client(busy.url);
    try {
      await busy.database.query(
        `CREATE TABLE questions (id int PRIMARY KEY, question_text text, embedding extensions.vector(${DIMENSIONS}))`,
      );
      await other.connect();
      await other.query("BEGIN; UPDATE questions SET id = id");
      const refused = await rejection(busy.install(QUESTIONS, { trigger: true }));
      expect(refused).toMatchObject({ code: "55P03" });
      const made = "SELECT proname FROM pg_proc WHERE proname LIKE 'vecfill%'";
      expect(await busy.database.query(made)).toEqual([]);
    } finally {
      await other.end();
      await busy.close();
    }
  });
});
