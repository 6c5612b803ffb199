/** Something does not work, or I am about to begin: does `vecfill doctor` find it and say how to mend it? */
import { chmod, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { NOTHING_IN_THE_WAY } from "../../../src/row/target-description.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import type { Check } from "../../../src/commands/doctor/check.ts";
import { addressedHost } from "../../../src/store/postgres/database-address.ts";
import { checkAddress } from "../../../src/commands/doctor/address-checks.ts";
import { checkDisk } from "../../../src/commands/doctor/folder-checks.ts";
import { checkExamination } from "../../../src/commands/doctor/table-checks.ts";
import { type Emulator, startEmulator } from "../../../src/emulator/emulator.ts";
import { Secret } from "../../../src/settings/environment/secret.ts";
import { runHere } from "../../command-line.ts";
import { temporaryFolder } from "../../manifest/sample.ts";
import { DIMENSIONS, QUESTIONS } from "../contract.ts";
import { SECRET_KEY } from "./keys.ts";
import { openProject, type Project } from "./project.ts";

const REPORT = z.object({
  checks: z.array(
    z.object({
      name: z.string(),
      status: z.enum(["ok", "warning", "failure"]),
      message: z.string(),
      mend: z.string().nullable(),
    }),
  ),
  failures: z.number(),
  warnings: z.number(),
});

type Line = z.infer<typeof REPORT>["checks"][number];

let project: Project;
let emulator: Emulator;
let folder: string;

beforeAll(async () => {
  project = await openProject();
  emulator = await startEmulator({ frozen: true });
  folder = await temporaryFolder();
});
afterAll(async () => {
  await emulator.close();
  await project.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await project.runScript(`DROP TABLE IF EXISTS questions CASCADE;
    CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding extensions.vector(${DIMENSIONS}));
    INSERT INTO questions SELECT i, 'question ' || i FROM generate_series(1, 30) i;`);
  await project.install(QUESTIONS);
});

async function look(
  changes: NodeJS.ProcessEnv = {},
): Promise<Readonly<{ code: number | null; lines: Line[]; line(name: string): Line | undefined }>> {
  const env = {
    GEMINI_API_KEY: "a-key",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
    SUPABASE_URL: project.api.url,
    SUPABASE_SECRET_KEY: SECRET_KEY,
    VECFILL_DIMENSIONS: String(DIMENSIONS),
    VECFILL_JOBS_DIR: join(folder, "jobs"),
    ...changes,
  };
  const ended = await runHere(["doctor", "--json"], { env, folder });
  const { checks } = REPORT.parse(JSON.parse(ended.stdout));
  return {
    code: ended.code,
    lines: checks,
    line: (name) => checks.find((each) => each.name === name),
  };
}

describe("a model that takes no batches with this key", () => {
  it.each([
    ["newest", "Choose another --model: gemini-embedding-2."],
    ["none", /^Try another key: /],
  ])("is found, for nothing, and which does is told: %s", async (which, mend) => {
    const other = await startEmulator({ frozen: true, behaviour: `batch-models=${which}` });
    try {
      const { code, line } = await look({ GOOGLE_GEMINI_BASE_URL: other.url });
      expect(code).toBe(3);
      expect(line("batches")).toMatchObject({
        status: "failure",
        message: "gemini-embedding-001 takes no batches with this key",
        mend: expect.stringMatching(mend),
      });
      expect(other.calls("create")).toBe(0);
    } finally {
      await other.close();
    }
  });
});

function broken(lines: readonly Line[]): Line[] {
  return lines.filter(({ status }) => status !== "ok");
}

describe("doctor", () => {
  it("says of everything that is well that it is, and leaves with 0", async () => {
    const { code, lines } = await look();
    expect(broken(lines)).toEqual([]);
    expect(code).toBe(0);
    expect(lines.map(({ name }) => name)).toEqual([
      "Gemini",
      "batches",
      "connection",
      "database",
      "server",
      "pgvector",
      "columns",
      "width",
      "SQL functions",
      "permissions",
      "row level security",
      "statement timeout",
      "clock",
      "indexes",
      "triggers",
      "rows",
      "disk",
      "trial write",
      "jobs folder",
      "other folders",
    ]);
    expect(lines.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/SUPABASE_URL with SUPABASE_SECRET_KEY, since no database/),
        expect.stringMatching(/^30 of 30 in public\.questions/),
      ]),
    );
  });

  it("gives each line with its mend to people, too", async () => {
    await project.database.query("ALTER TABLE questions ENABLE ROW LEVEL SECURITY");
    const env = { GEMINI_API_KEY: "a-key", GOOGLE_GEMINI_BASE_URL: emulator.url };
    const { code, stdout } = await runHere(["doctor"], { env, folder });
    expect(code).toBe(3);
    expect(stdout).toMatch(/^ok +Gemini +the key works/m);
    expect(stdout).toMatch(
      /^failure +connection +No database is named.*\n +mend: Set DATABASE_URL/m,
    );
    expect(stdout).toMatch(/1 failure, 0 warnings\.$/m);
  });

  it.each<[string, NodeJS.ProcessEnv, string, RegExp]>([
    ["no Gemini key", { GEMINI_API_KEY: "" }, "Gemini", /No Gemini key/],
    ["a publishable key", { SUPABASE_SECRET_KEY: "sb_publishable_x" }, "connection", /publishable/],
    ["a key of nobody's", { SUPABASE_SECRET_KEY: "eyJ" }, "database", /key is refused/],
    ["another table", { VECFILL_TABLE: "question" }, "table", /no table public\.question/],
    ["another width", { VECFILL_DIMENSIONS: "768" }, "columns", /128 dimensions, and 768/],
  ])("finds %s", async (_, changes, name, message) => {
    const { code, line } = await look(changes);
    expect(line(name)).toMatchObject({
      status: "failure",
      message: expect.stringMatching(message),
      mend: expect.stringMatching(/./),
    });
    expect(code).toBe(3);
  });

  it.each<[string, string, string, string, RegExp, RegExp]>([
    [
      "an index",
      "CREATE INDEX ann ON questions USING hnsw (embedding extensions.vector_cosine_ops)",
      "indexes",
      "warning",
      /ann \(hnsw\)/,
      /drop index public\.ann/,
    ],
    [
      "a trigger",
      "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER touch BEFORE UPDATE ON questions FOR EACH ROW EXECUTE FUNCTION touch()",
      "triggers",
      "warning",
      /touch fires/,
      /disable trigger touch/,
    ],
    [
      "missing functions",
      "DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc WHERE proname LIKE 'vecfill%' LOOP EXECUTE 'DROP FUNCTION ' || f; END LOOP; END $$",
      "SQL functions",
      "warning",
      /not installed/,
      /vecfill init/,
    ],
    [
      "a function that is not there",
      "DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc WHERE proname LIKE 'vecfill%apply' LOOP EXECUTE 'DROP FUNCTION ' || f; END LOOP; END $$",
      "SQL functions",
      "failure",
      /apply is not there/,
      /newest migration/,
    ],
    [
      "a missing right",
      "REVOKE UPDATE ON questions FROM service_role",
      "permissions",
      "failure",
      /may not write/,
      /grant select, update/,
    ],
    ["an empty table", "TRUNCATE questions", "rows", "warning", /is empty/, /--table/],
  ])("finds %s in the project", async (_, sql, name, status, message, mend) => {
    await project.runScript(sql);
    const { code, line } = await look();
    expect(line(name)).toMatchObject({
      status,
      message: expect.stringMatching(message),
      mend: expect.stringMatching(mend),
    });
    expect(code).toBe(status === "failure" ? 3 : 0);
  });

  it("finds row level security that applies to the key's role", async () => {
    await project.runScript(
      "ALTER TABLE questions ENABLE ROW LEVEL SECURITY; ALTER ROLE service_role NOBYPASSRLS",
    );
    const { code, line } = await look();
    await project.runScript("ALTER ROLE service_role BYPASSRLS");
    expect(line("row level security")).toMatchObject({ status: "failure" });
    expect(code).toBe(3);
  });

  it("finds functions that were made for columns of other types", async () => {
    await project.database.query("ALTER TABLE questions ALTER id TYPE text");
    expect((await look()).line("SQL functions")).toMatchObject({
      status: "failure",
      message: expect.stringMatching(/other types/),
    });
  });

  it("looks at an embedded database and a folder that cannot be written to", async () => {
    const closed = join(folder, "closed");
    await mkdir(closed);
    await chmod(closed, 0o500);
    const { line } = await look({
      DATABASE_URL: "pglite:memory",
      VECFILL_JOBS_DIR: join(closed, "jobs"),
    });
    expect(line("connection")?.message).toMatch(/embedded database that DATABASE_URL names/);
    expect(line("table")).toMatchObject({ status: "failure" });
    // root may write anywhere
    const status = process.getuid?.() === 0 ? "ok" : "failure";
    expect(line("jobs folder")).toMatchObject({ status });
  });
});

function at(url: string): Promise<Check[]> {
  const access = {
    kind: "postgres",
    url: new Secret(url),
    variable: "DATABASE_URL in .env",
    takesPasswords: false,
  } as const;
  return checkAddress(access, async (address) => addressedHost(address));
}

describe("a database's address", () => {
  it.each<[string, RegExp]>([
    [
      "postgres://u:p@localhost:5432/d",
      /ok connection Postgres itself, since DATABASE_URL in \.env/,
    ],
    ["postgres://u:p@h.example/d", /ok TLS on/],
    ["postgres://u:p@h.example/d?sslmode=disable", /warning TLS switched off/],
    ["postgres:///d?host=h.example", /ok TLS on/],
    ["postgres://u:p@localhost/d?host=h.example&sslmode=disable", /warning TLS switched off/],
    ["postgres://u:p@localhost/d?host=aws-0-x.pooler.supabase.com&port=6543", /ok pooler transac/],
    [
      "postgres://postgres.x:p@aws-0-eu-central-1.pooler.supabase.com:5432/postgres",
      /ok pooler session/,
    ],
    [
      "postgres://postgres.x:p@aws-0-eu-central-1.pooler.supabase.com:6543/postgres",
      /ok pooler transaction/,
    ],
    [
      "postgres://postgres:p@db.abcdefghijklmnopqrst.supabase.co:5432/postgres",
      /direct host .*IPv[46]/,
    ],
  ])("%s", async (url, line) => {
    const lines = (await at(url)).map(
      ({ status, name, message }) => `${status} ${name} ${message}`,
    );
    expect(lines).toContainEqual(expect.stringMatching(line));
    expect(lines.join("\n")).not.toContain(":p@");
  });
});

it.each(["postgres://u:p@h.example/d?host=/run/postgresql", "postgres:///d", "postgres://u:p@/d"])(
  "an address on this machine has no line on TLS: %s",
  async (url) => {
    expect((await at(url)).map(({ name }) => name)).toEqual(["connection"]);
  },
);

describe("what a table tells", () => {
  const now = new Date("2026-01-01T00:00:00Z");
  const session = {
    role: "postgres",
    mayRead: true,
    mayWrite: true,
    readOnly: false,
    rowSecurity: false,
    statementTimeoutMs: 0,
    databaseTime: now,
  };
  const description = {
    idType: "integer",
    idTypeName: "bigint",
    idUnique: true,
    embedding: { typeName: "vector", dimensions: DIMENSIONS },
    embeddingIndexes: [],
    updateTriggers: [],
    writing: NOTHING_IN_THE_WAY,
    serverVersion: "17.2",
    pgvectorVersion: "0.8.0",
  } as const;
  const checks = (changes: object, described: object = {}) =>
    checkExamination(
      QUESTIONS,
      {
        label: "x",
        description: { ...description, ...described },
        session: { ...session, ...changes },
        vectorSchema: "public",
        supabase: true,
        functions: { state: "missing" },
      },
      { throughApi: false, now },
    ).filter(({ status }) => status !== "ok");

  const L1 = "CREATE INDEX by_meaning ON questions USING hnsw (embedding vector_l1_ops)";
  const indexed = (changes: object) => {
    const definition = L1.replace("l1", "cosine");
    const index = { name: "by_meaning", method: "hnsw", valid: true, definition, ...changes };
    return { embeddingIndexes: [index] };
  };

  it("is well", () => {
    expect(checks({})).toEqual([]);
  });

  it.each<[string, object, object, RegExp]>([
    [
      "a clock that is wrong",
      { databaseTime: new Date(now.getTime() + 3_600_000) },
      {},
      /differ by 1 h/,
    ],
    ["a standby", { readOnly: true }, {}, /read only/],
    ["a short statement timeout", { statementTimeoutMs: 8_000 }, {}, /8 s: short/],
    ["an old pgvector", {}, { pgvectorVersion: "0.5.1" }, /0\.5\.1/],
    ["no pgvector", {}, { pgvectorVersion: undefined }, /does not have the extension/],
    ["rows that a policy hides", { rowSecurity: true }, {}, /look as if they were not there/],
    ["an index that no query uses", {}, indexed({ valid: false }), /is not valid/],
    ["an index for other searches", {}, indexed({ definition: L1 }), /is for .*<\+>/],
    [
      "an index of another kind",
      {},
      indexed({ method: "btree" }),
      /by_meaning \(btree\) .* slower$/,
    ],
    ["an index that serves", {}, indexed({}), /serves queries by <=>/],
    ["no right to read", { mayRead: false }, {}, /may not read/],
  ])("shows %s", (_, changes, described, message) => {
    expect(checks(changes, described)).toEqual([
      expect.objectContaining({
        message: expect.stringMatching(message),
        mend: expect.any(String),
      }),
    ]);
  });

  it("and the disk: is there room for ten million rows of results, and for a few", async () => {
    expect(await checkDisk(folder, 10, 768)).toMatchObject({ status: "ok" });
    expect(await checkDisk(folder, 10_000_000_000, 768)).toMatchObject({ status: "warning" });
  });
});
