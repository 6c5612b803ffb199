/**
 * I set an option in one place and get another value, or a typo of mine changes nothing: where does
 * each setting come from, and does a wrong one say where it stands? And can a key of mine end up in
 * what is printed?
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { secretsIn, storeAccess } from "../../src/settings/access.ts";
import { geminiKeys } from "../../src/settings/environment/gemini-access.ts";
import { keyIdOf } from "../../src/settings/environment/secret.ts";
import { nextCommandLine } from "../../src/cli/command-line.ts";
import { type Flags, loadConfiguration, targetOf } from "../../src/settings/config.ts";
import { realEnvironment } from "../../src/settings/environment/env-file.ts";
import { UserError } from "../../src/errors.ts";
import { Secret, redactor } from "../../src/settings/environment/secret.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "vecfill-config-"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

type Given = { flags?: Flags; env?: NodeJS.ProcessEnv; file?: object };

async function load({ flags = {}, env = {}, file }: Given = {}) {
  if (file !== undefined)
    await writeFile(join(folder, "vecfill.config.json"), JSON.stringify(file));
  return loadConfiguration({ flags, env, folder });
}

async function refusal(work: () => unknown): Promise<UserError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

function gemini(env: NodeJS.ProcessEnv) {
  return geminiKeys(realEnvironment(env))[0];
}

function database(env: NodeJS.ProcessEnv) {
  return storeAccess(realEnvironment(env));
}

function jwtOf(role: string): string {
  return `e30.${Buffer.from(JSON.stringify({ role })).toString("base64url")}.c2ln`;
}

function warningsAt(url: string) {
  return gemini({ GEMINI_API_KEY: "k", GOOGLE_GEMINI_BASE_URL: url }).warnings;
}

describe("precedence", () => {
  const file = { limit: 4, "max-job-rows": 44, maxAttempts: 44 };
  const env = { VECFILL_LIMIT: "3", VECFILL_MAX_JOB_ROWS: "33" };

  it("takes flag, then variable, then config file, then default, and remembers which", async () => {
    const { settings, origins } = await load({ flags: { limit: "2" }, env, file });
    expect([settings.limit, settings.maxJobRows, settings.maxAttempts]).toEqual([2, 33, 44]);
    expect(settings.table).toBe("questions");
    expect(origins).toMatchObject({
      limit: { source: "flag", name: "--limit" },
      maxJobRows: { source: "environment", name: "VECFILL_MAX_JOB_ROWS" },
      maxAttempts: { source: "file", name: "maxAttempts in vecfill.config.json" },
      table: { source: "default" },
    });
  });

  it("lets the real environment win over .env.local, and that over .env", async () => {
    await writeFile(join(folder, ".env.local"), "VECFILL_TABLE=local\nVECFILL_ID=local\n");
    await writeFile(join(folder, ".env"), "VECFILL_TABLE=env\nVECFILL_ID=env\nVECFILL_TEXT=env\n");
    const { settings, origins } = await load({ env: { VECFILL_TABLE: "real" } });
    expect([settings.table, settings.id, settings.text]).toEqual(["real", "local", "env"]);
    const name = "VECFILL_ID in .env.local";
    expect(origins.id).toEqual({ source: "environment", name, isFound: true });
  });

  it("reads only the env file and the config file that are named", async () => {
    await writeFile(join(folder, ".env"), "VECFILL_TABLE=unasked\n");
    await writeFile(join(folder, "staging.env"), "VECFILL_CONFIG=staging.json\n");
    await writeFile(join(folder, "staging.json"), JSON.stringify({ schema: "staging" }));
    const { settings } = await load({
      env: { VECFILL_ENV_FILE: "staging.env" },
      file: { schema: "unasked" },
    });
    expect([settings.schema, settings.table]).toEqual(["staging", "questions"]);
  });

  it("takes a variable that is set to nothing for not set", async () => {
    expect((await load({ env: { VECFILL_LIMIT: "" }, file: { limit: 4 } })).settings.limit).toBe(4);
  });
});

describe("checked values", () => {
  it("turns seconds into milliseconds and words into switches", async () => {
    const { settings } = await load({
      env: { VECFILL_POLL_INTERVAL: "0.5", VECFILL_QUIET: "yes", VECFILL_COLOR: "0" },
      file: { timeout: 90, json: true },
    });
    expect(settings).toMatchObject({ pollIntervalMs: 500, timeoutMs: 90_000 });
    expect([settings.quiet, settings.color, settings.json]).toEqual([true, false, true]);
  });

  it("gives the target as it is recorded with a job", async () => {
    const { settings } = await load({ flags: { dimensions: "3072", schema: "app" } });
    expect(targetOf(settings)).toEqual({
      schema: "app",
      table: "questions",
      id: "id",
      text: "question_text",
      embedding: "embedding",
      model: "gemini-embedding-001",
      dimensions: 3072,
      taskType: "RETRIEVAL_DOCUMENT",
    });
  });

  it.each([
    ["a word for a number", { flags: { limit: "ten" } }, "--limit is wrong: ten is not a whole"],
    ["a number beyond its range", { env: { VECFILL_LIMIT: "0" } }, "VECFILL_LIMIT is wrong: 0"],
    [
      "half a row",
      { file: { "max-job-rows": 1.5 } },
      "max-job-rows in vecfill.config.json is wrong",
    ],
    ["an unknown choice", { flags: { format: "xml" } }, "xml is not one of table, csv, json"],
    [
      "an unknown model",
      { env: { VECFILL_MODEL: "ada" } },
      "ada is not one of gemini-embedding-001",
    ],
    [
      "a width no model has",
      { flags: { dimensions: "4096" } },
      "not a whole number from 128 to 3,072",
    ],
    ["an empty name", { flags: { table: " " } }, "--table is wrong: it is empty"],
    [
      "a number for a text",
      { file: { table: 5 } },
      "table in vecfill.config.json is wrong: 5 is not",
    ],
    ["a name that Postgres would cut", { flags: { id: "i".repeat(64) } }, "at most 63 bytes"],
    ["a flag given twice", { flags: { where: ["a", "b"] } }, "--where is given 2 times"],
    ["a negated value", { flags: { limit: false } }, "--limit is wrong: false"],
    ["a list in the file", { file: { table: ["a"] } }, "sets table to neither text, number"],
    ["a key in two spellings", { file: { "max-job-rows": 5, maxJobRows: 6 } }, "twice"],
    ["quiet and verbose", { flags: { quiet: true, verbose: true } }, "exclude each other"],
    ["quiet and progress", { flags: { quiet: true, "progress-json": true } }, "exclude each other"],
    ["a zero byte", { flags: { where: "a\0b" } }, "--where is wrong: it holds a zero byte"],
    [
      "a text without end",
      { flags: { where: "x".repeat(100_001) } },
      "--where is wrong: it is over",
    ],
    ["neither yes nor no", { env: { VECFILL_QUIET: "maybe" } }, "maybe is neither true nor false"],
  ])("refuses %s and says where it stands", async (_, given: Given, said) => {
    const error = await refusal(() => load(given));
    expect(error.message).toContain(said);
    expect(error.exit).toBe("usage");
  });

  it("names the nearest key for one that the config file cannot have", async () => {
    const error = await refusal(() => load({ file: { maxJobRow: 5 } }));
    expect(error.message).toContain("sets maxJobRow");
    expect(error.hint).toBe("Did you mean maxJobRows?");
  });

  it("says that keys do not belong in the config file, without repeating the value", async () => {
    const error = await refusal(() => load({ file: { geminiApiKey: "AIza-very-secret" } }));
    expect(error.hint).toContain("environment or .env.local");
    expect(inspect(error)).not.toContain("AIza-very-secret");
  });

  it.each([
    ['{\n  "key": "AIza-very-secret",\n}', "is not JSON (line 3 column 1)."],
    ['{ "key": AIza-very-secret }', "is not JSON."],
  ])(
    "says of a config file that it is not JSON, and where, without quoting it",
    async (content, said) => {
      await writeFile(join(folder, "vecfill.config.json"), content);
      const error = await refusal(() => load());
      expect(error.message).toContain(said);
      expect(inspect(error)).not.toContain("AIza-very-secret");
    },
  );

  it.each([
    ["env-file", "The env file nowhere cannot be read"],
    ["config", "There is no config file nowhere"],
  ])("refuses a --%s that is not there", async (flag, said) => {
    expect((await refusal(() => load({ flags: { [flag]: "nowhere" } }))).message).toContain(said);
  });

  it("warns of a mistyped variable, and leaves other ones alone", async () => {
    const env = { VECFILL_JOB_DIR: "x", VECFILL_TEST_SERVER: "x" };
    expect((await load({ env })).warnings).toEqual([
      "VECFILL_JOB_DIR is no option; did you mean VECFILL_JOBS_DIR?",
    ]);
  });
});

describe("the next command", () => {
  it("is given what bounds, selects or names, where it takes that, quoted for a shell", async () => {
    const flags = {
      "jobs-dir": "my jobs",
      table: "papers",
      json: true,
      yes: true,
      where: "id < 5",
      limit: "1,000",
      timeout: "10m",
      canary: false,
    };
    const { origins } = await load({ flags });
    expect(nextCommandLine(origins, "submit", [])).toBe(
      "vecfill submit --timeout 10m --jobs-dir 'my jobs'",
    );
    expect(nextCommandLine(origins, "run", ["--limit", "5"])).toBe(
      "vecfill run --limit 5 --table papers --where 'id < 5' --no-canary --timeout 10m --jobs-dir 'my jobs'",
    );
    expect(nextCommandLine(origins, "jobs", [])).toBe("vecfill jobs --jobs-dir 'my jobs'");
  });
});

describe("keys and addresses", () => {
  it("takes either key, and both when they are the same", () => {
    const keys = [
      { GEMINI_API_KEY: "one" },
      { GOOGLE_API_KEY: "one" },
      { GEMINI_API_KEY: "one", GOOGLE_API_KEY: "one" },
    ];
    expect(keys.map((env) => gemini(env).apiKey.reveal())).toEqual(["one", "one", "one"]);
  });

  it("takes the first database address of the three", () => {
    const supabase = { SUPABASE_URL: "https://x.supabase.co", SUPABASE_SECRET_KEY: "sb_secret_x" };
    expect(
      database({
        ...supabase,
        POSTGRES_URL: "postgres://b/b",
        SUPABASE_DB_URL: "postgres://a/a",
      }),
    ).toEqual({
      kind: "postgres",
      url: new Secret("postgres://a/a"),
      variable: "SUPABASE_DB_URL",
      takesPasswords: true,
    });
  });

  it("takes a project's address and secret key where no database is named", () => {
    const jwt = jwtOf("service_role");
    expect(
      database({
        NEXT_PUBLIC_SUPABASE_URL: "https://x.supabase.co/",
        SUPABASE_SERVICE_ROLE_KEY: jwt,
      }),
    ).toEqual({
      kind: "supabase",
      url: "https://x.supabase.co",
      key: new Secret(jwt),
      urlVariable: "NEXT_PUBLIC_SUPABASE_URL",
      keyVariable: "SUPABASE_SERVICE_ROLE_KEY",
      warnings: [],
    });
    const far = { SUPABASE_URL: "http://10.0.0.7:8000", SUPABASE_SECRET_KEY: "sb_secret_x" };
    expect(database(far)).toMatchObject({ warnings: [expect.stringContaining("in the clear")] });
  });

  it.each([
    [{ SUPABASE_SECRET_KEY: undefined }, /neither SUPABASE_SECRET_KEY/, /API Keys/],
    [{ SUPABASE_SECRET_KEY: "sb_publishable_x" }, /publishable key/, /sb_secret_/],
    [{ SUPABASE_SECRET_KEY: jwtOf("anon") }, /role anon/, /sb_secret_/],
    [{ SUPABASE_SECRET_KEY: jwtOf("authenticated") }, /role authenticated/, /sb_secret_/],
    [{ SUPABASE_SECRET_KEY: jwtOf("") }, /role , which/, /sb_secret_/],
    [{ SUPABASE_SECRET_KEY: "e30.e30.c2ln" }, /role anon/, /sb_secret_/],
    [{ SUPABASE_SECRET_KEY: "sb_secret_a b" }, /holds a space/, /sb_secret_/],
    [{ SUPABASE_SECRET_KEY: "your-api-key" }, /placeholder/, /sb_secret_/],
    [{ SUPABASE_URL: "x.supabase.co" }, /no http/, /supabase\.co/],
    [{ SUPABASE_URL: "https://supabase.com/dashboard/project/x" }, /dashboard/, /supabase\.co/],
    [{ SUPABASE_URL: "https://x.supabase.co/storage/v1" }, /path/, /supabase\.co/],
    [{ SUPABASE_URL: "postgresql://u:p@h/d" }, /database's own/, /DATABASE_URL/],
    [{ SUPABASE_URL: "https://<project ref>.supabase.co" }, /placeholder/, /supabase\.co/],
  ])("refuses %o beside a good address and key", async (changes, said, mend) => {
    const good = { SUPABASE_URL: "https://x.supabase.co", SUPABASE_SECRET_KEY: "sb_secret_x" };
    const error = await refusal(() => database({ ...good, ...changes }));
    expect(error).toMatchObject({
      message: expect.stringMatching(said),
      hint: expect.stringMatching(mend),
      exit: "usage",
    });
  });

  it.each<[string, () => unknown, string]>([
    ["no key", () => gemini({}), "No Gemini key is set"],
    [
      "two keys",
      () => gemini({ GEMINI_API_KEY: "one", GOOGLE_API_KEY: "two" }),
      "both set and differ",
    ],
    ["a key not filled in", () => gemini({ GEMINI_API_KEY: "your-api-key" }), "placeholder"],
    [
      "a key of two lines",
      () => gemini({ GEMINI_API_KEY: "one\ntwo" }),
      "GEMINI_API_KEY holds a space",
    ],
    [
      "an address that is none",
      () => gemini({ GEMINI_API_KEY: "k", GOOGLE_GEMINI_BASE_URL: "localhost" }),
      "no http",
    ],
    ["no database", () => database({}), "none of DATABASE_URL"],
    [
      "a password not filled in",
      () => database({ DATABASE_URL: "postgres://u:[YOUR-PASSWORD]@h/d" }),
      "placeholder",
    ],
    [
      "a web address",
      () => database({ DATABASE_URL: "https://x.supabase.co" }),
      "is a web address",
    ],
    [
      "another database",
      () => database({ DATABASE_URL: "mysql://u:pw@h/d" }),
      "no address of a Postgres",
    ],
  ])("refuses %s", async (_, work, said) => {
    const error = await refusal(work);
    expect(error.message).toContain(said);
    expect(error.exit).toBe("usage");
    expect(error.hint).not.toBe("");
  });

  it("warns where the key would travel in the clear", () => {
    expect(warningsAt("http://gateway.example:8080")[0]).toContain("in the clear");
    expect(warningsAt("http://127.evil.example")).toHaveLength(1);
    expect(warningsAt("https://gateway.example")).toEqual([]);
    expect([
      ...warningsAt("http://localhost:1"),
      ...warningsAt("http://127.0.0.1:1"),
      ...warningsAt("http://[::1]:1"),
    ]).toEqual([]);
  });

  it("tells keys apart by an id that does not hold the key", () => {
    const [one, two] = [keyIdOf(new Secret("AIza-one")), keyIdOf(new Secret("AIza-two"))];
    expect(one).toMatch(/^[0-9a-f]{12}$/);
    expect(one).not.toBe(two);
  });
});

describe("secrets", () => {
  const key = "AIza+very/secret=";
  const env = {
    GEMINI_API_KEY: key,
    DATABASE_URL: "postgresql://app:p%40ss%2Fw%22ord@db.example:5432/app",
  };
  const redact = redactor(secretsIn(realEnvironment(env)));

  it("do not turn into text by accident", () => {
    const secret = new Secret(key);
    const shown = [
      String(secret),
      JSON.stringify({ secret }),
      inspect({ secret }),
      inspect([[[secret]]]),
    ];
    for (const text of shown) expect(text).not.toContain(key);
    expect(secret.reveal()).toBe(key);
  });

  it.each([
    ["the key", `refused: ${key}`],
    ["the key in a URL", `GET /v1beta?key=${encodeURIComponent(key)}`],
    ["the whole address", `cannot reach ${env.DATABASE_URL}`],
    ["the password as it was written", "password p%40ss%2Fw%22ord is wrong"],
    ["the password as it is meant", 'password p@ss/w"ord is wrong'],
    ["the password inside JSON", JSON.stringify({ password: 'p@ss/w"ord' })],
  ])("are taken out of what is printed: %s", (_, text) => {
    const printed = redact(text);
    expect(printed).toContain("[secret]");
    expect(printed).not.toMatch(/AIza|p@ss|p%40ss/);
  });

  it("leave ordinary words alone where a password is one that everybody knows", () => {
    const local = redactor(
      secretsIn(
        realEnvironment({ DATABASE_URL: "postgres://postgres:postgres@localhost/postgres" }),
      ),
    );
    expect(local("postgres is not running")).toBe("postgres is not running");
    expect(local("at postgres://postgres:postgres@localhost/postgres")).toBe("at [secret]");
    const paste = "export GEMINI_API_KEY=anything";
    expect(redactor([new Secret("anything")])(paste)).toBe(paste);
  });
});
