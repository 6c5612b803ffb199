/**
 * Is a database in use left in peace while its index is dropped and built, and does a build come
 * right that has too little memory, is stopped, or loses its connection?
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { cell, type Database, type Session } from "../../src/store/database.ts";
import { openPglite } from "../../src/store/postgres/pglite.ts";
import type { AnnIndex, StoreIndexes } from "../../src/store/port.ts";
import { connectPostgres } from "../../src/store/postgres/postgres.ts";
import { withRetry } from "../../src/store/retry.ts";
import { sqlIndexes } from "../../src/store/postgres/sql-indexes.ts";
import { createSqlStore } from "../../src/store/postgres/sql-store.ts";
import {
  createNativeDatabase,
  ON_NATIVE,
  openSession,
  type NativeDatabase,
} from "./postgres/native-database.ts";
import { DIMENSIONS, QUESTIONS, rejection, userError } from "./contract.ts";

const never = new AbortController().signal;

async function makeTable(database: Database, rows: number): Promise<AnnIndex> {
  await database.query("DROP TABLE IF EXISTS questions");
  await database.query(
    `CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(${DIMENSIONS}))`,
  );
  await database.query(
    `INSERT INTO questions SELECT i, 'question ' || i, (SELECT array_agg(sin(i * d)) FROM generate_series(1, ${DIMENSIONS}) d)::vector
     FROM generate_series(1, ${rows}) i`,
  );
  await database.query("CREATE INDEX ann ON questions USING hnsw (embedding vector_cosine_ops)");
  const [index] = await sqlIndexes(database, QUESTIONS).read();
  if (index === undefined) throw new Error("the test's own set-up is wrong");
  const { obstacle: _, ...rest } = index;
  return rest;
}

/** What is left, valid or not. */
async function names(database: Database): Promise<string[]> {
  const rows = await database.query(
    `SELECT c.relname || CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END AS name
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = 'questions'::regclass AND NOT i.indisprimary ORDER BY 1`,
  );
  return rows.map((row) => cell(row, "name"));
}

/** The same database, whose sessions are `changed`. */
function withSessions(database: Database, changed: (session: Session) => Session): Database {
  return { ...database, session: (work) => database.session((own) => work(changed(own))) };
}

async function until(is: () => Promise<boolean>): Promise<void> {
  while (!(await is())) await systemClock.sleep(20);
}

describe("on the embedded database", () => {
  let database: Database;

  beforeAll(async () => {
    database = await openPglite(undefined);
    await database.query("CREATE EXTENSION vector");
  });
  afterAll(() => database.close());

  it.each(["53100", "53200"])("is built with the server's own settings (%s)", async (code) => {
    const index = await makeTable(database, 20);
    const small = withSessions(database, (session) => ({
      ...session,
      transaction: async (statements) => {
        if (statements.some((sql) => sql.includes("maintenance_work_mem"))) {
          throw Object.assign(new Error("could not resize shared memory segment"), { code });
        }
        await session.transaction(statements);
      },
    }));
    const indexes = sqlIndexes(small, QUESTIONS);
    await indexes.drop("ann");
    expect(await indexes.build(index, never)).toBe("built");
    expect(await names(database)).toEqual(["ann"]);
  });

  it("a definition names everything in full, so that any session builds the same", async () => {
    const { definition } = await makeTable(database, 1);
    expect(definition).toBe(
      "CREATE INDEX ann ON public.questions USING hnsw (embedding public.vector_cosine_ops)",
    );
    // a setting that stayed behind would be another's search path
    const [row] = await database.query("SHOW search_path");
    expect(row?.["search_path"]).toContain("public");
  });

  it("and a disk that is full is said to be full", async () => {
    const index = await makeTable(database, 20);
    const full = withSessions(database, (session) => ({
      ...session,
      transaction: (statements) =>
        statements.some((sql) => sql.includes("CREATE INDEX"))
          ? Promise.reject(Object.assign(new Error("No space left"), { code: "53100" }))
          : session.transaction(statements),
    }));
    const indexes = sqlIndexes(full, QUESTIONS);
    await indexes.drop("ann");
    expect(await rejection(indexes.build(index, never))).toEqual(userError("fatal", /no room/));
  });
});

describe("on a native server", ON_NATIVE, () => {
  const ROWS = 400;
  let native: NativeDatabase;
  let database: Database;
  let indexes: StoreIndexes;
  let index: AnnIndex;

  beforeAll(async () => {
    native = await createNativeDatabase();
    database = native.database;
    indexes = sqlIndexes(database, QUESTIONS);
  });
  afterAll(() => native.drop());
  beforeEach(async () => {
    index = await makeTable(database, ROWS);
  });

  const open: { end(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const session of open.splice(0)) await session.end();
  });

  async function transaction(statement: string) {
    const session = await openSession(native.url);
    open.push(session);
    await session.query("BEGIN");
    await session.query(statement);
    return session;
  }

  const write = (id: number) =>
    database.query(`UPDATE questions SET question_text = 'changed' WHERE id = ${id}`);

  it("a table in use keeps its index, and nobody waits behind the attempt", async () => {
    const busy = await transaction("SELECT count(*) FROM questions");
    const dropped = rejection(indexes.drop("ann"));
    expect(await dropped).toEqual(userError("fatal", /hold public\.questions/, /pg_stat_activity/));
    await write(1);
    expect(await names(database)).toEqual(["ann"]);
    await busy.query("COMMIT");
    await indexes.drop("ann");
    expect(await names(database)).toEqual([]);
  });

  it("with patience it is dropped as soon as the others have ended", async () => {
    const busy = await transaction("SELECT count(*) FROM questions");
    const waits: string[] = [];
    const store = withRetry(createSqlStore(database, QUESTIONS, { where: undefined }), {
      clock: systemClock,
      report: (event) => waits.push(event.type === "waiting" ? event.why : event.type),
    });
    const dropping = store.indexes?.drop("ann");
    await until(async () => waits.length > 0);
    await busy.query("COMMIT");
    await dropping;
    expect(waits[0]).toContain("held what it needs");
    expect(await names(database)).toEqual([]);
  });

  it("others write while it is built, and it waits for those who did before", async () => {
    await indexes.drop("ann");
    const writer = await transaction("UPDATE questions SET question_text = 'w' WHERE id = 7");
    const built = indexes.build(index, never);
    await until(async () => (await indexes.progress())?.phase.startsWith("waiting") === true);
    await write(8);
    await writer.query("COMMIT");
    expect(await built).toBe("built");
    expect(await indexes.read()).toMatchObject([{ ...index, obstacle: undefined }]);
  });

  it("an abort cancels the build, and leaves nothing of it, whole or not", async () => {
    await indexes.drop("ann");
    const writer = await transaction("UPDATE questions SET question_text = 'w' WHERE id = 7");
    const controller = new AbortController();
    const built = rejection(indexes.build(index, controller.signal));
    await until(async () => (await names(database)).length > 0);
    expect(await names(database)).toEqual(["ann (invalid)"]);
    const reason = new Error("Ctrl-C");
    controller.abort(reason);
    await systemClock.sleep(50);
    await writer.query("COMMIT");
    expect(await built).toBe(reason);
    expect(await names(database)).toEqual([]);
  });

  it("one that the server still builds for a lost connection is waited for, and then stands", async () => {
    await indexes.drop("ann");
    const writer = await transaction("UPDATE questions SET question_text = 'w' WHERE id = 7");
    const lost = connectPostgres(native.url);
    const first = sqlIndexes(lost, QUESTIONS).build(index, never);
    await until(async () => (await names(database)).length > 0);
    const waits: string[] = [];
    const store = withRetry(createSqlStore(database, QUESTIONS, { where: undefined }), {
      clock: systemClock,
      report: (event) => waits.push(event.type === "waiting" ? event.why : event.type),
    });
    const second = store.indexes?.build(index, never);
    await until(async () => waits.length > 0);
    expect(waits[0]).toContain("still building");
    await writer.query("COMMIT");
    expect(await first).toBe("built");
    expect(await second).toBe("standing");
    await lost.close();
  });

  it("behind a pooler it is built in one transaction, and leaves no setting behind", async () => {
    const seen: string[][] = [];
    const pooled = withSessions(database, (session) => ({
      ...session,
      isDirect: false,
      statement: () => Promise.reject(new Error("a pooler keeps no session")),
      transaction: async (statements) => {
        seen.push([...statements]);
        await session.transaction(statements);
      },
    }));
    const behind = sqlIndexes(pooled, QUESTIONS);
    await behind.drop("ann");
    expect(await behind.build(index, never)).toBe("built");
    expect(seen.flat().filter((sql) => /set_config/.test(sql) && !sql.endsWith("true)"))).toEqual(
      [],
    );
    expect(await indexes.read()).toMatchObject([index]);
  });

  it("a session of the server's own is known as such", async () => {
    expect(await database.session(async ({ isDirect }) => isDirect)).toBe(true);
  });

  it("the server's statement timeout does not end a build", async () => {
    await indexes.drop("ann");
    const writer = await transaction("UPDATE questions SET question_text = 'w' WHERE id = 7");
    const url = new URL(native.url);
    url.searchParams.set("options", "-c statement_timeout=300");
    const hasty = connectPostgres(url.href);
    const told = await rejection(hasty.query("SELECT pg_sleep(1)::text"));
    expect(told).toMatchObject({ code: "57014" });
    const built = sqlIndexes(hasty, QUESTIONS).build(index, never);
    await systemClock.sleep(700);
    await writer.query("COMMIT");
    expect(await built).toBe("built");
    await hasty.close();
  });

  it("a role that could not build it again may not drop it", async () => {
    const role = `reader_${Date.now()}`;
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
    await database.query(`GRANT ALL ON questions TO ${role}`);
    const url = new URL(native.url);
    [url.username, url.password] = [role, "x"];
    const other = connectPostgres(url.href);
    const read = () => sqlIndexes(other, QUESTIONS).read();
    expect(await read()).toMatchObject([{ obstacle: `the role ${role} does not own the table` }]);
    await database.query(`ALTER TABLE questions OWNER TO ${role}`);
    expect(await read()).toMatchObject([
      { obstacle: `the role ${role} may not create anything in its schema` },
    ]);
    await database.query(`GRANT CREATE ON SCHEMA public TO ${role}`);
    expect(await read()).toMatchObject([{ obstacle: undefined }]);
    await other.close();
    await database.query(`DROP OWNED BY ${role} CASCADE`);
    await database.query(`DROP ROLE ${role}`);
  });
});
