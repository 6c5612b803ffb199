/**
 * My table takes no vectors. Am I told before anything is paid for, with the mend; and once it is
 * mended, is it filled?
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Emulator, startEmulator } from "../src/emulator/emulator.ts";
import { openDatabase } from "../src/store/postgres/open-database.ts";
import { runHere } from "./command-line.ts";
import { temporaryFolder } from "./job/sample.ts";
import { createNativeDatabase, hasNativeServer, nativeServer } from "./postgres/native-database.ts";

const COLUMNS = "id bigint PRIMARY KEY, question_text text, embedding vector(768)";

type Bad = Readonly<{
  name: string;
  /** `$` is the table. */
  spoil: readonly string[];
  says: RegExp;
  mend: RegExp;
  mended: readonly string[];
}>;

const raising = (body: string, when: string) => [
  `CREATE FUNCTION $_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN ${body} RETURN NEW; END'`,
  `CREATE TRIGGER t ${when} UPDATE ON $ FOR EACH ROW EXECUTE FUNCTION $_f()`,
];
const NO_TRIGGER = ["ALTER TABLE $ DISABLE TRIGGER t"];

const BAD: readonly Bad[] = [
  {
    name: "generated",
    spoil: [
      "ALTER TABLE $ DROP COLUMN embedding",
      "ALTER TABLE $ ADD COLUMN embedding vector(768) GENERATED ALWAYS AS (NULL::vector(768)) STORED",
    ],
    says: /is generated/,
    mend: /drop expression/,
    mended: ["ALTER TABLE $ ALTER COLUMN embedding DROP EXPRESSION"],
  },
  {
    name: "narrow_index",
    spoil: ["CREATE INDEX $_btree ON $ (embedding)"],
    says: /index row/,
    mend: /drop index public\.narrow_index_btree/,
    mended: ["DROP INDEX $_btree"],
  },
  {
    name: "not_null",
    spoil: [
      "UPDATE $ SET embedding = array_fill(0.1, ARRAY[768])::vector",
      "ALTER TABLE $ ALTER COLUMN embedding SET NOT NULL",
    ],
    says: /is NOT NULL/,
    mend: /drop not null/,
    mended: ["ALTER TABLE $ ALTER COLUMN embedding DROP NOT NULL", "UPDATE $ SET embedding = NULL"],
  },
  {
    name: "no_such_field",
    spoil: raising("NEW.updated_at := now();", "BEFORE"),
    says: /no field "updated_at".*no_such_field_f/,
    mend: /disable trigger/,
    mended: NO_TRIGGER,
  },
  {
    name: "raises",
    spoil: raising("RAISE EXCEPTION ''not on Sundays'';", "BEFORE"),
    says: /not on Sundays.*raises_f/,
    mend: /disable trigger/,
    mended: NO_TRIGGER,
  },
  {
    name: "replaces",
    spoil: raising("NEW.embedding := array_fill(0.1, ARRAY[768])::vector;", "BEFORE"),
    says: /replaces embedding/,
    mend: /disable trigger/,
    mended: NO_TRIGGER,
  },
  {
    name: "checked",
    spoil: ["ALTER TABLE $ ADD CONSTRAINT never CHECK (embedding IS NULL)"],
    says: /check constraint "never"/,
    mend: /drop constraint never/,
    mended: ["ALTER TABLE $ DROP CONSTRAINT never"],
  },
  {
    name: "parent",
    spoil: ["CREATE TABLE child () INHERITS ($)", "INSERT INTO child VALUES (1, 'twice')"],
    says: /inherit from public\.parent/,
    mend: /no inherit public\.parent/,
    mended: ["ALTER TABLE child NO INHERIT $"],
  },
  {
    name: "ruled",
    spoil: ["CREATE RULE r AS ON UPDATE TO $ DO INSTEAD NOTHING"],
    says: /rule r/,
    mend: /disable rule r/,
    mended: ["ALTER TABLE $ DISABLE RULE r"],
  },
];

const PLACES: readonly (readonly [string, boolean, "embedded" | "native"])[] = [
  ["the embedded database", true, "embedded"],
  [nativeServer, hasNativeServer, "native"],
];

describe.each(PLACES)("on %s", (_, isThere, kind) => {
  let home: string;
  let emulator: Emulator;
  let url: string;
  let drop: (() => Promise<void>) | undefined;

  beforeAll(async () => {
    if (!isThere) return;
    home = await temporaryFolder();
    emulator = await startEmulator({ batchSeconds: 0, tier: "off" });
    url = `pglite:${join(home, "database")}`;
    if (kind === "native") {
      const native = await createNativeDatabase();
      ({ url, drop } = native);
    } else await sql("", ["CREATE EXTENSION vector"]);
  });
  afterAll(async () => {
    if (!isThere) return;
    await emulator.close();
    await drop?.();
    await rm(home, { recursive: true, force: true });
  });

  async function sql(table: string, statements: readonly string[]) {
    const database = await openDatabase({ url });
    try {
      const rows = [];
      for (const statement of statements) {
        rows.push(...(await database.query(statement.replaceAll("$", () => table))));
      }
      return rows;
    } finally {
      await database.close();
    }
  }

  const vecfill = (table: string, ...args: readonly string[]) =>
    runHere([...args, "--table", table, "--jobs-dir", join(home, `jobs-${table}`)], {
      env: { DATABASE_URL: url, GEMINI_API_KEY: "a-key", GOOGLE_GEMINI_BASE_URL: emulator.url },
      folder: home,
    });

  // opening its folder takes a second each time
  const tables = kind === "native" ? BAD : BAD.filter(({ name }) => name === "checked");

  it.skipIf(!isThere).each(tables)("$name", async ({ name, spoil, says, mend, mended }) => {
    await sql(name, [
      `CREATE TABLE $ (${COLUMNS})`,
      "INSERT INTO $ SELECT n, 'Question ' || n FROM generate_series(1, 7) n",
      ...spoil,
    ]);
    const before = emulator.batches().length;
    const refused = await vecfill(name, "run", "--yes");
    expect(refused.code, refused.stderr).toBe(3);
    expect(refused.stderr).toMatch(says);
    expect(refused.stderr).toMatch(mend);
    expect(refused.stderr).not.toMatch(/bug/);
    expect(emulator.batches().length).toBe(before);
    await sql(name, mended);
    const filled = await vecfill(name, "run", "--yes", "--poll-interval", "0.2");
    expect(filled.code, filled.stderr).toBe(0);
    expect(
      await sql(name, ["SELECT count(*)::text AS n FROM ONLY $ WHERE embedding IS NULL"]),
    ).toEqual([{ n: "0" }]);
  });

  it.skipIf(!isThere)("a row that is refused costs that row", async () => {
    await sql("some_refused", [
      `CREATE TABLE $ (${COLUMNS}, CONSTRAINT odd CHECK (id <> 5 OR embedding IS NULL))`,
      "INSERT INTO $ SELECT n, 'Question ' || n FROM generate_series(1, 9) n",
    ]);
    const ended = await vecfill("some_refused", "run", "--yes", "--poll-interval", "0.2");
    expect(ended.code, ended.stderr).toBe(1);
    expect(await sql("some_refused", ["SELECT id::text FROM $ WHERE embedding IS NULL"])).toEqual([
      { id: "5" },
    ]);
    const before = emulator.batches().length;
    await vecfill("some_refused", "run", "--yes");
    expect(emulator.batches().length).toBe(before);
  });
});
