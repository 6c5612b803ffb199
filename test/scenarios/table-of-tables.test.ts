/**
 * My table takes no vectors. Am I told before anything is paid for, with the mend; and once it is
 * mended, is it filled?
 */
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { runHere } from "../command-line.ts";
import { keepOpen } from "../embedded/kept.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import {
  createNativeDatabase,
  hasNativeServer,
  ON_NATIVE,
} from "../store/postgres/native-database.ts";
import { sized } from "../size.ts";

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
  {
    name: "published",
    spoil: [
      "ALTER TABLE $ DROP CONSTRAINT $_pkey",
      "CREATE UNIQUE INDEX ON $ (id)",
      "CREATE PUBLICATION $_p FOR TABLE $",
    ],
    says: /publication published_p.*no replica identity/,
    mend: /alter table public\.published replica identity full/,
    mended: ["ALTER TABLE $ REPLICA IDENTITY FULL"],
  },
  {
    name: "viewed",
    spoil: ["ALTER TABLE $ RENAME TO $_below", "CREATE VIEW $ AS SELECT * FROM $_below"],
    says: /is a view, no table of its own/,
    mend: /table below it: public\.viewed_below/,
    mended: ["DROP VIEW $", "ALTER TABLE $_below RENAME TO $"],
  },
  {
    name: "materialized",
    spoil: [
      "ALTER TABLE $ RENAME TO $_below",
      "CREATE MATERIALIZED VIEW $ AS SELECT * FROM $_below",
      "CREATE UNIQUE INDEX ON $ (id)",
    ],
    says: /is a materialized view, no table of its own/,
    mend: /table below it: public\.materialized_below/,
    mended: ["DROP MATERIALIZED VIEW $", "ALTER TABLE $_below RENAME TO $"],
  },
];

const KINDS = hasNativeServer ? (["native"] as const) : (["embedded"] as const);

async function sqlAt(at: string, table: string, statements: readonly string[]) {
  const database = await openDatabase({ url: at });
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

describe.each(KINDS)("on a database that is %s", (kind) => {
  let home: string;
  let emulator: Emulator;
  let url: string;
  let drop: (() => Promise<void>) | undefined;

  beforeAll(async () => {
    home = await temporaryFolder();
    emulator = await startEmulator({ batchSeconds: 0, tier: "off" });
    url = keepOpen(join(home, "database"));
    if (kind === "native") {
      const native = await createNativeDatabase();
      ({ url, drop } = native);
    } else await sql("", ["CREATE EXTENSION vector"]);
  });
  afterAll(async () => {
    await emulator.close();
    await drop?.();
    await rm(home, { recursive: true, force: true });
  });

  const sql = (table: string, statements: readonly string[]) => sqlAt(url, table, statements);

  const vecfill = (table: string, ...args: readonly string[]) => vecfillAt(url, table, ...args);

  const vecfillAt = (at: string, table: string, ...args: readonly string[]) =>
    runHere([...args, "--jobs-dir", join(home, `jobs-${table}`)], {
      env: {
        VECFILL_TABLE: table,
        DATABASE_URL: at,
        GEMINI_API_KEY: "a-key",
        GOOGLE_GEMINI_BASE_URL: emulator.url,
      },
      folder: home,
    });

  const one = BAD.filter(({ name }) => name === "checked");
  const tables = kind === "native" ? BAD : sized({ quick: one, full: BAD });

  it.each(tables)("$name", async ({ name, spoil, says, mend, mended }) => {
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

  const make = (table: string, rows: number, constraint = "") =>
    sql(table, [
      `CREATE TABLE $ (${COLUMNS}${constraint})`,
      `INSERT INTO $ SELECT n, 'Question ' || n FROM generate_series(1, ${rows}) n`,
    ]);
  const empty = async (table: string) => {
    const rows = await sql(table, ["SELECT id::text FROM $ WHERE embedding IS NULL ORDER BY id"]);
    return rows.map(({ id }) => id);
  };
  const ODD = ", CONSTRAINT odd CHECK (id NOT IN (5, 6) OR embedding IS NULL)";

  it("a row that is refused costs that row, and is written at no cost once it is taken", async () => {
    await make("some_refused", 9, ODD);
    const ended = await vecfill("some_refused", "run", "--yes", "--poll-interval", "0.2");
    expect(ended.code, ended.stderr).toBe(1);
    expect(await empty("some_refused")).toEqual(["5", "6"]);
    const before = emulator.batches().length;
    expect((await vecfill("some_refused", "run", "--yes")).code).toBe(0);
    const dry = await vecfill("some_refused", "resubmit", "--dry-run", "--json");
    expect(JSON.parse(dry.stdout)).toMatchObject({ requests: 0, refused: 2 });
    const refused = await vecfill("some_refused", "resubmit");
    expect(refused.code, refused.stderr).toBe(1);
    expect(refused.stdout).toMatch(/takes no vector for 2 rows: .*"odd"/);
    await sql("some_refused", [
      "ALTER TABLE $ DROP CONSTRAINT odd",
      "ALTER TABLE $ ADD CONSTRAINT odd CHECK (id <> 5 OR embedding IS NULL)",
    ]);
    const again = await vecfill("some_refused", "import", "--again");
    expect(again.code, again.stderr).toBe(1);
    expect(again.stdout).toMatch(/1 row .*is written.*at no cost.*\n.*takes no vector for 1 row: /);
    expect(await empty("some_refused")).toEqual(["5"]);
    await sql("some_refused", ["ALTER TABLE $ DROP CONSTRAINT odd"]);
    const taken = await vecfill("some_refused", "resubmit", "--json");
    expect(taken.code, taken.stderr).toBe(0);
    expect(JSON.parse(taken.stdout)).toMatchObject({ jobs: [], written: 1, refused: 0 });
    expect(await empty("some_refused")).toEqual([]);
    expect(emulator.batches().length).toBe(before);
    const jobs = await vecfill("some_refused", "jobs", "--json");
    expect(JSON.parse(jobs.stdout)).toMatchObject({ jobs: [{ written: 9, failed: 0 }] });
  });

  it("what spends later asks as well, doctor says it, and plan warns", ON_NATIVE, async () => {
    await make("later", 7);
    expect((await vecfill("later", "export")).code).toBe(0);
    await sql("later", ["ALTER TABLE $ ADD CONSTRAINT never CHECK (embedding IS NULL)"]);
    const before = emulator.batches().length;
    const submit = await vecfill("later", "submit", "--yes");
    expect(submit.code, submit.stderr).toBe(3);
    expect(submit.stderr).toMatch(/"never"/);
    expect(emulator.batches().length).toBe(before);
    const doctor = await vecfill("later", "doctor");
    expect(doctor.code, doctor.stdout).toBe(3);
    expect(doctor.stdout).toMatch(/failure {2}trial write.*"never".*\n.*mend: .*drop constraint/);
    const plan = await vecfill("later", "plan");
    expect(plan.code, plan.stderr).toBe(0);
    expect(plan.stderr).toMatch(/warning: .*"never"/);
    const dry = await vecfill("later", "run", "--dry-run");
    expect(dry.stderr).not.toMatch(/"never"/);
    await sql("later", ["ALTER TABLE $ DROP CONSTRAINT never"]);
    expect((await vecfill("later", "doctor")).stdout).toMatch(/ok +trial write.*took a vector/);
    expect(await empty("later")).toHaveLength(7);
  });

  it("what has ended is fetched before a run ends for the table's sake", async () => {
    await make("ended", 7);
    for (const stage of [["export"], ["submit", "--yes"], ["poll"]]) {
      const { code, stderr } = await vecfill("ended", ...stage);
      expect(code, stderr).toBe(0);
    }
    const before = emulator.batches().length;
    await sql("ended", ["ALTER TABLE $ ADD CONSTRAINT never CHECK (embedding IS NULL)"]);
    const refused = await vecfill("ended", "run", "--yes");
    expect(refused.code, refused.stderr).toBe(3);
    const jobs = await vecfill("ended", "jobs", "--json");
    expect(JSON.parse(jobs.stdout)).toMatchObject({
      jobs: [{ id: "0001", state: "downloaded" }],
    });
    await sql("ended", ["ALTER TABLE $ DROP CONSTRAINT never"]);
    expect((await vecfill("ended", "run", "--yes")).code).toBe(0);
    expect(await empty("ended")).toEqual([]);
    expect(emulator.batches().length).toBe(before);
  });

  it("nothing is sent for another table that is gone, and this one is filled", async () => {
    await make("dropped", 3);
    expect((await vecfill("dropped", "export")).code).toBe(0);
    await sql("dropped", ["DROP TABLE $"]);
    await rename(join(home, "jobs-dropped"), join(home, "jobs-kept"));
    await make("kept", 3);
    const before = emulator.batches().length;
    const ended = await vecfill("kept", "run", "--yes", "--poll-interval", "0.2");
    expect(ended.stderr).toMatch(/warning: There is no table public\.dropped/);
    // its job waits: not all is done
    expect(ended.code, ended.stderr).toBe(4);
    expect(await empty("kept")).toEqual([]);
    expect(emulator.batches().length).toBe(before + 1);
  });

  it("rows without a key are counted and told", ON_NATIVE, async () => {
    await make("keyless", 7);
    await sql("keyless", [
      "ALTER TABLE $ DROP CONSTRAINT $_pkey",
      "ALTER TABLE $ ALTER COLUMN id DROP NOT NULL",
      "CREATE UNIQUE INDEX ON $ (id)",
      "INSERT INTO $ VALUES (NULL, 'Whose?')",
    ]);
    const ended = await vecfill("keyless", "run", "--yes", "--poll-interval", "0.2");
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toMatch(/1 row of public\.keyless has no key/);
  });

  it("a role that may not write is told before anything is sent", ON_NATIVE, async () => {
    await make("read_only", 7);
    const role = `vecfill_${new URL(url).pathname.slice(-12)}`;
    await sql("read_only", [
      `CREATE ROLE ${role} LOGIN PASSWORD 'secret'`,
      `GRANT SELECT ON $ TO ${role}`,
    ]);
    const own = new URL(url);
    [own.username, own.password] = [role, "secret"];
    const before = emulator.batches().length;
    const refused = await vecfillAt(own.href, "read_only", "run", "--yes");
    await sql("read_only", [`DROP OWNED BY ${role}`, `DROP ROLE ${role}`]);
    expect(refused.code, refused.stderr).toBe(3);
    expect(refused.stderr).toMatch(/may not write.*\n?.*grant select, update on public\.read_only/);
    expect(emulator.batches().length).toBe(before);
  });

  /** A database of that encoding, with rows of an id and a text, for a while. */
  async function inDatabase(
    encoding: string,
    rows: string,
    work: (url: string) => Promise<void>,
  ): Promise<void> {
    const name = `${new URL(url).pathname.slice(1)}_${encoding.toLowerCase()}`;
    await sql("", [
      `CREATE DATABASE ${name} ENCODING '${encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc`,
    ]);
    const own = new URL(url);
    own.pathname = `/${name}`;
    try {
      const made = [`CREATE TABLE $ (${COLUMNS})`, `INSERT INTO $ VALUES ${rows}`];
      await sqlAt(own.href, "encoded", ["CREATE EXTENSION vector", ...made]);
      await work(own.href);
    } finally {
      await sql("", [`DROP DATABASE ${name} WITH (FORCE)`]);
    }
  }

  const EMPTY = "SELECT id::text FROM $ WHERE embedding IS NULL ORDER BY id";
  const QUICKLY = ["--yes", "--poll-interval", "0.2"];

  it("bytes that are no UTF-8 cost their row, in a SQL_ASCII database", ON_NATIVE, async () => {
    const rows = String.raw`(1, E'pl\\ain \\x41'), (2, 'käse 漢 😀'), (3, E'bad \xff'), (4, E'cut \xe6\xbc')`;
    await inDatabase("SQL_ASCII", rows, async (own) => {
      const ended = await vecfillAt(own, "encoded", "run", ...QUICKLY);
      expect(ended.code, ended.stderr).toBe(0);
      expect(ended.stdout).toMatch(/Left out: 2 rows without text/);
      expect(await sqlAt(own, "encoded", [EMPTY])).toEqual([{ id: "3" }, { id: "4" }]);
    });
  });

  it(
    "a database of another encoding is filled, and a changed text is seen",
    ON_NATIVE,
    async () => {
      const rows = String.raw`(1, 'käse'), (2, E'cr\\ème'), (3, 'plain'), (4, 'käse')`;
      await inDatabase("LATIN1", rows, async (own) => {
        await vecfillAt(own, "encoded", "export");
        await sqlAt(own, "encoded", ["UPDATE $ SET question_text = 'kase' WHERE id = 1"]);
        await vecfillAt(own, "encoded", "submit");
        await vecfillAt(own, "encoded", "poll", "--poll-interval", "0.2");
        expect((await vecfillAt(own, "encoded", "import")).stdout).toMatch(/1 stale/);
        const ended = await vecfillAt(own, "encoded", "run", ...QUICKLY);
        expect(ended.code, ended.stderr).toBe(0);
        expect(await sqlAt(own, "encoded", [EMPTY])).toEqual([]);
      });
    },
  );
});
