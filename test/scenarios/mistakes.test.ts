// I mistype something, set it wrongly, or write it as I am used to: does the answer name what I meant, and end with its code?
import fs, { mkdir, rm, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import http from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { useProxy } from "../../src/cli/proxy.ts";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import { EXIT_CODES } from "../../src/errors.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { type Ended, runHere } from "../command-line.ts";
import { keepOpen } from "../embedded/kept.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { openFolders } from "../folders.ts";
import { onlyWhere } from "../size.ts";

const FOLLOWS_PROXIES = onlyWhere("setGlobalProxyFromEnv" in http, "take Node 24.14");
const { done, usage, fatal } = EXIT_CODES;
const WIDTH = 128;

let home: string;
let emulator: Emulator;
let right: NodeJS.ProcessEnv;

beforeAll(async () => {
  home = await temporaryFolder();
  emulator = await startEmulator({ batchSeconds: 0, tier: "off" });
  const url = keepOpen(join(home, "database"));
  right = {
    DATABASE_URL: url,
    GEMINI_API_KEY: "a-key-for-tests",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
    VECFILL_DIMENSIONS: String(WIDTH),
    VECFILL_BESIDE: "true",
    VECFILL_POLL_INTERVAL: "0.01",
  };
  const columns = Array.from({ length: 200 }, (_, n) => `c${n} text`).join(", ");
  const column = `question_text text, embedding vector(${WIDTH})`;
  const database = await openDatabase({ url });
  for (const statement of [
    "CREATE EXTENSION vector",
    `CREATE TABLE questions (id bigint PRIMARY KEY, options jsonb, tags text[], ${column})`,
    `INSERT INTO questions SELECT n, '["a"]', '{a}', 'Question ' || n FROM generate_series(1, 2) n`,
    `CREATE TABLE wide (id bigint PRIMARY KEY, ${columns})`,
    ...Array.from({ length: 47 }, (_, n) => `CREATE TABLE other_${n} (id bigint)`),
    "CREATE SCHEMA app",
    "CREATE TABLE app.parts (id bigint)",
    "CREATE VIEW seen AS SELECT * FROM questions",
    "CREATE MATERIALIZED VIEW kept AS SELECT * FROM questions",
    `CREATE TABLE never_null (id bigint PRIMARY KEY, question_text text,
      embedding vector(${WIDTH}) NOT NULL DEFAULT array_fill(0, ARRAY[${WIDTH}])::vector)`,
    "INSERT INTO never_null VALUES (1, 'one')",
    `CREATE TABLE keyless (id bigint UNIQUE, ${column})`,
    "INSERT INTO keyless VALUES (NULL, 'one'), (NULL, 'two')",
    `CREATE TABLE pairs (id bigint, part int, ${column}, PRIMARY KEY (id, part))`,
    `CREATE TABLE parent (id bigint PRIMARY KEY, ${column})`,
    "CREATE TABLE child () INHERITS (parent)",
    `CREATE TABLE split (id bigint, ${column}) PARTITION BY RANGE (id)`,
    `CREATE TABLE made (id bigint PRIMARY KEY, question_text text,
      embedding vector(${WIDTH}) GENERATED ALWAYS AS (array_fill(0, ARRAY[${WIDTH}])::vector) STORED)`,
    "CREATE TABLE unvectored (id bigint PRIMARY KEY, question_text text, embedding text)",
    `CREATE TABLE dated (id date PRIMARY KEY, ${column})`,
  ]) {
    await database.query(statement);
  }
  await database.close();
});

afterAll(async () => {
  await emulator.close();
  await rm(home, { recursive: true, force: true });
});

let folders = 0;

async function vecfill(typed: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  folders += 1;
  const folder = join(home, `folder-${folders}`);
  await mkdir(folder);
  return runHere(typed, {
    env: { ...right, VECFILL_JOBS_DIR: join(folder, "jobs"), ...env },
    folder,
  });
}

type Row = readonly [typed: string, code: number, words: RegExp];

const TYPED: readonly Row[] = [
  // tables
  [
    "export --table qusetions",
    fatal,
    /^hint: Did you mean public\.questions\? There are: public\.q/m,
  ],
  ["export --table parts", fatal, /^hint: Did you mean app\.parts\?/m],
  [
    "export --table zzz",
    fatal,
    /^hint: Check --schema and --table\. There are: .+ and \d+ more\.$/m,
  ],
  ["export --table public.questions --dry-run", done, /export 2 rows/],
  ["export --table app.questions", fatal, /^error: There is no table app\.questions/m],
  ["export --schema nowhere", fatal, /^hint: Did you mean public\.questions\?/m],
  ["export --table seen", fatal, /is a view, .+\nhint: Give --table .+: public\.questions\./],
  ["plan --table kept", fatal, /is a materialized view, .+\nhint: .+: public\.questions\./],
  ["export --table split", fatal, /is a partitioned table.+ fills its partitions/s],
  ["run --yes --table parent", fatal, /Other tables inherit .+\(child\).+\nhint: Fill each child/],
  // columns
  ["export --embedding embeding", fatal, /^hint: Did you mean embedding\? Give --embedding emb/m],
  [
    "export --embedding vec",
    fatal,
    /alter table "public"\."questions" add column "vec" vector\(128\);/,
  ],
  ["export --text questiontext", fatal, /^hint: Did you mean question_text\?/m],
  [
    "export --table wide --text c77x",
    fatal,
    /^hint: Did you mean c77\? Give --text c77\. Its columns: c77 \(text\), .{50,250} and 193 more\.$/m,
  ],
  ["export --text {question_text", usage, /has a lone brace at position 1/],
  ["export --text {}", usage, /has empty braces/],
  ["export --dry-run --text options", done, /rows/],
  [
    "doctor --text options",
    done,
    /text column options \(jsonb\) is embedded as the database prints it/,
  ],
  [
    "doctor --text {tags}",
    done,
    /text column tags \(text\[\]\) is embedded as the database prints it/,
  ],
  ["export --table never_null", fatal, /is NOT NULL: nothing is ever NULL there/],
  ["run --yes --table keyless", done, /2 rows of public\.keyless have no key \(id is NULL\)/],
  ["export --table pairs", fatal, /not unique on its own.+add column row_id bigint generated/s],
  ["export --table made", fatal, /is generated: the database computes it/],
  ["export --table unvectored", fatal, /is of type text, not a vector/],
  ["export --table dated", fatal, /is of type date, which cannot be a key/],
  ["export --dimensions 256", fatal, /has 128 dimensions, and 256 are asked for/],
  ["export --dimensions 4000", usage, /--dimensions is wrong: 4000 is not a whole number/],
  // conditions
  ["export --where", usage, /--where needs a value/],
  ["export --where true)_or_(1=1", usage, /condition in --where does not work/],
  ["export --where id<>;drop", usage, /condition in --where does not work/],
  ["export --where idd=1", usage, /condition in --where does not work.+idd/],
  // numbers and durations
  ["plan --limit 1,000", done, /rows/],
  ["plan --limit 1_000", usage, /--limit is wrong: 1_000/],
  ["plan --limit 0", usage, /not a whole number from 1 up/],
  ["plan --limit=-5", usage, /not a whole number from 1 up/],
  ["poll --timeout 10m", done, /./],
  ["poll --timeout 10min", usage, /nor a time such as 10m or 2h/],
  ["plan --tier 4", usage, /4 is not one of/],
  ["plan --model gemini-embedding-01", usage, /is not one of gemini-embedding-001/],
  ["run --max-cost 5€", usage, /5€ is not a number of dollars/],
  // jobs
  ["jobs 3", usage, /There is no job 3; there are none yet/],
  ["jobs 0003", usage, /There is no job 0003/],
  ["jobs zero", usage, /There is no job zero/],
  ["jobs --state done", usage, /done is not one of exported/],
  ["cancel", usage, /`cancel` needs to be told which job/],
  ["resubmit nope.failed.jsonl", usage, /There is no file nope\.failed\.jsonl/],
  // commands and options
  ["", done, /vecfill run/],
  ["help run", done, /Usage: vecfill run/],
  ["help runn", usage, /Did you mean `vecfill run`\?/],
  ["runn", usage, /Did you mean `vecfill run`\?/],
  ["-v", done, /^\d+\.\d+\.\d+/],
  ["-V", done, /^\d+\.\d+\.\d+/],
  ["version", done, /^\d+\.\d+\.\d+/],
  ["run --dryrun", usage, /Did you mean --dry-run\?/],
  ["poll --limit 5", usage, /--limit is an option of export, run, plan/],
  ["run --limit 5 --limit 6", usage, /--limit is given 2 times/],
  ["resubmit --yes", done, /./],
  ["export --yes --dry-run", done, /export 2 rows/],
  ["export --env-file nope.env", usage, /nope\.env/],
  ["export --config nope.json", usage, /There is no config file nope\.json/],
  ["run --quiet --verbose", usage, /exclude each other/],
];

test.each(TYPED)("%s", async (typed, code, words) => {
  const ended = await vecfill(
    typed
      .split(" ")
      .filter(Boolean)
      .map((word) => word.replaceAll("_or_", " or ")),
  );
  expect(ended.code, ended.stderr).toBe(code);
  expect(`${ended.stdout}${ended.stderr}`).toMatch(words);
});

type Set = readonly [what: string, env: NodeJS.ProcessEnv, code: number, words: RegExp];

const NO_DATABASE = { DATABASE_URL: undefined };
const PROJECT = { ...NO_DATABASE, SUPABASE_URL: "https://abcdefghijklmnopqrst.supabase.co" };
const AT = "postgres://user:pass-of-mine@127.0.0.1:1/db";

const SET_WRONGLY: readonly Set[] = [
  ["nothing", NO_DATABASE, usage, /No database is named/],
  ["DB_URL", { ...NO_DATABASE, DB_URL: AT }, usage, /DB_URL is set: did you mean DATABASE_URL\?/],
  [
    "SUPABASE_SERVICE_KEY",
    { ...PROJECT, SUPABASE_SERVICE_KEY: "sb_secret_a" },
    usage,
    /SUPABASE_SERVICE_KEY is set: did you mean SUPABASE_SERVICE_ROLE_KEY\?/,
  ],
  [
    "SUPABASE_KEY",
    { ...PROJECT, SUPABASE_KEY: "sb_secret_a" },
    usage,
    /did you mean SUPABASE_SERV/,
  ],
  [
    "a publishable key",
    { ...PROJECT, SUPABASE_SECRET_KEY: "sb_publishable_a" },
    usage,
    /publishable/,
  ],
  ["a placeholder", { DATABASE_URL: "postgres://u:[YOUR-PASSWORD]@h/db" }, usage, /placeholder/],
  ["a password with @", { DATABASE_URL: "postgres://u:p@ss@h/db" }, usage, /percent-encoded/],
  ["a web address", { DATABASE_URL: "https://h/db" }, usage, /is a web address/],
  ["no address", { DATABASE_URL: "localhost/db" }, usage, /is no address of a Postgres database/],
  [
    "two hosts",
    { DATABASE_URL: "postgres://u:p@h1:5432,h2:5432/db" },
    usage,
    /names several hosts/,
  ],
  ["two hosts without ports", { DATABASE_URL: "postgres://u:p@h1,h2/db" }, usage, /several hosts/],
  [
    "two hosts as a parameter",
    { DATABASE_URL: "postgres:///db?host=h1,h2" },
    usage,
    /several hosts/,
  ],
  ["nobody listens", { DATABASE_URL: AT }, fatal, /127\.0\.0\.1:1\/db cannot be reached/],
  ["sslmode=on", { DATABASE_URL: `${AT}?sslmode=on` }, usage, /sslmode=on, which cannot be had/],
  [
    "a variable with a typo",
    { VECFILL_TABEL: "questions" },
    done,
    /VECFILL_TABEL is no option; did you mean VECFILL_TABLE\?/,
  ],
  ["no proxy", { HTTPS_PROXY: "not an address" }, usage, /HTTPS_PROXY is no address/],
  [
    "a proxy without a scheme",
    { http_proxy: "proxy.corp:3128" },
    usage,
    /http_proxy is no address/,
  ],
];

test.each(SET_WRONGLY)("export with %s", async (_what, env, code, words) => {
  const ended = await vecfill(["export", "--dry-run"], env);
  expect(ended.code, ended.stderr).toBe(code);
  expect(`${ended.stdout}${ended.stderr}`).toMatch(words);
  expect(`${ended.stdout}${ended.stderr}`).not.toContain("pass-of-mine");
});

test.each<readonly [what: string, env: NodeJS.ProcessEnv, code: number, words: RegExp]>([
  ["no key", { GEMINI_API_KEY: undefined }, usage, /No Gemini key is set/],
  [
    "GOOGLE_GENERATIVE_AI_API_KEY",
    { GEMINI_API_KEY: undefined, GOOGLE_GENERATIVE_AI_API_KEY: "k" },
    usage,
    /GOOGLE_GENERATIVE_AI_API_KEY is set: did you mean GEMINI_API_KEY\?/,
  ],
  ["two keys", { GOOGLE_API_KEY: "another" }, usage, /are both set and differ/],
  ["a key in quotes", { GEMINI_API_KEY: '"a b"' }, usage, /holds a space or a sign no key has/],
  ["no address", { GOOGLE_GEMINI_BASE_URL: "127.0.0.1:8787" }, usage, /no http or https address/],
])("run with %s: nothing is exported", async (_what, env, code, words) => {
  const ended = await vecfill(["run", "--yes"], env);
  expect(ended.code, ended.stderr).toBe(code);
  expect(ended.stderr).toMatch(words);
  expect((await vecfill(["jobs", "--json"])).stdout).toContain('"jobs":[]');
});

test.each(["/v1beta", "/v1beta/", "/v1"])("a base URL that ends in %s is taken", async (path) => {
  const env = { GOOGLE_GEMINI_BASE_URL: `${emulator.url}${path}` };
  const { stdout } = await vecfill(["doctor"], env);
  expect(stdout).toMatch(/ok +Gemini +the key works/);
});

test("the doctor tells a database that is away from a table that is", async () => {
  const away = await vecfill(["doctor"], { DATABASE_URL: AT });
  expect(away.code).toBe(fatal);
  expect(away.stdout).toMatch(/^failure +database +The database at 127/m);
  const missing = await vecfill(["doctor", "--table", "qusetions"]);
  expect(missing.stdout).toMatch(/^failure +table +There is no table/m);
});

test("jobs 1 is job 0001", async () => {
  const folder = join(home, "of-one-job");
  await mkdir(folder);
  const typed = (...args: readonly string[]) => runHere(args, { env: right, folder });
  const jobs = ["--jobs-dir", join(folder, "jobs")];
  await typed("export", ...jobs);
  const { code, stdout } = await typed("jobs", "1", ...jobs);
  expect([code, stdout]).toEqual([
    done,
    expect.stringMatching(/^job +0001.+jobs\/0001\.requests\.jsonl/s),
  ]);
  const { code: missing, stderr } = await typed("jobs", "3", ...jobs);
  expect([missing, stderr]).toEqual([usage, expect.stringMatching(/There is no job 3/)]);
});

test("a database without pgvector is told so before its column is missed", async () => {
  const { vecfill: typed, sql } = await openFolders(["one"]);
  await sql("DROP EXTENSION vector CASCADE");
  const { code, stderr } = await typed("jobs", "export");
  expect(code).toBe(fatal);
  expect(stderr).toMatch(/^error: The database does not have the extension pgvector\.$/m);
  expect(stderr).toMatch(/^hint: Run: create extension vector;/m);
});

describe("TLS", () => {
  test.each([
    ["require", 0, /does not offer TLS\. sslmode in DATABASE_URL asks for it.+sslmode=disable/s],
    ["verify-full&sslrootcert=system", 0, /does not offer TLS/],
    ["prefer", 2, /takes no connections now/],
    ["allow", 2, /takes no connections now/],
    ["disable", 2, /takes no connections now/],
  ])("sslmode=%s where there is none", async (mode, logins, words) => {
    const server = await openWithoutTls();
    const { code, stdout } = await vecfill(["doctor"], {
      DATABASE_URL: `${server.address}?sslmode=${mode}`,
    });
    expect(code).toBe(fatal);
    expect(stdout).toMatch(words);
    expect(server.logins()).toBe(logins);
  });
});

test("HTTP_PROXY is followed, and NO_PROXY", FOLLOWS_PROXIES, async () => {
  let passed = 0;
  const proxy = http.createServer();
  proxy.on("connect", (_request, client: Socket) => {
    passed += 1;
    const there = connect(Number(new URL(emulator.url).port), "127.0.0.1");
    client.write("HTTP/1.1 200 OK\r\n\r\n");
    for (const socket of [client, there]) socket.on("error", () => socket.destroy());
    client.pipe(there).pipe(client);
  });
  proxy.on("request", (_request, answer) => answer.writeHead(502).end());
  await new Promise<void>((listening) => proxy.listen(0, "127.0.0.1", listening));
  onTestFinished(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  const env = {
    HTTP_PROXY: `http://127.0.0.1:${portOf(proxy.address())}`,
    GOOGLE_GEMINI_BASE_URL: "http://gemini.invalid",
  };
  expect((await vecfill(["doctor"], env)).stdout).toMatch(/ok +Gemini/);
  expect(passed).toBeGreaterThan(0);
  const past = passed;
  // what is on this machine is reached as it is
  await vecfill(["doctor"], { HTTP_PROXY: env.HTTP_PROXY });
  const { release } = await useProxy({ HTTP_PROXY: env.HTTP_PROXY, NO_PROXY: "gemini.invalid" });
  await expect(fetch(env.GOOGLE_GEMINI_BASE_URL)).rejects.toThrow("fetch failed");
  release?.();
  expect(passed).toBe(past);
});

test("a Node that cannot follow a proxy says so", async () => {
  const { warning } = await useProxy({ HTTPS_PROXY: "http://proxy:3128" }, {});
  expect(warning).toMatch(/HTTPS_PROXY is set, and Node .+NODE_USE_ENV_PROXY=1/);
});

test("what asks nobody has no word for a proxy", async () => {
  const { code, stderr } = await vecfill(["completion", "zsh"], { HTTPS_PROXY: "not an address" });
  expect([code, stderr]).toEqual([done, ""]);
});

test("a disk that is too small stops a run before anything is sent", async () => {
  const { statfs } = fs;
  const small = vi.spyOn(fs, "statfs");
  small.mockImplementation(async (path) =>
    Object.assign(await statfs(path), { blocks: 1, bavail: 1, bsize: 512 }),
  );
  syncBuiltinESMExports();
  onTestFinished(() => {
    small.mockRestore();
    syncBuiltinESMExports();
  });
  const billed = (await emulator.billing()).size;
  const { code, stderr } = await vecfill(["run", "--yes"]);
  expect([code, stderr]).toEqual([
    fatal,
    expect.stringMatching(/The disk of .+ has 512 B free.+nothing was sent/),
  ]);
  expect((await emulator.billing()).size).toBe(billed);
  // what the limit on cost lets through has room
  const little = await vecfill(["run", "--yes", "--max-cost", "0.00000001"]);
  expect(little.code, little.stderr).toBe(EXIT_CODES.costLimit);
});

test("half of a character in an edited failed line is refused with its number", async () => {
  const rest = { outputDimensionality: WIDTH, taskType: "RETRIEVAL_DOCUMENT" };
  const lines = ["one", "two"].map((text, n) =>
    JSON.stringify({
      key: `${n + 1}@${"0".repeat(32)}`,
      request: { content: { parts: [{ text }] }, ...rest },
    }),
  );
  const file = join(home, "edited.jsonl");
  await writeFile(file, `${lines.join("\n").replace("two", String.raw`\ud83d`)}\n`);
  const { code, stderr } = await vecfill(["resubmit", file]);
  expect([code, stderr]).toEqual([
    usage,
    expect.stringMatching(/Line 2 of .+ half of a character/),
  ]);
});

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === "string") throw new Error("there is no port");
  return address.port;
}

/** Speaks no TLS; then every login is answered as by a server that starts. */
async function openWithoutTls(): Promise<Readonly<{ address: string; logins: () => number }>> {
  let logins = 0;
  const words = "SFATAL\0C57P03\0Mthe database system is starting up\0\0";
  const answer = Buffer.concat([Buffer.from("E"), Buffer.alloc(4), Buffer.from(words)]);
  answer.writeInt32BE(answer.length - 1, 1);
  const server = createServer((socket: Socket) => {
    socket.on("error", () => {});
    socket.once("data", (asked) => {
      if (asked.readInt32BE(4) === 80_877_103) socket.end("N");
      else {
        logins += 1;
        socket.end(answer);
      }
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  onTestFinished(() => new Promise<void>((closed) => server.close(() => closed())));
  return {
    address: `postgres://u:p@127.0.0.1:${portOf(server.address())}/db`,
    logins: () => logins,
  };
}
