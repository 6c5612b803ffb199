/**
 * Without the SQL functions a row is read, and then written: what if it changes in between, again and
 * again, or has no version that could tell?
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Target } from "../../../src/row/target.ts";
import { DIMENSIONS, embedded, QUESTIONS, rejection, userError, vectorOf } from "../contract.ts";
import { refusal } from "./answer.ts";
import type { Request } from "./dialect.ts";
import type { Fault } from "./postgrest.ts";
import { openProject, type Project } from "./project.ts";

/** Longer than a text that fits into an address. */
const LONG = "long ".repeat(1_000);
let project: Project;
let fault: ((request: Request) => Fault | undefined) | undefined;
let target: Target;
let tables = 0;

beforeAll(async () => {
  project = await openProject({ fault: (request) => fault?.(request) });
});
afterAll(() => project.close());
beforeEach(async () => {
  tables += 1;
  target = { ...QUESTIONS, table: `questions_${tables}` };
  await project.database.query(
    `CREATE TABLE ${target.table} (id bigint PRIMARY KEY, question_text text, visits int DEFAULT 0,
       embedding extensions.vector(${DIMENSIONS}))`,
  );
  await project.database.query(
    `INSERT INTO ${target.table} SELECT i, i || ' ${LONG}' FROM generate_series(1, 3) i`,
  );
});
afterEach(() => {
  fault = undefined;
});

/** Just before each of the first `times` writes. The database takes its statements in turn. */
function beforeWrites(times: number, statement: string): void {
  let left = times;
  fault = ({ method }) => {
    if (method !== "PATCH" || left === 0) return undefined;
    left -= 1;
    void project.database.query(statement);
    return undefined;
  };
}

async function all() {
  return (await project.store(target).readPending({ after: undefined, limit: 10 })).map(embedded);
}

async function ids(condition: string): Promise<unknown[]> {
  const rows = await project.database.query(
    `SELECT id::text AS id FROM ${target.table} WHERE ${condition} ORDER BY id`,
  );
  return rows.map(({ id }) => id);
}

describe("between reading a row and writing it", () => {
  it("a long text changes: its vector is not written", async () => {
    const rows = await all();
    beforeWrites(1, `UPDATE ${target.table} SET question_text = 'other' WHERE id = 2`);
    expect(await project.store(target).apply(rows)).toEqual(["written", "stale", "written"]);
    expect(await ids("embedding IS NULL")).toEqual(["2"]);
  });

  it("another column changes: its vector is written all the same", async () => {
    const rows = await all();
    beforeWrites(1, `UPDATE ${target.table} SET visits = visits + 1`);
    expect(await project.store(target).apply(rows)).toEqual(["written", "written", "written"]);
  });

  it("somebody sets a vector of his own: rollback leaves it alone", async () => {
    const rows = await all();
    const store = project.store(target);
    await store.apply(rows);
    const own = `'[${vectorOf(99).join(",")}]'::extensions.vector`;
    beforeWrites(1, `UPDATE ${target.table} SET embedding = ${own} WHERE id = 2`);
    expect(await store.clear(rows)).toEqual(["cleared", "kept", "cleared"]);
    expect(await ids("embedding IS NULL")).toEqual(["1", "3"]);
    expect(await ids(`embedding OPERATOR(extensions.=) ${own}`)).toEqual(["2"]);
  });

  it("another column changes: rollback takes the vector back all the same", async () => {
    const rows = await all();
    const store = project.store(target);
    await store.apply(rows);
    beforeWrites(1, `UPDATE ${target.table} SET visits = visits + 1`);
    expect(await store.clear(rows)).toEqual(["cleared", "cleared", "cleared"]);
    expect(await ids("embedding IS NOT NULL")).toEqual([]);
  });

  it("rows change without end: it is told as what it is, which passes", async () => {
    const rows = await all();
    beforeWrites(Infinity, `UPDATE ${target.table} SET visits = visits + 1`);
    expect(await rejection(project.store(target).apply(rows))).toEqual(
      userError("fatal", /Other transactions hold rows.*changed again and again/),
    );
  });
});

it("what each row holds is told, also where it has changed since", async () => {
  const rows = await all();
  const store = project.store(target);
  await store.apply(rows);
  await project.database.query(
    `UPDATE ${target.table} SET embedding = embedding OPERATOR(extensions.+) embedding WHERE id = 2`,
  );
  await project.database.query(`UPDATE ${target.table} SET embedding = NULL WHERE id = 3`);
  expect(await store.compare(rows)).toEqual(["same", "other", "empty"]);
  const look = await store.look({ after: undefined, wanted: [], picks: [0] });
  expect(look).toMatchObject({
    rows: 3,
    withEmbedding: 2,
    flawed: [{ id: "2", flaw: "length", detail: expect.stringMatching(/^(2|1\.99)/) }],
    picked: [{ id: "1", text: `1 ${LONG}`, vector: expect.any(Array) }],
    until: "3",
  });
  expect(Float32Array.from(look.picked[0]?.vector ?? [])).toEqual(rows[0]?.vector);
  await project.database.query(`UPDATE ${target.table} SET question_text = 'x' WHERE id = 3`);
  await project.database.query(`DELETE FROM ${target.table} WHERE id = 1`);
  expect(await store.compare(rows)).toEqual(["gone", "other", "changed"]);
});

describe("where rows have no versions, as those of a view", () => {
  const noVersion = refusal(400, {
    code: "42703",
    message: "column questions.xmin does not exist",
  });
  const asOfAView = ({ query }: Request): Fault | undefined =>
    /xmin/.test(query.toString()) ? { answer: noVersion } : undefined;

  it("rows are filled, and a short text is asked for itself", async () => {
    fault = asOfAView;
    await project.database.query(`UPDATE ${target.table} SET question_text = 'short ' || id`);
    const rows = await all();
    const before = project.api.requests.length;
    expect(await project.store(target).apply(rows)).toEqual(["written", "written", "written"]);
    const writes = project.api.requests.slice(before).filter(({ method }) => method === "PATCH");
    expect(new Set(writes.map(({ query }) => query.get("question_text")))).toEqual(
      new Set(["eq.short 1", "eq.short 2", "eq.short 3"]),
    );
  });

  it("vectors are not taken back: what is written meanwhile could go with them", async () => {
    const rows = await all();
    fault = asOfAView;
    expect(await rejection(project.store(target).clear(rows))).toEqual(
      userError("fatal", /cannot use a view to take vectors back/, /vecfill init/),
    );
  });
});

it("columns that are called as what an address holds itself are columns all the same", async () => {
  target = { ...target, table: "odd", id: "order", text: "select", embedding: "limit" };
  await project.database.query(
    `CREATE TABLE odd ("order" int PRIMARY KEY, "select" text, "limit" extensions.vector(${DIMENSIONS}))`,
  );
  await project.database.query(`INSERT INTO odd VALUES (-5, 'a'), (7, 'b')`);
  const store = project.store(target);
  const rows = await all();
  expect(rows.map(({ id }) => id)).toEqual(["-5", "7"]);
  expect(await store.apply(rows)).toEqual(["written", "written"]);
  expect(await store.clear(rows)).toEqual(["cleared", "cleared"]);
  expect(await store.count()).toEqual({ total: 2, pending: 2 });
});
