/**
 * I paste vecfill's output into a chat, mail the jobs folder to a colleague, run it in a public CI: is
 * the key, the password or the database's address in any of it, whatever went wrong and whatever the
 * other side repeats?
 */
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { CLI, type Ended, runHere, start } from "../command-line.ts";
import { errorBody, type Stub, serve } from "../gemini/stub-server.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { keepOpen } from "../embedded/kept.ts";

// in pieces, so that no scanner takes them for real ones
const KEY = ["AIza", "SyTestsOwn-Key_0123456789abcdefghij"].join("");
const PASSWORD = `p@ss/w0rd#ü "quoted" 100% {of} this-test`;
const ENCODED_PASSWORD = encodeURIComponent(PASSWORD);
const SERVICE_KEY = ["sb_secret", "of_this_test_0123456789"].join("_");
const PG_PASSWORD = "environment-password-of-this-test";

/** Everything that a person who is not to know a secret could read it from. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  return [
    secret,
    encodeURIComponent(secret),
    encodeURI(secret),
    JSON.stringify(secret).slice(1, -1),
    bytes.toString("base64").replace(/=+$/, ""),
    bytes.toString("base64url"),
    bytes.toString("hex"),
  ];
}

/** What the other sides below say: the secret itself, in every form but hex, which nothing makes. */
function repeated(secret: string): string {
  return `you sent ${formsOf(secret).slice(0, -1).join(" or ")} and that is wrong`;
}

const FORBIDDEN = new Set([KEY, PASSWORD, SERVICE_KEY, PG_PASSWORD].flatMap(formsOf));

/** Of what is in the files and what was printed. */
function expectNoSecret(text: string, where: string): void {
  const found = [...FORBIDDEN].filter((form) => text.includes(form));
  expect(found, `${where}: ${text.slice(0, 2_000)}`).toEqual([]);
}

let home: string;
let emulator: Emulator;
let service: RepeatingService;
let database: RepeatingDatabase;
let workingUrl: string;

beforeAll(async () => {
  home = await temporaryFolder();
  emulator = await startEmulator({ batchSeconds: 0 });
  service = await startRepeatingService(emulator.url);
  database = await startRepeatingDatabase();
  workingUrl = keepOpen(join(home, "database"));
  const own = await openDatabase({ url: workingUrl });
  await own.query("CREATE EXTENSION vector");
  await own.query(
    "CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(768))",
  );
  await own.query("INSERT INTO questions SELECT n, 'Question ' || n FROM generate_series(1, 9) n");
  await own.close();
});

afterAll(async () => {
  await emulator.close();
  await service.stub.close();
  await database.close();
  await rm(home, { recursive: true, force: true });
});

/** How the service in between answers; `pass`: as the emulator does. */
type Trouble =
  | "pass"
  | "create-400"
  | "create-403"
  | "create-500"
  | "create-text"
  | "batch-failed"
  | "line-errors";
type RepeatingService = { stub: Stub; trouble: Trouble };

/** Before the emulator: some answers repeat the key that was sent. */
async function startRepeatingService(emulatorUrl: string): Promise<RepeatingService> {
  const state: { trouble: Trouble } = { trouble: "pass" };
  const stub = await serve([], async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(Buffer.from(chunk));
    const path = request.url ?? "/";
    const answer =
      troubledAnswer(state.trouble, request.method ?? "GET", path) ??
      (await fetch(`${emulatorUrl}${path}`, {
        method: request.method ?? "GET",
        headers: headersOf(request.headers),
        ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }),
      }));
    const headers = [...answer.headers].filter(([name]) => name.startsWith("x-goog"));
    response.writeHead(answer.status, Object.fromEntries(headers));
    const isResults = state.trouble === "line-errors" && path.includes(":download");
    response.end(
      isResults ? withErrors(await answer.text()) : Buffer.from(await answer.arrayBuffer()),
    );
  });
  return Object.assign(state, { stub });
}

/** The same lines, each with an error that repeats the key. */
function withErrors(results: string): string {
  const lines = results.split("\n").filter((line) => line !== "");
  return lines
    .map((line) => {
      const { key }: { key: string } = JSON.parse(line);
      return `${JSON.stringify({ key, error: { code: 3, message: repeated(KEY) } })}\n`;
    })
    .join("");
}

function headersOf(headers: NodeJS.Dict<string | string[]>): Record<string, string> {
  const names = Object.keys(headers).filter((name) => /^(x-goog|content-type)/.test(name));
  return Object.fromEntries(names.map((name) => [name, String(headers[name])]));
}

function troubledAnswer(trouble: Trouble, method: string, path: string): Response | undefined {
  const said = repeated(KEY);
  const isCreate = path.endsWith(":asyncBatchEmbedContent");
  const isLook = method === "GET" && path.includes("/batches/");
  if (trouble === "create-400" && isCreate) {
    return Response.json(errorBody(400, "INVALID_ARGUMENT", said), { status: 400 });
  }
  if (trouble === "create-403" && isCreate) {
    const reason = [{ reason: "CONSUMER_SUSPENDED", metadata: { consumer: `api_key:${KEY}` } }];
    return Response.json(errorBody(403, "PERMISSION_DENIED", said, reason), { status: 403 });
  }
  if (trouble === "create-500" && isCreate) {
    return Response.json(errorBody(500, "INTERNAL", said), { status: 500 });
  }
  if (trouble === "create-text" && isCreate) return new Response(said, { status: 418 });
  if (trouble === "batch-failed" && isLook) {
    const name = path.slice(path.indexOf("batches/"));
    const metadata = { name, state: "BATCH_STATE_FAILED" };
    return Response.json({ name, metadata, done: true, error: { code: 13, message: said } });
  }
  return undefined;
}

type RepeatingDatabase = {
  port: number;
  /** The code that the first statement is refused with; undefined: the login is. */
  afterLogin: string | undefined;
  close(): Promise<void>;
};

/** Speaks just enough of Postgres's protocol to refuse, either the login or the first statement. */
async function startRepeatingDatabase(): Promise<RepeatingDatabase> {
  const sockets = new Set<Socket>();
  const state: Pick<RepeatingDatabase, "afterLogin"> = { afterLogin: undefined };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    let started = false;
    socket.on("data", () => {
      const { afterLogin } = state;
      if (!started && afterLogin !== undefined) socket.write(LOGGED_IN);
      else socket.write(Buffer.concat([refusal(afterLogin ?? "28P01"), READY]));
      started = true;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return Object.assign(state, { port: address.port, close });
}

function message(type: string, body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, body]);
}

const READY = message("Z", Buffer.from("I"));
const LOGGED_IN = Buffer.concat([message("R", Buffer.alloc(4)), READY]);

function refusal(code: string): Buffer {
  const url = `postgres://app:${ENCODED_PASSWORD}@db.example.com:5432/app`;
  const said = `${url}: ${repeated(PASSWORD)}; also ${repeated(PG_PASSWORD)}`;
  return message("E", Buffer.from(`SFATAL\0C${code}\0M${said}\0D${said}\0\0`));
}

function addressOf(host: string): string {
  return `postgres://app:${ENCODED_PASSWORD}@${host}/app`;
}

let folders = 0;

/** As a value in an env file. */
function quoted(value: string): string {
  return value.includes('"') ? `'${value}'` : `"${value}"`;
}

/** A folder to call vecfill in, with secrets in its `.env.local`. */
async function setUp(url: string) {
  const folder = join(home, `work-${(folders += 1)}`);
  await mkdir(folder);
  const lines = { DATABASE_URL: url, PGPASSWORD: PG_PASSWORD, SUPABASE_SECRET_KEY: SERVICE_KEY };
  const content = Object.entries(lines).map(([name, value]) => `${name}=${quoted(value)}\n`);
  await writeFile(join(folder, ".env.local"), content);
  const env = {
    GEMINI_API_KEY: KEY,
    GOOGLE_GEMINI_BASE_URL: service.stub.baseUrl,
    VECFILL_JOBS_DIR: join(folder, "jobs"),
    // all have one table
    VECFILL_BESIDE: "true",
  };
  const vecfill = async (...args: readonly string[]): Promise<Ended> => {
    const ended = await runHere(args, { env, folder });
    expectNoSecret(ended.stdout + ended.stderr, `vecfill ${args.join(" ")}`);
    return ended;
  };
  return {
    folder,
    env,
    vecfill,
    /** A command in each way of speaking. The last one's end. */
    inEveryVoice: async (...args: readonly string[]): Promise<Ended> => {
      await vecfill(...args, "--json");
      await vecfill(...args, "--quiet");
      return vecfill(...args, "--verbose");
    },
    expectCleanFiles: async () => {
      const names = await readdir(join(folder, "jobs"));
      for (const name of names) {
        expectNoSecret(await readFile(join(folder, "jobs", name), "utf8"), name);
      }
      return names;
    },
  };
}

it("when all goes well, in output and files", async () => {
  const work = await setUp(workingUrl);
  emulator.setFaults("permanent=0.3");
  await work.vecfill("run", "--max-job-rows", "3", "--poll-interval", "0.05", "--verbose");
  emulator.setFaults("");
  await work.inEveryVoice("jobs");
  await work.vecfill("jobs", "--format", "csv");
  await work.inEveryVoice("jobs", "0001");
  await work.inEveryVoice("resubmit", "--dry-run");
  await work.inEveryVoice("--help");
  const names = await work.expectCleanFiles();
  expect(names).toEqual(expect.arrayContaining(["manifest.ndjson", "0001.results.jsonl"]));
});

describe("a database that repeats the password", () => {
  it("as it refuses the login", async () => {
    const work = await setUp(addressOf(`127.0.0.1:${database.port}`));
    database.afterLogin = undefined;
    const { code, stderr } = await work.inEveryVoice("export");
    expect(code).toBe(3);
    expect(stderr).toContain("refuses the login");
    expect(stderr).toContain("[secret]");
  });

  it("in an error that nobody expected, in its own words", async () => {
    const work = await setUp(addressOf(`127.0.0.1:${database.port}`));
    database.afterLogin = "XX000";
    const { code, stderr } = await work.inEveryVoice("export");
    expect(code).toBe(3);
    expect(stderr).toMatch(/The database at .* says: .*\[secret\].*SQLSTATE XX000/);
    expect(stderr).not.toMatch(/bug/);
  });

  it("in an error without a code: a bug, with its stack", async () => {
    const work = await setUp(addressOf(`127.0.0.1:${database.port}`));
    database.afterLogin = "";
    const { code, stderr } = await work.inEveryVoice("export");
    expect(code).toBe(3);
    expect(stderr).toMatch(/This is a bug in vecfill: .*\[secret\]/);
    expect(stderr).toMatch(/^ +at /m);
  });
});

describe("an address of the database that cannot be used", () => {
  it.each([
    ["whose host is unknown", addressOf("nobody.invalid")],
    ["at which nobody listens", addressOf("127.0.0.1:9")],
    ["with the password as it is, not encoded", `postgres://app:${PASSWORD}@127.0.0.1:9/app`],
    ["with the password as a parameter", `postgres://127.0.0.1:9/app?password=${ENCODED_PASSWORD}`],
    ["with a mode that is none", `${addressOf("127.0.0.1:9")}?sslmode=${PG_PASSWORD}`],
    ["of another kind", `mysql://app:${ENCODED_PASSWORD}@127.0.0.1:9/app`],
  ])("%s", async (_, url) => {
    const work = await setUp(url);
    const { code, stdout, stderr } = await work.vecfill("export", "--verbose");
    expect(code).toBeGreaterThan(1);
    // nor a part of it that was taken for the host
    expect(stdout + stderr).not.toMatch(/w0rd|this-test/);
    await work.vecfill("export", "--json");
  });
});

describe("a Gemini that repeats the key", () => {
  it.each([
    ["create-400", 3, "exported"],
    ["create-403", 3, "exported"],
    ["create-text", 3, "exported"],
    ["create-500", 4, "submitting"],
  ] as const)("%s: exit %i, and the job is %s", async (trouble, exit, state) => {
    const work = await setUp(workingUrl);
    await work.vecfill("export", "--verbose");
    service.trouble = trouble;
    const { code } = await work.vecfill("submit", "--reconcile-grace", "0", "--verbose");
    service.trouble = "pass";
    expect(code).toBe(exit);
    const { stdout } = await work.vecfill("jobs", "--json");
    expect(JSON.parse(stdout).jobs[0]).toMatchObject({ state });
    await work.inEveryVoice("jobs", "0001");
    await work.expectCleanFiles();
  });

  it("in the error of a batch that failed, which goes into the failed file", async () => {
    const work = await setUp(workingUrl);
    await work.vecfill("export");
    await work.vecfill("submit");
    service.trouble = "batch-failed";
    const { stderr } = await work.vecfill("poll", "--verbose");
    service.trouble = "pass";
    expect(stderr).toContain("0001 ended: failed, you sent <key>");
    await work.inEveryVoice("jobs", "0001");
    await work.vecfill("jobs", "--format", "csv");
    expect(await work.expectCleanFiles()).toContain("0001.failed.csv");
  });
});

it("a Gemini that repeats the key in the error of a line: of all files its own results have it alone", async () => {
  const own = await openDatabase({ url: workingUrl });
  await own.query("UPDATE questions SET embedding = NULL");
  await own.close();
  const work = await setUp(workingUrl);
  service.trouble = "line-errors";
  const { code } = await work.vecfill("run", "--poll-interval", "0.05", "--verbose");
  service.trouble = "pass";
  expect(code).toBe(1);
  await work.vecfill("report");
  await work.inEveryVoice("jobs", "0001");
  const results = join(work.folder, "jobs", "0001.results.jsonl");
  expect(await readFile(results, "utf8")).toContain(KEY);
  await rm(results);
  const names = await work.expectCleanFiles();
  expect(names).toEqual(
    expect.arrayContaining(["0001.failed.jsonl", "0001.failed.csv", "report.html"]),
  );
});

describe("a mistake at the keyboard", () => {
  it("puts a secret where something else belongs", async () => {
    const work = await setUp(workingUrl);
    const url = `postgres://app:${ENCODED_PASSWORD}@db.example.com/app`;
    const mistakes = [
      ["submit", url],
      ["submit", KEY],
      ["jobs", "--format", SERVICE_KEY],
      ["resubmit", url],
      ["export", "--table", KEY],
    ];
    for (const mistake of mistakes) {
      expect((await work.inEveryVoice(...mistake)).stderr).toContain("[secret]");
    }
  });

  it("puts it into the config file, which is not to hold one", async () => {
    const work = await setUp(workingUrl);
    const path = join(work.folder, "vecfill.config.json");
    for (const content of [`{"apiKey": "${KEY}"}`, `{"table": "${KEY}`, `"${KEY}"`]) {
      await writeFile(path, content);
      expect((await work.inEveryVoice("jobs")).code).toBe(2);
    }
  });

  it("sets two keys, or one with a space", async () => {
    const work = await setUp(workingUrl);
    for (const change of [{ GOOGLE_API_KEY: `${KEY}2` }, { GEMINI_API_KEY: `${KEY} and more` }]) {
      const { ended } = start([CLI, "submit", "--verbose", "--json"], {
        cwd: work.folder,
        env: { ...work.env, ...change },
      });
      const { code, stdout, stderr } = await ended;
      expect(code).toBe(2);
      expectNoSecret(stdout + stderr, Object.keys(change).join());
    }
  });
});
