/** Does everything hold on a real server, with other connections at work in the same rows? */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { EmbeddedQuestion } from "../../src/row/question.ts";
import { cell } from "../../src/store/database.ts";
import { openDatabase, openStore } from "../../src/store/postgres/open-database.ts";
import type { Store } from "../../src/store/port.ts";
import { withRetry } from "../../src/store/retry.ts";
import { startFaultyProxy } from "./postgres/faulty-proxy.ts";
import {
  createNativeDatabase,
  ON_NATIVE,
  openSession,
  type NativeDatabase,
} from "./postgres/native-database.ts";
import { DIMENSIONS, embedded, QUESTIONS, storeContract, vectorOf, qualified } from "./contract.ts";

describe("on a native server", ON_NATIVE, () => {
  storeContract("Postgres, pgvector off the search path", async () => {
    const { url, database, drop } = await createNativeDatabase("extensions");
    return {
      sql: (statement) => database.query(statement),
      open: (target, where) => openStore({ url }, target, { where }),
      vectorSchema: "extensions",
      takeDown: drop,
    };
  });

  it("goes on with the connections it has where the server gives no more", async () => {
    const native = await createNativeDatabase();
    const role = `vecfill_${new URL(native.url).pathname.slice(-12)}`;
    const url = new URL(native.url);
    [url.username, url.password] = [role, "secret"];
    const store = await openStore({ url: url.href }, QUESTIONS, { where: undefined });
    try {
      for (const statement of [
        `CREATE TABLE ${qualified(QUESTIONS)} (id bigint PRIMARY KEY, question_text text, embedding vector(${DIMENSIONS}))`,
        `CREATE ROLE ${role} LOGIN PASSWORD 'secret' CONNECTION LIMIT 1`,
        `GRANT SELECT, UPDATE ON ${qualified(QUESTIONS)} TO ${role}`,
      ]) {
        await native.database.query(statement);
      }
      await store.count();
      const counts = await Promise.all([store.count(), store.count(), store.count()]);
      expect(counts.map(({ total }) => total)).toEqual([0, 0, 0]);
    } finally {
      await store.close();
      await native.database.query(`DROP OWNED BY ${role}`);
      await native.database.query(`DROP ROLE ${role}`);
      await native.drop();
    }
  });

  describe("beside other connections", () => {
    const ROWS = 40;
    let native: NativeDatabase;
    let store: Store;
    let rows: EmbeddedQuestion[];

    beforeAll(async () => {
      native = await createNativeDatabase();
      await native.database.query(
        `CREATE TABLE ${qualified(QUESTIONS)} (id bigint PRIMARY KEY, question_text text, embedding vector(${DIMENSIONS}))`,
      );
      store = await openStore({ url: native.url }, QUESTIONS, { where: undefined });
    });
    afterAll(async () => {
      await store.close();
      await native.drop();
    });

    beforeEach(async () => {
      await native.database.query(`TRUNCATE ${qualified(QUESTIONS)}`);
      await native.database.query(
        `INSERT INTO ${qualified(QUESTIONS)} SELECT i, 'question ' || i FROM generate_series(1, ${ROWS}) i`,
      );
      rows = (await store.readPending({ after: undefined, limit: ROWS })).map(embedded);
    });

    /** Until a connection of ours waits for a row that another one holds. */
    async function blockedBackend(): Promise<string> {
      for (;;) {
        const [backend] = await native.database.query(
          `SELECT pid::text AS pid FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        );
        if (backend !== undefined) return cell(backend, "pid");
        await systemClock.sleep(5);
      }
    }

    it.each([
      [
        "changes its text",
        "UPDATE questions SET question_text = 'new' WHERE id = 3",
        "COMMIT",
        "stale",
      ],
      ["deletes it", "DELETE FROM questions WHERE id = 3", "COMMIT", "gone"],
      ["only looked at it", "SELECT FROM questions WHERE id = 3 FOR UPDATE", "COMMIT", "written"],
      ["thinks better of it", "DELETE FROM questions WHERE id = 3", "ROLLBACK", "written"],
    ])("waits for a transaction that holds a row and %s", async (_, statement, end, outcome) => {
      const other = await openSession(native.url);
      await other.query("BEGIN");
      await other.query(statement);
      const applied = store.apply(rows);
      await blockedBackend();
      await other.query(end);
      await other.end();
      expect(await applied).toEqual(rows.map(({ id }) => (id === "3" ? outcome : "written")));
    });

    it("of two that write the same rows, each row takes the vector of one, and both are told which", async () => {
      const rival = rows.map((row) => ({ ...row, vector: vectorOf(1000) })).reverse();
      const second = await openStore({ url: native.url }, QUESTIONS, { where: undefined });
      const patient = [store, second].map((each) =>
        withRetry(each, { clock: systemClock, report: () => {} }),
      );
      const [ours, theirs] = await Promise.all([patient[0]?.apply(rows), patient[1]?.apply(rival)]);
      await second.close();
      const outcomes = rows.map((_, index) => [ours?.at(index), theirs?.at(-1 - index)]);
      for (const pair of outcomes) expect(new Set(pair)).toEqual(new Set(["filled", "written"]));
      const vectors = await native.database.query(
        `SELECT embedding::text AS v FROM ${qualified(QUESTIONS)} ORDER BY id`,
      );
      vectors.forEach((row, index) => {
        const value = Float32Array.from(JSON.parse(cell(row, "v")));
        const winner = ours?.[index] === "written" ? rows[index]?.vector : vectorOf(1000);
        expect(value).toEqual(winner);
      });
    });

    it("goes on after its connection was terminated in the middle of a write", async () => {
      const other = await openSession(native.url);
      await other.query("BEGIN");
      await other.query("SELECT FROM questions WHERE id = 3 FOR UPDATE");
      const waits: string[] = [];
      const patient = withRetry(store, {
        clock: systemClock,
        report: (event) => waits.push(event.type),
      });
      const applied = patient.apply(rows);
      const backend = await blockedBackend();
      await native.database.query(`SELECT pg_terminate_backend(${backend})::text`);
      await other.query("COMMIT");
      await other.end();
      expect(await applied).toEqual(rows.map(() => "written"));
      expect(waits).toEqual(["waiting"]);
    });

    it("survives that all its idle connections are terminated", async () => {
      await Promise.all([store.count(), store.count(), store.count()]);
      await native.database.query(
        `SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()`,
      );
      const patient = withRetry(store, { clock: systemClock, report: () => {} });
      expect(await patient.count()).toEqual({ total: ROWS, pending: ROWS });
    });

    it("keeps its connection over a statement that the server refuses", async () => {
      const database = await openDatabase({ url: native.url });
      const backend = () => database.query("SELECT pg_backend_pid()::text AS pid");
      const before = await backend();
      await expect(database.query("SELECT 1 / $1::int", [0])).rejects.toThrow("division by zero");
      await expect(database.query("SELECT nothing")).rejects.toThrow("does not exist");
      expect(await backend()).toEqual(before);
      await database.close();
    });

    it("finds out by asking again what a lost answer would have said", async () => {
      const proxy = await startFaultyProxy(native.url);
      const remote = await openStore({ url: proxy.url }, QUESTIONS, { where: undefined });
      const waits: string[] = [];
      const patient = withRetry(remote, {
        clock: systemClock,
        report: (event) => waits.push(event.type),
      });
      await patient.apply(rows.slice(0, 1));
      await native.database.query(
        `UPDATE ${qualified(QUESTIONS)} SET question_text = 'x' WHERE id = 5`,
      );
      proxy.loseAnswers(1);
      const outcomes = await patient.apply(rows);
      await remote.close();
      await proxy.close();
      expect(outcomes).toEqual(rows.map(({ id }) => (id === "5" ? "stale" : "written")));
      expect(waits).toEqual(["waiting"]);
    });

    it("keeps more calls waiting than it has connections", async () => {
      const chunks = rows.map((row) => store.apply([row]));
      expect((await Promise.all(chunks)).flat()).toEqual(rows.map(() => "written"));
    });
  });
});
