/**
 * The key and the address are right, and something else is not as usual: a view, a name that needs
 * quotes, a right that is missing, an API that has not seen the table or has lost its database. Is it
 * told as what it is, before anything is paid for?
 */
import { readdir } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Clock } from "../../../src/clock.ts";
import { checkExamination } from "../../../src/commands/doctor/table-checks.ts";
import type { ProgressEvent } from "../../../src/progress.ts";
import { checkTarget } from "../../../src/row/target-check.ts";
import type { Target } from "../../../src/row/target.ts";
import { withRetry } from "../../../src/store/retry.ts";
import type { Examination } from "../../../src/store/port.ts";
import { examineApi } from "../../../src/store/supabase/examine.ts";
import { connectSupabase } from "../../../src/store/supabase/supabase.ts";
import { runHere, type Ended } from "../../command-line.ts";
import { temporaryFolder } from "../../manifest/sample.ts";
import { DIMENSIONS, embedded, QUESTIONS, rejection, userError } from "../contract.ts";
import { SECRET_KEY } from "./keys.ts";
import { openProject, type Project } from "./project.ts";

const COLUMNS = `(id bigint PRIMARY KEY, question_text text, embedding extensions.vector(${DIMENSIONS}))`;
const ROWS = "SELECT i, 'question ' || i FROM generate_series(1, 5) i";
const UNSEEN = /has not seen it yet: run in the SQL editor notify pgrst, 'reload schema';/;
const FIRST_PAGE = { after: undefined, limit: 10 };
/** There are no functions for it. */
const BARE: Target = { ...QUESTIONS, table: "bare" };
const SHOP: Target = { ...QUESTIONS, schema: "Shop" };

let project: Project;
let slept: number[] = [];
let events: ProgressEvent[] = [];

beforeAll(async () => {
  project = await openProject({ schemas: ["public", "Shop"] });
  await project.runScript(`
    CREATE TABLE questions ${COLUMNS};
    INSERT INTO questions ${ROWS};
    CREATE TABLE bare ${COLUMNS.replace("bigint", "integer")};
    INSERT INTO bare ${ROWS};
    CREATE VIEW open_questions AS SELECT * FROM questions WHERE embedding IS NULL;
    CREATE MATERIALIZED VIEW frozen AS SELECT * FROM questions;
    GRANT SELECT ON frozen TO service_role;
    CREATE VIEW distinct_questions AS SELECT DISTINCT * FROM questions;
    CREATE SCHEMA "Shop";
    GRANT USAGE ON SCHEMA "Shop" TO service_role;
    CREATE TABLE "Shop".questions ${COLUMNS};
    GRANT ALL ON "Shop".questions TO service_role;
    INSERT INTO "Shop".questions ${ROWS};`);
  await project.install(QUESTIONS);
});
afterAll(() => project.close());
afterEach(async () => {
  slept = [];
  events = [];
  project.api.trouble(undefined);
  project.api.hear(true);
  await project.runScript("UPDATE questions SET embedding = NULL");
});

/** Nothing is waited for; what is wrong passes when `afterMs` of waiting are over. */
function clockUntil(afterMs: number): Clock {
  return {
    now: () => new Date(),
    elapsedMs: () => performance.now(),
    sleep: async (ms) => {
      slept.push(ms);
      if (sum(slept) >= afterMs) project.api.trouble(undefined);
    },
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

function examine(target: Target, clock: Clock = clockUntil(Infinity)): Promise<Examination> {
  const api = connectSupabase({ url: project.api.url, key: SECRET_KEY });
  return examineApi(api, target, { clock, report: (event) => events.push(event) });
}

function reading(target: Target): Promise<unknown> {
  return rejection(project.store(target).readPending(FIRST_PAGE));
}

async function init(...args: readonly string[]): Promise<Ended & Readonly<{ files: string[] }>> {
  const folder = await temporaryFolder();
  const env = { SUPABASE_URL: project.api.url, SUPABASE_SECRET_KEY: SECRET_KEY };
  const ended = await runHere(["init", "--dimensions", String(DIMENSIONS), ...args], {
    env,
    folder,
  });
  return { ...ended, files: await readdir(folder) };
}

describe("a view", () => {
  const VIEW: Target = { ...QUESTIONS, table: "open_questions" };

  it("is refused by init, which names the table below it and writes nothing", async () => {
    const ended = await init("--table", "open_questions");
    expect(ended).toMatchObject({ code: 3, files: [] });
    expect(ended.stderr).toMatch(
      /public\.open_questions is a view[^]*--table[^]*below it: public\.questions/,
    );
  });

  it("is warned of by doctor, with the table below it", async () => {
    const found = await examine(VIEW);
    const checks = checkExamination(VIEW, found, { throughApi: true, now: new Date() });
    expect(checks).toContainEqual({
      name: "columns",
      status: "warning",
      message: expect.stringMatching(/is a view, whose rows have no versions/),
      mend: expect.stringMatching(/below it: public\.questions\./),
    });
  });

  it("that Postgres can write through is filled", async () => {
    const store = project.store(VIEW);
    const rows = (await store.readPending(FIRST_PAGE)).map(embedded);
    expect(rows).toHaveLength(5);
    expect(await store.apply(rows)).toEqual(rows.map(() => "written"));
    expect(await project.store(QUESTIONS).count()).toEqual({ total: 5, pending: 0 });
  });

  it.each(["frozen", "distinct_questions"])(
    "that takes no writes is refused before a row is read: %s",
    async (table) => {
      const target = { ...QUESTIONS, table };
      expect(await reading(target)).toEqual(
        userError("fatal", /no table of its own/, /Give --table/),
      );
    },
  );
});

describe("a schema whose name needs quotes", () => {
  const WORDS = /cannot describe schema Shop: schema "shop" does not exist.*needs quotes/;

  it("is told with the way that there is, by the store and by init", async () => {
    expect(await reading(SHOP)).toEqual(userError("fatal", WORDS, /init --apply.*DATABASE_URL/));
    const ended = await init("--schema", "Shop");
    expect(ended).toMatchObject({ code: 3, files: [] });
    expect(ended.stderr).toMatch(/init --apply[^]*DATABASE_URL/);
  });

  it("is like any other once its functions are there", async () => {
    await project.install(SHOP);
    const store = project.store(SHOP);
    const rows = (await store.readPending(FIRST_PAGE)).map(embedded);
    expect(await store.apply(rows)).toEqual(rows.map(() => "written"));
  });
});

describe("a right that is missing", () => {
  it.each([
    [
      "usage of the schema that the vector type is in",
      "REVOKE USAGE ON SCHEMA extensions FROM PUBLIC, service_role",
      "GRANT USAGE ON SCHEMA extensions TO service_role",
      /Run in the SQL editor: grant usage on schema extensions to service_role;$/,
    ],
    [
      "update of the table",
      "REVOKE UPDATE ON questions, bare FROM service_role",
      "GRANT UPDATE ON questions, bare TO service_role",
      /Run in the SQL editor: grant select, update on public\.(questions|bare) to service_role;$/,
    ],
  ])("is told with the grant that gives it: %s", async (_, revoke, grant, hint) => {
    for (const target of [QUESTIONS, BARE]) {
      const rows = await pendingOf(target);
      await project.runScript(revoke);
      const refused = await rejection(project.store(target).apply(rows));
      await project.runScript(grant);
      expect(refused).toEqual(userError("fatal", /lacks a right: permission denied/, hint));
    }
  });
});

describe("a vector column that is NOT NULL", () => {
  it("is no table without anything to do, where there are no functions either", async () => {
    const target = { ...QUESTIONS, table: "full_ones" };
    await project.runScript(`
      CREATE TABLE full_ones ${COLUMNS.replace(/vector\(\d+\)/, "$& NOT NULL")};
      NOTIFY pgrst, 'reload schema';`);
    const description = await project.store(target).describe();
    expect(() => checkTarget(target, description)).toThrow(
      userError("fatal", /full_ones\.embedding is NOT NULL/, /drop not null;/),
    );
  });
});

async function pendingOf(target: Target) {
  return (await project.store(target).readPending(FIRST_PAGE)).map(embedded);
}

describe("what the API has not seen yet", () => {
  it("a table, a column and functions are told in the same words", async () => {
    await examine(BARE);
    project.api.hear(false);
    await project.runScript(`CREATE TABLE fresh ${COLUMNS};
      ALTER TABLE questions ADD COLUMN second extensions.vector(${DIMENSIONS});`);
    for (const target of [
      { ...QUESTIONS, table: "fresh" },
      { ...QUESTIONS, embedding: "second" },
    ]) {
      expect(await reading(target)).toEqual(userError("fatal", /There is no|has no/, UNSEEN));
    }
    await project.install(BARE);
    project.events.length = 0;
    await project.store(BARE).count();
    expect(project.events).toEqual([
      { type: "warning", message: expect.any(String), hint: expect.stringMatching(UNSEEN) },
    ]);
    const found = checkExamination(BARE, await examine(BARE), {
      throughApi: true,
      now: new Date(),
    });
    expect(found.map(({ mend }) => mend)).toContainEqual(expect.stringMatching(UNSEEN));
    await project.runScript("DROP TABLE fresh; ALTER TABLE questions DROP COLUMN second");
  });

  it("a column of another width is told in them, too", async () => {
    await project.runScript(`CREATE TABLE wide ${COLUMNS}; INSERT INTO wide ${ROWS};`);
    const store = project.store({ ...QUESTIONS, table: "wide" });
    const rows = (await store.readPending(FIRST_PAGE)).map(embedded);
    project.api.hear(false);
    await project.runScript("ALTER TABLE wide ALTER embedding TYPE extensions.vector(4)");
    expect(await rejection(store.apply(rows))).toEqual(
      userError("fatal", /expected 4 dimensions/, UNSEEN),
    );
  });
});

describe("an API that has lost its database", () => {
  const LOST = { kind: "lost", words: "connection to server failed" } as const;

  it("is waited for by init and doctor, and said to be", async () => {
    project.api.trouble(LOST);
    expect(await examine(QUESTIONS, clockUntil(31_000))).toMatchObject({
      functions: { state: "current" },
    });
    expect(events.every(({ type }) => type === "waiting")).toBe(true);
    expect(sum(slept)).toBeLessThan(60_000);
  });

  it("and is not back after a minute is told as that", async () => {
    project.api.trouble(LOST);
    expect(await rejection(examine(QUESTIONS))).toEqual(
      userError("fatal", /schema cache.*PGRST002/, /again/),
    );
    expect(sum(slept)).toBe(60_000);
  });

  it("proves at first contact that the address is right: a stage waits as in an outage", async () => {
    project.api.trouble(LOST);
    const store = withRetry(project.store(QUESTIONS), {
      clock: clockUntil(120_000),
      report: () => {},
    });
    expect(await store.count()).toEqual({ total: 5, pending: 5 });
  });

  it("has not lost a row when it was cut off in the middle of a call", async () => {
    const clock = clockUntil(1);
    const store = withRetry(project.store(QUESTIONS), { clock, report: () => {} });
    const rows = (await store.readPending(FIRST_PAGE)).map(embedded);
    project.api.trouble({ kind: "cut in the middle" });
    expect(await store.apply(rows)).toEqual(rows.map(() => "written"));
    expect(slept.length).toBe(1);
  });
});
