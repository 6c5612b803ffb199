/** The database cannot be used: does the user read why and what to do, and never a password? */
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ExitReason } from "../../src/errors.ts";
import { explainFailure } from "../../src/store/failure.ts";
import { TableRefusal } from "../../src/store/port.ts";
import { openStore } from "../../src/store/postgres/open-database.ts";
import {
  createNativeDatabase,
  ON_NATIVE,
  type NativeDatabase,
} from "./postgres/native-database.ts";
import { DIMENSIONS, QUESTIONS, qualified, userError } from "./contract.ts";

const PASSWORD = "pa55word-that-nobody-may-see";

/** What using the table at this address fails with; undefined when it does not. */
async function failureAt(url: string): Promise<unknown> {
  try {
    const store = await openStore({ url }, QUESTIONS, { where: undefined });
    try {
      await store.count();
      await store.readPending({ after: undefined, limit: 1 });
    } finally {
      await store.close();
    }
  } catch (error) {
    const seen = inspect(error, { depth: Infinity, showHidden: true });
    if (seen.includes(PASSWORD)) {
      throw new Error("the error shows the password", { cause: error });
    }
    return error;
  }
  return undefined;
}

function openConnections(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === "TCPSocketWrap").length;
}

describe("an address that leads nowhere", () => {
  it.each<[string, ExitReason, RegExp, RegExp]>([
    ["mysql://u:PASSWORD@localhost/db", "usage", /cannot be read as a URL/, /postgres:\/\//],
    ["postgres://u:PASSWORD@ho st:5432/db", "usage", /cannot be read as a URL/, /percent-encode/],
    ["u:PASSWORD@localhost", "usage", /cannot be read as a URL/, /postgres:\/\//],
    ["https://u:PASSWORD@project.supabase.example", "usage", /web address/, /SUPABASE_URL/],
    ["postgres://u:PASSWORD@db.invalid/db?sslmode=on", "usage", /sslmode=on/, /verify-full/],
    ["postgres://u:PASSWORD@db.invalid/db?sslmode=verify-ca", "usage", /verify-ca/, /sslrootcert/],
    ["pglite:", "usage", /names no folder/, /pglite:memory/],
    [
      "postgres://u:PASSWORD@localhost:1/db",
      "fatal",
      /localhost:1\/db cannot be reached/,
      /host and port/,
    ],
    [
      "postgres://u:PASSWORD@db.invalid/db",
      "fatal",
      /db\.invalid:5432\/db cannot be reached/,
      /pooler/,
    ],
  ])("%s", async (url, exit, message, hint) => {
    expect(await failureAt(url.replace("PASSWORD", PASSWORD))).toEqual(
      userError(exit, message, hint),
    );
  });
});

/** As the driver throws it; what has a severity is the server's. */
function thrown(code: string, message = "its words", members: object = { severity: "ERROR" }) {
  return Object.assign(new Error(message), { code, ...members });
}

function told(error: Error, context: object = {}): unknown {
  return explainFailure(error, { label: "db.example", target: QUESTIONS, ...context });
}

describe("what the server says", () => {
  it.each<[string, RegExp, RegExp]>([
    ["57P03", /takes no connections now: its words/, /started/],
    ["57P05", /connection .* was lost/, /goes on/],
    ["08006", /connection .* was lost/, /goes on/],
    ["57014", /took longer than it may/, /statement_timeout/],
    ["40P01", /Other transactions hold/, /again/],
    ["25006", /is read only/, /primary/],
    ["28P01", /refuses the login/, /percent-encoded/],
    ["3D000", /no such database/, /last \//],
    ["42501", /lacks a right/, /grant select, update/],
    ["42704", /type or object is missing/, /create extension/],
    ["53100", /no room/, /goes on/],
    ["53300", /no connection left/, /pooler/],
    ["CERT_HAS_EXPIRED", /certificate .* is not trusted/, /sslrootcert/],
    ["99999", /says: its words \(SQLSTATE 99999\)/, /vecfill doctor/],
  ])("by %s", (code, message, hint) => {
    expect(told(thrown(code))).toEqual(userError("fatal", message, hint));
  });

  it.each<[string, RegExp]>([
    ["unrecognized command-line argument for server process", /does not take what options=/],
    ["project is paused", /is paused/],
    ["Tenant or user not found", /no such project or user/],
    ["max clients reached", /no connection left/],
  ])("in words only: %s", (words, message) => {
    expect(told(thrown("XX000", words))).toEqual(userError("fatal", message));
  });

  it("of a condition is the condition's mistake, but for a right", () => {
    const where = "nonsense = 1";
    expect(told(thrown("42703"), { where })).toEqual(userError("usage", /--where/));
    expect(told(thrown("42501"), { where })).toEqual(userError("fatal", /lacks a right/));
  });

  it.each<[string, object, RegExp, boolean]>([
    ["23514", { constraint: "odd" }, /drop constraint odd/, true],
    ["54000", {}, /drop index public\.too_wide/, true],
    ["P0001", { where: "PL/pgSQL function notify() line 3" }, /The function notify\(\)/, true],
    ["42501", { routine: "ExecWithCheckOptions" }, /policy/, true],
    ["42809", {}, /columns, constraints, triggers/, false],
  ])("of a write, by %s, names what refuses it", (code, members, hint, isOfARow) => {
    const error = thrown(code, 'index "too_wide"', { severity: "ERROR", ...members });
    const refusal = told(error, { writes: true });
    expect(refusal).toBeInstanceOf(TableRefusal);
    expect(refusal).toMatchObject({ hint: expect.stringMatching(hint), isOfARow });
  });

  it("is a bug where nobody knows it", () => {
    const bug = new TypeError("no code");
    expect(told(bug)).toBe(bug);
  });
});

describe("on a native server", ON_NATIVE, () => {
  let native: NativeDatabase;

  beforeAll(async () => {
    native = await createNativeDatabase();
    const { database } = native;
    await database.query(
      `CREATE TABLE ${qualified(QUESTIONS)} (id bigint PRIMARY KEY, question_text text, embedding vector(${DIMENSIONS}))`,
    );
    await database.query(
      `DO $$ BEGIN
         IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'vecfill_test_guest') THEN
           CREATE ROLE vecfill_test_guest LOGIN PASSWORD '${PASSWORD}';
         END IF;
       END $$`,
    );
  });
  afterAll(() => native.drop());

  function changed(change: (url: URL) => void): string {
    const url = new URL(native.url);
    change(url);
    return url.href;
  }

  it.each<[string, (url: URL) => void, RegExp, RegExp]>([
    [
      "a wrong password",
      (url) => (url.password = PASSWORD),
      /refuses the login/,
      /percent-encoded/,
    ],
    ["no password", (url) => (url.password = ""), /refuses the login/, /password/],
    ["no such database", (url) => (url.pathname = "/nowhere"), /no such database/, /DATABASE_URL/],
    [
      "a role without rights",
      (url) => {
        url.username = "vecfill_test_guest";
        url.password = PASSWORD;
      },
      /lacks a right: permission denied for table questions/,
      /grant select, update on public\.questions/,
    ],
    [
      "a certificate that nobody vouches for",
      (url) => url.searchParams.set("sslmode", "verify-full"),
      /is not trusted/,
      /sslmode=require/,
    ],
  ])("%s", async (_, change, message, hint) => {
    expect(await failureAt(changed(change))).toEqual(userError("fatal", message, hint));
  });

  it("a login that was given up leaves no connection behind, which would keep the process alive", async () => {
    // the test's own, and those of other files of this process
    const before = openConnections();
    await failureAt(changed((url) => (url.password = "")));
    await expect.poll(openConnections, { timeout: 10_000 }).toBeLessThanOrEqual(before);
  });

  it.each(["require", "no-verify", "prefer", "allow", "disable"])(
    "sslmode=%s gets through",
    async (mode) => {
      expect(
        await failureAt(changed((url) => url.searchParams.set("sslmode", mode))),
      ).toBeUndefined();
    },
  );

  it("a statement that the server stops for its slowness", async () => {
    const { database } = native;
    await database.query(
      `INSERT INTO ${qualified(QUESTIONS)} SELECT i, 'q' FROM generate_series(1, 100000) i`,
    );
    const hasty = changed((url) => url.searchParams.set("options", "-c statement_timeout=1"));
    expect(await failureAt(hasty)).toEqual(
      userError("fatal", /took longer/, /where embedding is null/),
    );
  });
});
