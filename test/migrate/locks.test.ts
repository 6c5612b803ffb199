// People search the table while a migration changes it: how long do they wait where the migration itself has to wait,
// for vacuum or for a reader who takes his time?
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { createMigrationStore } from "../../src/store/migration/migration-store.ts";
import type { MigrationTable } from "../../src/store/migration/scripts.ts";
import { sqlIndexes } from "../../src/store/postgres/sql-indexes.ts";
import { DIMENSIONS, QUESTIONS } from "../store/contract.ts";
import {
  createNativeDatabase,
  type NativeDatabase,
  ON_NATIVE,
  openSession,
} from "../store/postgres/native-database.ts";

const KEPT = "embedding_20261130";
const INDEXES = [{ old: "ann", next: "ann_new", kept: "ann_20261130" }];
const NAMES = { old: "embedding", next: "embedding_new", kept: KEPT, indexes: INDEXES };
const PLAN: MigrationTable = {
  old: QUESTIONS,
  next: { ...QUESTIONS, model: "gemini-embedding-2", embedding: "embedding_new" },
  names: NAMES,
  columnType: "vector",
};
/** Long enough for what waits to stand in the queue. */
const IN_QUEUE_MS = 600;
/** Less than the server's deadlock_timeout. */
const PATIENCE = "500ms";

describe("on a native server", ON_NATIVE, () => {
  let native: NativeDatabase;
  beforeEach(async () => {
    native = await createNativeDatabase();
    for (const statement of [
      `CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(${DIMENSIONS}))`,
      "CREATE INDEX ann ON questions USING hnsw (embedding vector_cosine_ops)",
      "CREATE VIEW asked AS SELECT id, embedding FROM questions",
    ]) {
      await native.database.query(statement);
    }
  });
  afterEach(() => native.drop());

  /** Once, while somebody holds such a lock: what it ended with, and whether a reader had his answer in time. */
  async function beside(lock: string, change: () => Promise<unknown>) {
    const [holder, reader] = [await openSession(native.url), await openSession(native.url)];
    try {
      await holder.query(`BEGIN; LOCK TABLE questions IN ${lock} MODE`);
      const changing = change().then(
        () => "done",
        (error: unknown) => String(error),
      );
      await systemClock.sleep(IN_QUEUE_MS);
      await reader.query(`SET lock_timeout = '${PATIENCE}'`);
      await reader.query("SELECT count(*) FROM asked");
      await holder.query("COMMIT");
      return await changing;
    } finally {
      await reader.end();
      await holder.end();
    }
  }

  const table = () =>
    createMigrationStore({ database: native.database, again: (work) => work() }, PLAN);
  const swapped = async () => {
    await table().add();
    await native.database.query(
      "CREATE INDEX ann_new ON questions USING hnsw (embedding_new vector_cosine_ops)",
    );
  };
  const drop = () => sqlIndexes(native.database, QUESTIONS).drop("ann");

  test.each<[string, () => Promise<unknown>]>([
    ["the swap", () => table().swap()],
    ["the drop of an index", drop],
  ])("nobody waits behind %s that waits for vacuum, and it is done", async (_, change) => {
    await swapped();
    expect(await beside("SHARE UPDATE EXCLUSIVE", change)).toBe("done");
  });

  test.each<[string, () => Promise<unknown>]>([
    ["the swap", () => table().swap()],
    ["the undo", () => table().undo()],
    ["the end of a migration", () => table().finish()],
    ["the drop of an index", drop],
  ])("%s gives up at once where somebody reads, and lets others through", async (_, change) => {
    await swapped();
    expect(await beside("ACCESS SHARE", change)).toMatch(/Other transactions hold/);
  });
});
