/**
 * Something is wrong with the key, the table, the server or the line: does the user read what, why
 * and how to mend it? And do rows that a key cannot see ever look like nothing to do?
 */
import { createServer } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { systemClock } from "../../../src/clock.ts";
import { UserError } from "../../../src/errors.ts";
import {
  explainRestFailure,
  RestError,
  restErrorOf,
} from "../../../src/store/supabase/rest-failure.ts";
import { failureCode } from "../../../src/store/failure.ts";
import { RETRIES, withRetry } from "../../../src/store/retry.ts";
import { connectSupabase } from "../../../src/store/supabase/supabase.ts";
import { createSupabaseStore } from "../../../src/store/supabase/supabase-store.ts";
import type { Target } from "../../../src/row/target.ts";
import { runHere } from "../../command-line.ts";
import { temporaryFolder } from "../../manifest/sample.ts";
import { DIMENSIONS, embedded, QUESTIONS, rejection, userError } from "../contract.ts";
import type { Request } from "./dialect.ts";
import { ANON_KEY, jwtFor, PUBLISHABLE_KEY, SERVICE_ROLE_KEY } from "./keys.ts";
import type { Fault } from "./postgrest.ts";
import { openProject, type Project } from "./project.ts";
import { recordedLines } from "./recordings.ts";

const ROWS = 250;
let project: Project;
let fault: ((request: Request) => Fault | undefined) | undefined;

beforeAll(async () => {
  project = await openProject({ fault: (request) => fault?.(request) });
  await project.database.query(
    `CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding extensions.vector(${DIMENSIONS}))`,
  );
  await project.install(QUESTIONS);
});
afterAll(() => project.close());
beforeEach(async () => {
  fault = undefined;
  await project.database.query("ALTER TABLE questions DISABLE ROW LEVEL SECURITY");
  await project.database.query("TRUNCATE questions");
  await project.database.query(
    `INSERT INTO questions SELECT i, 'question ' || i FROM generate_series(1, ${ROWS}) i`,
  );
});

/** Another recipe: there are no functions for it. */
const WITHOUT_FUNCTIONS: Target = { ...QUESTIONS, text: "{question_text}" };
const FIRST_PAGE = { after: undefined, limit: 10 };

function reading(target: Target, key?: string): Promise<unknown> {
  return rejection(project.store(target, key).readPending(FIRST_PAGE));
}

describe("a key", () => {
  it.each([
    ["no key at all", "not-a-jwt", /key is refused.*Invalid API key/, /secret key/],
    ["another project's", jwtFor("service_role", { secret: "x" }), /key is refused/, /secret key/],
    ["one that expired", jwtFor("service_role", { expiresIn: -1 }), /expired/, /clock/],
    ["one of an unknown role", jwtFor("nobody"), /role "nobody" does not exist/, /secret key/],
  ])("that is %s is told so", async (_, key, message, hint) => {
    expect(await reading(QUESTIONS, key)).toEqual(userError("fatal", message, hint));
    expect(await reading(WITHOUT_FUNCTIONS, key)).toEqual(userError("fatal", message, hint));
  });

  it.each([
    ["publishable", PUBLISHABLE_KEY],
    ["anon", ANON_KEY],
  ])("that is %s may not use the functions", async (_, key) => {
    const expected = userError("fatal", /may not do this.*no secret key/, /SUPABASE_SECRET_KEY/);
    expect(await reading(QUESTIONS, key)).toEqual(expected);
  });

  it("that row level security hides rows from never sees nothing to do", async () => {
    await project.database.query("ALTER TABLE questions ENABLE ROW LEVEL SECURITY");
    for (const target of [QUESTIONS, WITHOUT_FUNCTIONS]) {
      expect(await project.store(target, SERVICE_ROLE_KEY).count()).toMatchObject({ total: ROWS });
      const store = project.store(target, PUBLISHABLE_KEY);
      const row = { id: "1", fingerprint: "", vector: new Float32Array(DIMENSIONS) };
      expect(await rejection(store.readPending(FIRST_PAGE))).toBeInstanceOf(UserError);
      expect(await rejection(store.count())).toBeInstanceOf(UserError);
      expect(await rejection(store.apply([row]))).toBeInstanceOf(UserError);
      expect(await rejection(store.clear([row]))).toBeInstanceOf(UserError);
    }
    expect(await reading(WITHOUT_FUNCTIONS, PUBLISHABLE_KEY)).toEqual(
      userError("fatal", /sees no row.*row level security/, /secret key/),
    );
  });

  it("whose role may execute the functions, but is subject to row level security, is refused", async () => {
    await project.database.query("ALTER TABLE questions ENABLE ROW LEVEL SECURITY");
    await project.database.query("ALTER ROLE service_role NOBYPASSRLS");
    const refused = await reading(QUESTIONS, SERVICE_ROLE_KEY);
    await project.database.query("ALTER ROLE service_role BYPASSRLS");
    expect(refused).toEqual(
      userError("fatal", /Row level security applies to the role service_role/, /secret key/),
    );
  });

  it("whose role lacks the right to the table is told which", async () => {
    await project.database.query("REVOKE ALL ON questions FROM service_role");
    const refused = await reading(QUESTIONS);
    await project.database.query("GRANT ALL ON questions TO service_role");
    expect(refused).toEqual(
      userError("fatal", /lacks a right: permission denied for table/, /grant select, update/),
    );
  });
});

describe("a name", () => {
  it("of a table is told with what may have been meant", async () => {
    const target = { ...QUESTIONS, table: "question" };
    const expected = userError("fatal", /no table public\.question in/, /public\.questions/);
    project.events.length = 0;
    expect(await reading(target)).toEqual(expected);
    expect(project.events).toEqual([]);
  });

  it("of a schema that is not exposed is told with the mend", async () => {
    const target = { ...QUESTIONS, schema: "private" };
    const expected = userError("fatal", /private is not exposed.*public/, /Exposed schemas/);
    expect(await reading(target)).toEqual(expected);
  });
});

describe("a further condition", () => {
  it("is refused: the API takes no SQL", async () => {
    const env = { SUPABASE_URL: project.api.url, SUPABASE_SECRET_KEY: SERVICE_ROLE_KEY };
    const folder = await temporaryFolder();
    const ended = await runHere(["export", "--where", "id > 1", "--jobs-dir", folder], { env });
    expect(ended).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/--where[^]*DATABASE_URL/),
    });
  });
});

describe("without the functions", () => {
  it("vecfill says once that it is slower, and refuses what it cannot do", async () => {
    project.events.length = 0;
    const store = project.store(WITHOUT_FUNCTIONS);
    await store.count();
    await store.readPending(FIRST_PAGE);
    expect(project.events).toEqual([
      {
        type: "warning",
        message: expect.stringMatching(/not installed.*row by row/),
        hint: expect.stringContaining("vecfill init"),
      },
    ]);
    expect(await reading({ ...QUESTIONS, text: "{question_text} {id}" })).toEqual(
      userError("fatal", /several columns/, /vecfill init/),
    );
  });

  it("an empty table is not called done, since it may be hidden", async () => {
    await project.database.query("TRUNCATE questions");
    expect(await reading(WITHOUT_FUNCTIONS)).toEqual(userError("fatal", /sees no row/, /init/));
    expect(await project.store(QUESTIONS).readPending(FIRST_PAGE)).toEqual([]);
  });

  it("a text that changes just before the write is not given a wrong vector", async () => {
    const store = project.store(WITHOUT_FUNCTIONS);
    const rows = (await store.readPending(FIRST_PAGE)).map(embedded);
    let changed = false;
    fault = ({ method }) => {
      if (method !== "PATCH" || changed) return undefined;
      changed = true;
      void project.database.query("UPDATE questions SET question_text = 'changed' WHERE id <= 10");
      return { delayMs: 50 };
    };
    const outcomes = await store.apply(rows);
    const [{ right } = { right: "" }] = await project.database.query(
      "SELECT count(*)::text AS right FROM questions WHERE embedding IS NOT NULL AND question_text = 'changed'",
    );
    expect([outcomes.filter((outcome) => outcome === "written").length, right]).toEqual([0, "0"]);
    expect(outcomes.every((outcome) => outcome === "stale")).toBe(true);
  });
});

describe("the server's limits", () => {
  it("a page is never cut at 1,000 rows, with functions or without", async () => {
    await project.database.query(
      "INSERT INTO questions SELECT i, 'question ' || i FROM generate_series(1001, 3500) i",
    );
    for (const target of [QUESTIONS, WITHOUT_FUNCTIONS]) {
      const store = project.store(target);
      const ids = (await store.readPending({ after: "10", limit: 2600 })).map(({ id }) => id);
      expect([ids.length, ids.at(0), ids.at(-1)]).toEqual([2600, "11", "3360"]);
      const rest = await store.readPending({ after: "3360", limit: 2600 });
      expect(rest).toHaveLength(140);
    }
  });

  it("a statement that is stopped for its time is cut until it passes, and no row is lost", async () => {
    const store = project.store(QUESTIONS);
    const rows = (await store.readPending({ after: undefined, limit: ROWS })).map(embedded);
    const sizes: number[] = [];
    fault = ({ path, body }) => {
      if (!path.endsWith("_apply")) return undefined;
      const { length } = JSON.parse(body).rows;
      sizes.push(length);
      return length > 20 ? { answer: STOPPED } : undefined;
    };
    expect(await store.apply(rows)).toEqual(rows.map(() => "written"));
    // it learns: that many rows one by one below 100 would have failed far more often
    expect(sizes.filter((size) => size > 20).length).toBeLessThan(15);
    expect(await store.count()).toEqual({ total: ROWS, pending: 0 });
  });

  it("a window that is too much at once is read in smaller ones", async () => {
    const store = project.store(QUESTIONS);
    fault = ({ path, body }) =>
      /_(read|count)$/.test(path) && JSON.parse(body).scan_rows > 50
        ? { answer: STOPPED }
        : undefined;
    expect(await store.count()).toEqual({ total: ROWS, pending: ROWS });
    const read = await store.readPending({ after: undefined, limit: 1000 });
    expect(read.map(({ id }) => Number(id))).toEqual(
      Array.from({ length: ROWS }, (_, index) => index + 1),
    );
  });

  it("a request that is too large for the gateway is made smaller", async () => {
    const store = project.store(QUESTIONS);
    const rows = (await store.readPending({ after: undefined, limit: ROWS })).map(embedded);
    fault = ({ body }) =>
      body.length > 30_000
        ? { answer: { status: 413, headers: {}, body: "Request Entity Too Large" } }
        : undefined;
    expect(await store.apply(rows)).toEqual(rows.map(() => "written"));
  });

  it("one row that takes too long is told with the mend", async () => {
    const store = project.store(QUESTIONS);
    const rows = (await store.readPending(FIRST_PAGE)).map(embedded);
    fault = ({ path }) => (path.endsWith("_apply") ? { answer: STOPPED } : undefined);
    expect(await rejection(store.apply(rows))).toEqual(
      userError("fatal", /longer than/, /index.*statement_timeout/),
    );
  });
});

describe("the line", () => {
  it("that breaks once, before and after the write, stops nothing when the store repeats", async () => {
    const clock = { ...systemClock, sleep: async () => {} };
    const store = withRetry(project.store(QUESTIONS), { clock, report: () => {} });
    const rows = (await store.readPending({ after: undefined, limit: ROWS })).map(embedded);
    const drops: Fault[] = [{ drop: "before" }, { drop: "after" }];
    fault = ({ path }) => (path.endsWith("_apply") ? drops.shift() : undefined);
    expect(await store.apply(rows)).toEqual(rows.map(() => "written"));
    expect(await store.count()).toEqual({ total: ROWS, pending: 0 });
  });

  it.each(["before", "after"] as const)(
    "that breaks %s the write is told so, and the same call again finds everything",
    async (drop) => {
      const store = project.store(QUESTIONS);
      const rows = (await store.readPending({ after: undefined, limit: ROWS })).map(embedded);
      fault = ({ path }) => (path.endsWith("_apply") ? { drop } : undefined);
      const failure = await rejection(store.apply(rows));
      expect(failure).toEqual(userError("fatal", /connection .* was lost/, /again/));
      expect(RETRIES).toHaveProperty(failureCode(failure) ?? "none");
      fault = undefined;
      expect(await store.apply(rows)).toEqual(rows.map(() => "written"));
    },
  );

  it("to nowhere is told at once, not after the client's own attempts", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    await new Promise((resolve) => server.close(resolve));
    const api = connectSupabase({ url: `http://127.0.0.1:${port}`, key: SERVICE_ROLE_KEY });
    const store = createSupabaseStore(api, QUESTIONS, { report: () => {} });
    const started = performance.now();
    const failure = await rejection(store.count());
    expect(failure).toEqual(
      userError("fatal", /cannot be reached: nothing listens/, /SUPABASE_URL/),
    );
    expect(failureCode(failure)).toBe("ECONNREFUSED");
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});

const STOPPED = {
  status: 500,
  headers: { "content-type": "application/json" },
  body: '{"code":"57014","details":null,"hint":null,"message":"canceling statement due to statement timeout"}',
};

it.each<[string, RegExp, RegExp]>([
  ["HTTP_402", /restricted/, /billing/],
  ["HTTP_413", /too large/, /DATABASE_URL/],
  ["HTTP_429", /too many requests/, /minute/],
  ["PGRST126", /does not describe its tables/, /vecfill init/],
  ["CERT_HAS_EXPIRED", /certificate/, /NODE_EXTRA_CA_CERTS/],
])("what nobody could record is told by its code: %s", (code, message, hint) => {
  const error = new RestError({ code, message: "its words", status: 400 });
  const told = explainRestFailure(error, { label: "x.supabase.co", target: QUESTIONS });
  expect(told).toEqual(userError("fatal", message, hint));
});

describe("every recorded failure", () => {
  const FAILURE = z.object({
    name: z.string(),
    supabaseJs: z.object({ error: z.unknown(), status: z.number() }),
  });
  const recorded = recordedLines("13.0.8")
    .flatMap((exchange) => FAILURE.safeParse(exchange).data ?? [])
    .filter(({ supabaseJs }) => supabaseJs.error !== null && supabaseJs.error !== undefined);

  it.each<[name: string, message: RegExp, hint: RegExp]>([
    ["err-aborted", /did not answer in time/, /again/],
    ["err-admin-shutdown-57P01", /connection .* was lost/, /again/],
    ["err-bad-filter-value", /does not take the vectors/, /doctor/],
    ["err-check-violation", /refuses the vector: .* check constraint/, /Mend the rows/],
    ["err-connection-refused", /cannot be reached: nothing listens/, /SUPABASE_URL/],
    ["err-disk-full-53100", /no room/, /disk space/],
    ["err-function-wrong-arg", /does not know the SQL function/, /vecfill init/],
    ["err-json-body-broken", /Empty or invalid json/, /doctor/],
    ["err-jwt-bad-signature", /key is refused/, /SUPABASE_SECRET_KEY/],
    ["err-jwt-expired", /has expired/, /SUPABASE_SECRET_KEY.*clock/],
    ["err-jwt-garbage", /key is refused/, /SUPABASE_SECRET_KEY/],
    ["err-jwt-head", /key is refused/, /SUPABASE_SECRET_KEY/],
    ["err-jwt-unknown-role", /key is refused.*nobody_here/, /SUPABASE_SECRET_KEY/],
    ["err-lock-timeout-55P03", /Other transactions/, /again/],
    ["err-no-apikey", /key is refused by .*: No API key/, /SUPABASE_SECRET_KEY/],
    ["err-not-null-violation", /refuses the vector: .* not-null/, /Mend the rows/],
    ["err-permission-denied-function", /lacks a right.*function/, /migration/],
    ["err-permission-denied-table-anon", /may not do this/, /secret key/],
    ["err-permission-denied-table", /lacks a right.*table/, /grant select, update/],
    ["err-raise-P0001", /refuses the vector: .*custom/, /triggers/],
    ["err-range-beyond-count", /refuses the request/, /doctor/],
    ["err-read-only-25006", /read-only/, /disk space/],
    ["err-rls-insert-anon", /row-level security/, /secret key/],
    ["err-statement-timeout-anon", /longer than/, /statement_timeout/],
    ["err-statement-timeout", /longer than/, /statement_timeout/],
    ["err-too-many-connections-53300", /no more connections/, /again/],
    ["err-unique-violation-insert", /constraint/, /Mend the rows/],
    ["err-unique-violation", /constraint/, /Mend the rows/],
    ["err-unknown-column-filter", /lacks a column.*nope/, /--embedding/],
    ["err-unknown-column-patch", /lacks a column.*nope/, /--embedding/],
    ["err-unknown-column-select", /lacks a column.*nope/, /--embedding/],
    ["err-unknown-function", /does not know the SQL function/, /vecfill init/],
    ["err-unknown-schema", /not exposed/, /Exposed schemas/],
    ["err-unknown-table-near", /knows no table/, /questions/],
    ["err-unknown-table-patch", /knows no table/, /--table/],
    ["err-unknown-table", /knows no table/, /--table/],
    ["err-vector-dimensions-array", /expected 768 dimensions, not 3/, /doctor/],
    ["err-vector-dimensions-rpc", /expected 768 dimensions, not 1536/, /doctor/],
    ["err-vector-dimensions-string", /expected 768 dimensions, not 3/, /doctor/],
    ["err-vector-malformed", /does not take the vectors/, /doctor/],
    ["err-vector-nan", /NaN not allowed/, /doctor/],
    ["err-very-long-in-filter", /refuses the request: Bad Request/, /doctor/],
    ["ok-upsert-missing-notnull", /constraint/, /Mend the rows/],
  ])("%s has words of its own", (name, message, hint) => {
    const failure = recorded.find((exchange) => exchange.name === name);
    const error = restErrorOf(failure?.supabaseJs.error, failure?.supabaseJs.status ?? 0);
    const explained = explainRestFailure(error, { label: "x.supabase.co", target: QUESTIONS });
    expect(explained).toEqual(userError("fatal", message, hint));
  });

  it("is in the list above, every one", () => {
    expect(recorded).toHaveLength(43);
  });
});
