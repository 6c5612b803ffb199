/**
 * My role is subject to row level security. Rows that it hides must never look like nothing to do: am
 * I told?
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ProgressEvent } from "../../src/progress.ts";
import type { Database } from "../../src/store/database.ts";
import { openPglite } from "../../src/store/postgres/pglite.ts";
import { createSqlStore } from "../../src/store/postgres/sql-store.ts";
import { DIMENSIONS, QUESTIONS, rejection, userError, vectorOf } from "./contract.ts";

const PAGE = { after: undefined, limit: 10 };
let database: Database;
const events: ProgressEvent[] = [];

beforeAll(async () => {
  database = await openPglite(undefined);
  for (const statement of [
    "CREATE EXTENSION vector",
    `CREATE TABLE questions (id int PRIMARY KEY, question_text text, embedding vector(${DIMENSIONS}))`,
    "INSERT INTO questions VALUES (1, 'a'), (2, 'b')",
    "CREATE ROLE filler",
    "GRANT SELECT, UPDATE ON questions TO filler",
    "SET ROLE filler",
  ]) {
    await database.query(statement);
  }
});
afterAll(() => database.close());

function store() {
  events.length = 0;
  return createSqlStore(database, QUESTIONS, {
    where: undefined,
    report: (event) => events.push(event),
  });
}

async function asOwner(statement: string): Promise<void> {
  await database.query("RESET ROLE");
  await database.query(statement);
  await database.query("SET ROLE filler");
}

describe("a role that row level security applies to", () => {
  beforeAll(() => asOwner("ALTER TABLE questions ENABLE ROW LEVEL SECURITY"));

  it("sees no row: refused, by counting as by reading", async () => {
    const expected = userError("fatal", /role filler.*all of its rows are hidden/, /bypassrls/);
    expect(await rejection(store().count())).toEqual(expected);
    expect(await rejection(store().readPending(PAGE))).toEqual(expected);
  });

  it("sees some rows: it goes on with these, and says so once", async () => {
    await asOwner("CREATE POLICY partly ON questions FOR ALL TO filler USING (id = 1)");
    const half = store();
    expect(await half.count()).toEqual({ total: 1, pending: 1 });
    expect(await half.readPending(PAGE)).toMatchObject([{ id: "1" }]);
    expect(events).toEqual([
      expect.objectContaining({ type: "warning", message: expect.stringContaining("filler") }),
    ]);
  });
});

const offered = (id: number) => ({ id: String(id), fingerprint: "", vector: vectorOf(id) });

it("a row that is hidden in the middle of the work is not called gone", async () => {
  await asOwner("ALTER TABLE questions DISABLE ROW LEVEL SECURITY");
  const working = store();
  expect(await working.apply([offered(1), offered(7)])).toEqual(["stale", "gone"]);
  // from here on only row 1 is seen
  await asOwner("ALTER TABLE questions ENABLE ROW LEVEL SECURITY");
  expect(await rejection(working.apply([offered(2)]))).toEqual(
    userError("fatal", /Row 2 .*cannot be seen any more/, /bypassrls/),
  );
  // a policy that shows all hides nothing, unless another takes away from it
  await asOwner("CREATE POLICY wholly ON questions FOR SELECT USING (true)");
  expect(await working.apply([offered(7)])).toEqual(["gone"]);
  await asOwner("CREATE POLICY less ON questions AS RESTRICTIVE USING (id = 1)");
  expect(await rejection(working.apply([offered(7)]))).toEqual(
    userError("fatal", /cannot be seen/),
  );
});

it("a role that it does not apply to is told nothing, even of an empty table", async () => {
  await asOwner("ALTER TABLE questions DISABLE ROW LEVEL SECURITY");
  expect(await store().count()).toEqual({ total: 2, pending: 2 });
  await asOwner("DELETE FROM questions");
  expect(await store().readPending(PAGE)).toEqual([]);
  expect(events).toEqual([]);
});
