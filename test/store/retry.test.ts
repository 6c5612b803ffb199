/**
 * When the database fails at any moment, before or after a statement took effect, does a stage get
 * the right answers all the same, and does it hear of it when the failure lasts?
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../../src/clock.ts";
import { UserError } from "../../src/errors.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import type { Database } from "../../src/store/database.ts";
import { explainFailure } from "../../src/store/failure.ts";
import { openPglite } from "../../src/store/postgres/pglite.ts";
import type { Store } from "../../src/store/port.ts";
import { RETRIES, withRetry, type RetryOptions } from "../../src/store/retry.ts";
import { explainRestFailure, RestError } from "../../src/store/supabase/rest-failure.ts";
import { createSqlStore } from "../../src/store/postgres/sql-store.ts";
import { DIMENSIONS, embedded, rejection, userError, QUESTIONS, qualified } from "./contract.ts";

let real: Database;
let slept: number[];
let events: ProgressEvent[];

const clock: Clock = {
  now: () => new Date(),
  elapsedMs: () => performance.now(),
  sleep: async (ms, signal) => {
    signal?.throwIfAborted();
    slept.push(ms);
  },
};

beforeAll(async () => {
  real = await openPglite(undefined);
  await real.query("CREATE EXTENSION vector");
  await real.query(
    `CREATE TABLE ${qualified(QUESTIONS)} (id bigint PRIMARY KEY, question_text text, embedding vector(${DIMENSIONS}))`,
  );
});
afterAll(() => real.close());

beforeEach(async () => {
  slept = [];
  events = [];
  await real.query(`DELETE FROM ${qualified(QUESTIONS)}`);
  await real.query(
    `INSERT INTO ${qualified(QUESTIONS)} SELECT i, 'question ' || i FROM generate_series(1, 5) i`,
  );
});

function failure(code: string, message = `failed with ${code}`): Error {
  return Object.assign(new Error(message), { code });
}

/** The real database, except that statements counted from 1 fail as told. */
function faulty(
  fails: (statement: number) => "before" | "after" | undefined,
  code: string,
  message?: string,
): Store {
  let statement = 0;
  const database: Database = {
    ...real,
    async query(sql, parameters) {
      statement += 1;
      const when = fails(statement);
      if (when === "before") throw failure(code, message);
      const rows = await real.query(sql, parameters);
      if (when === "after") throw failure(code);
      return rows;
    },
  };
  return createSqlStore(database, QUESTIONS, { where: undefined });
}

function patient(store: Store, options: Partial<RetryOptions> = {}): Store {
  return withRetry(store, { clock, report: (event) => events.push(event), ...options });
}

describe("a failure that passes", () => {
  // more than the walk below takes
  const STATEMENTS = 24;
  const moments = Array.from({ length: STATEMENTS }, (_, index) => index + 1).flatMap((nth) =>
    (["before", "after"] as const).map((when) => [nth, when] as const),
  );

  it.each(moments)("at statement %i, %s it took effect, changes no outcome", async (nth, when) => {
    const store = patient(
      faulty((statement) => (statement === nth ? when : undefined), "ECONNRESET"),
    );
    await store.describe();
    const rows = (await store.readPending({ after: undefined, limit: 10 })).map(embedded);
    await real.query(`UPDATE ${qualified(QUESTIONS)} SET question_text = 'new' WHERE id = 2`);
    await real.query(`DELETE FROM ${qualified(QUESTIONS)} WHERE id = 4`);
    const outcomes = ["written", "stale", "written", "gone", "written"];
    expect(await store.apply(rows)).toEqual(outcomes);
    expect(await store.apply(rows)).toEqual(outcomes);
    expect(await store.count()).toEqual({ total: 4, pending: 1 });
    await store.clear(rows);
    expect(await store.count()).toEqual({ total: 4, pending: 4 });
  });

  it.each(["40001", "40P01", "55P03"])(
    "is waited for where others are in the way: %s",
    async (code) => {
      const store = patient(faulty((n) => (n === 1 ? "before" : undefined), code));
      expect(await store.count()).toEqual({ total: 5, pending: 5 });
      expect(slept).toHaveLength(1);
    },
  );

  it("is told, with the reason and the wait", async () => {
    const store = patient(
      faulty((n) => (n < 3 ? "before" : undefined), "40P01"),
      {
        random: () => 0.5,
      },
    );
    await store.count();
    expect(slept).toEqual([75, 150]);
    expect(events).toEqual([
      { type: "waiting", why: "a deadlock was broken up", seconds: 0.075 },
      { type: "waiting", why: "a deadlock was broken up", seconds: 0.15 },
    ]);
  });
});

describe("a failure that lasts", () => {
  it("ends after minutes once the database has been reached, with a word to the user", async () => {
    // the first count looks at the catalogue as well
    const store = patient(faulty((n) => (n > 2 ? "before" : undefined), "ECONNREFUSED"));
    await store.count();
    expect(await rejection(store.count())).toEqual(
      userError("fatal", /cannot be reached.* Tried 14 times/),
    );
    const minutes = slept.reduce((sum, ms) => sum + ms, 0) / 60_000;
    expect(minutes).toBeGreaterThan(4);
    expect(minutes).toBeLessThan(15);
    expect(Math.max(...slept)).toBeLessThanOrEqual(60_000);
  });

  it("ends within seconds when the database was never reached: the address may be wrong", async () => {
    const store = patient(faulty(() => "before", "ENOTFOUND"));
    expect(await rejection(store.count())).toEqual(userError("fatal", /cannot be reached/));
    expect(slept.reduce((sum, ms) => sum + ms, 0)).toBeLessThan(5_000);
  });

  it.each([
    ["53300", "sorry, too many clients already"],
    [
      "XX000",
      "MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited",
    ],
    ["08P01", "no more connections allowed (max_client_conn)"],
  ])(
    "is waited out where it is full (%s), also before it has answered once",
    async (code, message) => {
      const store = patient(faulty((n) => (n <= 6 ? "before" : undefined), code, message));
      expect(await store.count()).toEqual({ total: 5, pending: 5 });
      expect(slept).toHaveLength(6);
    },
  );

  it("is not waited for when the user gives up", async () => {
    const store = patient(
      faulty(() => "before", "ECONNRESET"),
      {
        signal: AbortSignal.abort(new Error("stopped")),
      },
    );
    await expect(store.count()).rejects.toThrow("stopped");
  });
});

describe("a failure that does not pass", () => {
  it.each(["42501", "28P01", "3D000", "53100"])("%s is not repeated", async (code) => {
    const store = patient(faulty(() => "before", code));
    await expect(store.count()).rejects.toThrow(UserError);
    expect(slept).toEqual([]);
  });

  it("a bug of ours keeps its own stack", async () => {
    const store = patient(faulty(() => "before", "XX000"));
    await expect(store.count()).rejects.not.toThrow(UserError);
    await expect(store.count()).rejects.toThrow("failed with XX000");
  });
});

it.each([
  [
    { code: "XX001", where: "PL/pgSQL function f(int) line 1" },
    /says: odd \(in f\(int\), SQLSTATE XX001\)/,
  ],
  [
    { code: "2F003", constraint: "c", hint: "Try  that" },
    /\(constraint c, SQLSTATE 2F003\); its hint: Try that/,
  ],
])("what carries an SQLSTATE is the database's, in its words: %o", (error, message) => {
  const thrown = Object.assign(new Error("odd\n"), { severity: "FATAL" }, error);
  const told = explainFailure(thrown, { label: "here", target: QUESTIONS });
  expect(told).toEqual(userError("fatal", message, /doctor/));
});

it.each([
  ["Tenant or user not found", /knows no such project/, /postgres\.<project ref>/],
  ["(ENOTFOUND) tenant/user postgres.abc not found", /knows no such project/, /dashboard/],
  ["Project abc is paused", /is paused/, /Restore project/],
])("what a pooler says is said in plain words: %s", (message, why, mend) => {
  const told = explainFailure(failure("XX000", message), { label: "here", target: QUESTIONS });
  expect(told).toEqual(userError("fatal", why, mend));
});

it("every failure that is repeated has words for people in the end", () => {
  const context = { label: "here", target: QUESTIONS, where: undefined };
  for (const code of Object.keys(RETRIES)) {
    const ofTheApi = new RestError({ code, message: "failed", status: 500 });
    const explained = [explainRestFailure(ofTheApi, context)];
    // a database knows nothing of the API in front of it
    if (!/^(PGRST|HTTP)/.test(code)) explained.push(explainFailure(failure(code), context));
    const told = explained.every((each) => each instanceof UserError);
    expect({ code, told }).toEqual({ code, told: true });
  }
});
