/**
 * Three in the morning, and it does not work: does each thing that can be wrong end with its exit
 * code, say what and why, and name the mend, without a stack or a secret, and with nothing lost?
 */
import { spawnSync } from "node:child_process";
import { access, appendFile, cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import { EXIT_CODES, type ExitReason } from "../../src/errors.ts";
import { openManifest } from "../../src/jobs-folder/open.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { CLI, type Ended, runHere, startProgram } from "../command-line.ts";
import { resealed, temporaryFolder } from "../manifest/sample.ts";
import { keepOpen } from "../embedded/kept.ts";
import { IN_FULL, onlyWhere } from "../size.ts";

const KEY = "AIza-key-of-this-test-0123456789";
const PASSWORD = "hunter2-of-this-test";
const ROWS = 3;

let home: string;
let emulator: Emulator;
/** The variables with which everything works. */
let right: Record<string, string>;

beforeAll(async () => {
  home = await temporaryFolder();
  emulator = await startEmulator({ batchSeconds: 0 });
  right = {
    DATABASE_URL: keepOpen(join(home, "database")),
    GEMINI_API_KEY: KEY,
    GOOGLE_GEMINI_BASE_URL: emulator.url,
    // each test has a folder of its own, and all have one table
    VECFILL_BESIDE: "true",
  };
  await inDatabase(right["DATABASE_URL"] ?? "", [
    "CREATE EXTENSION vector",
    "CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(768))",
    `INSERT INTO questions SELECT n, 'Question ' || n FROM generate_series(1, ${ROWS}) n`,
    "CREATE TABLE wide (id bigint PRIMARY KEY, question_text text, embedding vector(1536))",
    "CREATE TABLE plain (id bigint PRIMARY KEY, question_text text, embedding text)",
    "CREATE TABLE doubled (id bigint, question_text text, embedding vector(768))",
    "CREATE TABLE odd (id boolean PRIMARY KEY, question_text text, embedding vector(768))",
  ]);
  await inDatabase(keepOpen(join(home, "bare")), [
    "CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding text)",
  ]);
});

afterAll(async () => {
  await emulator.close();
  await rm(home, { recursive: true, force: true });
});

async function inDatabase(url: string, statements: readonly string[]) {
  const database = await openDatabase({ url });
  const rows = [];
  for (const statement of statements) rows.push(...(await database.query(statement)));
  await database.close();
  return rows;
}

type Change = Readonly<Record<string, string | undefined>>;

/** A command with everything right but the change. */
function vecfill(args: readonly string[], change: Change = {}): Promise<Ended> {
  return runHere(args, { env: { ...right, ...change }, folder: home });
}

let folders = 0;

/** A jobs folder of its own; `from`: with what is in that one. */
async function jobsDir(from?: string): Promise<string> {
  folders += 1;
  const folder = join(home, `jobs-${folders}`);
  if (from !== undefined) await cp(from, folder, { recursive: true });
  return folder;
}

/** Every file of a folder; empty when there is none. */
async function contentOf(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder).catch(() => []);
  const files = names.filter((name) => !name.endsWith(".lock"));
  return new Map(
    await Promise.all(
      files
        .toSorted()
        .map(async (name) => [name, await readFile(join(folder, name), "utf8")] as const),
    ),
  );
}

type Expected = Readonly<{ exit: ExitReason; says: string | RegExp; mend: string | RegExp }>;

/** The last two lines are the error and its mend, and nothing else is shown that should not be. */
function expectMend({ code, stdout, stderr }: Ended, { exit, says, mend }: Expected): void {
  const [error = "", hint = "", end] = stderr.split("\n").slice(-3);
  expect([code, stdout, end], stderr).toEqual([EXIT_CODES[exit], "", ""]);
  expect(error).toMatch(/^error: .{20,}/);
  expect(hint).toMatch(/^hint: .{20,}/);
  expect(error).toMatch(says);
  expect(hint).toMatch(mend);
  expect(stderr).not.toMatch(/^ +at |\bbug\b|undefined|\[object/m);
  expect(stderr).not.toMatch(new RegExp(`${KEY}|${PASSWORD}`));
}

/** A port at which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

describe("a setting that cannot be right", () => {
  const cases: readonly (readonly [string, string[], Change, Expected])[] = [
    [
      "no key",
      ["run"],
      { GEMINI_API_KEY: undefined },
      { exit: "usage", says: "No Gemini key is set", mend: "set GEMINI_API_KEY" },
    ],
    [
      "two keys that differ",
      ["submit"],
      { GOOGLE_API_KEY: "another" },
      { exit: "usage", says: "both set and differ", mend: "`unset GOOGLE_API_KEY`" },
    ],
    [
      "a key that was never filled in",
      ["submit"],
      { GEMINI_API_KEY: "YOUR_API_KEY" },
      { exit: "usage", says: "GEMINI_API_KEY still holds a placeholder", mend: "aistudio" },
    ],
    [
      "no database",
      ["export"],
      { DATABASE_URL: undefined },
      { exit: "usage", says: "none of DATABASE_URL", mend: "Set DATABASE_URL=postgresql://" },
    ],
    [
      "an address that was never filled in",
      ["export"],
      { DATABASE_URL: "postgresql://postgres:[YOUR-PASSWORD]@db.example.com:5432/postgres" },
      { exit: "usage", says: "DATABASE_URL still holds a placeholder", mend: "Set DATABASE_URL=" },
    ],
    [
      "a web address as the database's",
      ["export"],
      { DATABASE_URL: "https://project.example.com" },
      { exit: "usage", says: "DATABASE_URL is a web address", mend: "postgresql://" },
    ],
    [
      "an address of Gemini that is none",
      ["submit"],
      { GOOGLE_GEMINI_BASE_URL: "localhost:8484" },
      { exit: "usage", says: "GOOGLE_GEMINI_BASE_URL is no http", mend: "unset it" },
    ],
    [
      "an unknown option",
      ["run", "--tabel", "questions"],
      {},
      { exit: "usage", says: "There is no option --tabel", mend: "Did you mean --table?" },
    ],
    [
      "an unknown command",
      ["exprot"],
      {},
      { exit: "usage", says: "There is no command exprot", mend: "Did you mean `vecfill export`?" },
    ],
    [
      "a text recipe with a lone brace",
      ["export", "--text", "{question_text"],
      {},
      { exit: "usage", says: "lone brace at position 1", mend: "--text" },
    ],
    [
      "a condition that does not work",
      ["export", "--where", "nope = 1"],
      {},
      { exit: "usage", says: '--where does not work: column "nope"', mend: "Correct --where" },
    ],
  ];

  it.each(cases)("%s", async (_, [command = "", ...args], change, expected) => {
    const folder = await jobsDir();
    // an unknown command has no options
    const where = command === "exprot" ? [] : ["--jobs-dir", folder];
    expectMend(await vecfill([command, ...args, ...where], change), expected);
    const written = [...(await contentOf(folder)).keys()];
    expect(written.filter((name) => name !== "manifest.ndjson")).toEqual([]);
  });
});

describe("a table that cannot be filled", () => {
  const cases: readonly (readonly [string, string[], string | RegExp, string | RegExp])[] = [
    ["unknown table", ["--table", "question"], "no table public.question", "public.questions"],
    ["unknown schema", ["--schema", "app"], "no table app.questions", "public.questions"],
    ["unknown text column", ["--text", "body"], "no column body", /--text.*question_text \(text\)/],
    [
      "unknown column in a recipe",
      ["--text", "{question_text} {options}"],
      "no column options",
      "--text",
    ],
    [
      "unknown vector column",
      ["--embedding", "vec"],
      "no column vec",
      'add column "vec" vector(768);',
    ],
    ["unknown id column", ["--id", "uid"], "no column uid", /--id.*id \(bigint\)/],
    ["another width", ["--table", "wide"], "has 1536 dimensions, and 768", "--dimensions 1536"],
    [
      "no vector",
      ["--table", "plain"],
      "of type text, not a vector",
      "add column <name> vector(768);",
    ],
    ["an id that is not unique", ["--table", "doubled"], "is not unique", "create unique index"],
    ["an id that cannot be one", ["--table", "odd"], "of type boolean", "integer, uuid or text"],
  ];

  it.each(cases)("%s", async (_, args, says, mend) => {
    const folder = await jobsDir();
    const ended = await vecfill(["export", ...args, "--jobs-dir", folder]);
    expectMend(ended, { exit: "fatal", says, mend });
    expect([...(await contentOf(folder)).keys()]).toEqual(["manifest.ndjson"]);
  });

  it("a database without pgvector", async () => {
    const bare = { DATABASE_URL: `pglite:${join(home, "bare")}` };
    const ended = await vecfill(["export", "--jobs-dir", await jobsDir()], bare);
    expectMend(ended, { exit: "fatal", says: "pgvector", mend: "create extension vector;" });
  });
});

describe("nobody there", () => {
  it("a database that cannot be reached, by its address without the password", async () => {
    const port = await closedPort();
    const DATABASE_URL = `postgres://app:${PASSWORD}@127.0.0.1:${port}/app`;
    const ended = await vecfill(["export", "--jobs-dir", await jobsDir()], { DATABASE_URL });
    expectMend(ended, {
      exit: "fatal",
      says: `127.0.0.1:${port}/app cannot be reached: connect ECONNREFUSED`,
      mend: "Check host and port in DATABASE_URL",
    });
  });

  it("a Gemini that cannot be reached: the job waits", IN_FULL, async () => {
    const folder = await exported();
    const before = await contentOf(folder);
    const address = `http://127.0.0.1:${await closedPort()}`;
    const ended = await vecfill(["submit", "--jobs-dir", folder], {
      GOOGLE_GEMINI_BASE_URL: address,
    });
    expectMend(ended, {
      exit: "fatal",
      says: `Reading the list of batches failed: no connection to ${address}`,
      mend: "GOOGLE_GEMINI_BASE_URL",
    });
    expect(await contentOf(folder)).toEqual(before);
  });

  it("a Gemini that refuses the key: nothing is exported; without a key, export works", async () => {
    const folder = await jobsDir();
    const wrong = { GEMINI_API_KEY: "wrong-key" };
    const ended = await vecfill(["run", "--limit", "1", "--quiet", "--jobs-dir", folder], wrong);
    expectMend(ended, { exit: "fatal", says: "API key not valid", mend: "Check GEMINI_API_KEY" });
    const exporting = ["export", "--limit", "1", "--jobs-dir", folder];
    expect((await vecfill(exporting, wrong)).code).toBe(EXIT_CODES.fatal);
    expect(await states(folder)).toEqual([]);
    expect((await vecfill(exporting, { GEMINI_API_KEY: "" })).code).toBe(EXIT_CODES.done);
    expect(await states(folder)).toEqual(["0001 exported"]);
    expect((await vecfill(["submit", "--jobs-dir", folder])).code).toBe(EXIT_CODES.done);
  });
});

/** A jobs folder with one exported job of all rows. */
async function exported(): Promise<string> {
  const folder = await jobsDir();
  expect((await vecfill(["export", "--jobs-dir", folder])).code).toBe(EXIT_CODES.done);
  return folder;
}

/** The same, its batch ended with results at Gemini. */
async function pollEnded(): Promise<string> {
  const folder = await exported();
  await vecfill(["submit", "--jobs-dir", folder]);
  expect((await vecfill(["poll", "--jobs-dir", folder])).code).toBe(EXIT_CODES.done);
  return folder;
}

async function states(folder: string): Promise<string[]> {
  const { stdout } = await vecfill(["jobs", "--json", "--jobs-dir", folder]);
  const listed: { jobs: { id: string; state: string }[] } = JSON.parse(stdout);
  return listed.jobs.map(({ id, state }) => `${id} ${state}`);
}

/** `nobody`, for a process that may not write everywhere although the tests may. */
const NOBODY = 65_534;
const IS_ROOT = process.getuid?.() === 0;
const AS_NOBODY = IS_ROOT ? { uid: NOBODY, gid: NOBODY } : {};
/** Not in a folder of root's alone, such as /root. */
const AS_OTHER_USER = onlyWhere(
  spawnSync(process.execPath, ["-e", "fs.accessSync(process.argv[1])", CLI], AS_NOBODY).status ===
    0,
  "take a checkout that every user may read, where root runs them",
);

describe("a jobs folder that cannot be used", () => {
  it.each(["export", "jobs"])("a file in its place, for %s", async (command) => {
    const path = join(home, `file-${command}`);
    await writeFile(path, "mine");
    for (const folder of [path, join(path, "jobs")]) {
      expectMend(await vecfill([command, "--jobs-dir", folder]), {
        exit: "fatal",
        says: /a file stands|not a directory/,
        mend: "--jobs-dir",
      });
    }
    expect(await readFile(path, "utf8")).toBe("mine");
  });

  it("one that this user may not write in", AS_OTHER_USER, async () => {
    const folder = await exported();
    const before = await contentOf(folder);
    spawnSync("chmod", IS_ROOT ? ["755", home, folder] : ["500", folder]);
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [CLI, "submit", "--jobs-dir", folder],
      { env: { ...right, HOME: home }, encoding: "utf8", ...AS_NOBODY },
    );
    spawnSync("chmod", ["700", folder]);
    expectMend(
      { code: status, stdout, stderr },
      { exit: "fatal", says: /may not write there/, mend: "--jobs-dir" },
    );
    expect(await contentOf(folder)).toEqual(before);
  });

  it("one that another process holds, which is named", async () => {
    const folder = await exported();
    const holder = await openManifest(folder, systemClock);
    const refused = await vecfill(["submit", "--jobs-dir", folder]);
    expectMend(refused, {
      exit: "locked",
      says: `in use by process ${process.pid} on `,
      mend: `\`vecfill jobs --jobs-dir ${folder}\``,
    });
    expect(await states(folder)).toEqual(["0001 exported"]);
    await holder.close();
  });
});

describe("a disk without room", () => {
  /** `ulimit -f`, as good as a full disk for whoever writes: in blocks of 512 or 1024 bytes. */
  it("for the results: nothing is imported, and the same command goes on when there is", async () => {
    const folder = await pollEnded();
    const line = `ulimit -f 4; exec "$0" "$@"`;
    const command = [process.execPath, CLI, "import", "--quiet", "--jobs-dir", folder];
    const { ended: end } = startProgram("sh", ["-c", line, ...command], { env: right });
    expectMend(await end, {
      exit: "fatal",
      says: "0001.results.jsonl.incoming.part: it has reached the largest size",
      mend: "--jobs-dir",
    });
    expect(await states(folder)).toEqual(["0001 succeeded"]);
    expect((await contentOf(folder)).has("0001.results.jsonl")).toBe(false);
  });

  it("because it is read-only: the reason is told, not what the system made of it", async ({
    skip,
  }) => {
    const folder = join(home, "read-only");
    await mkdir(folder);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", folder]);
    skip(mounted.status !== 0, "a read-only disk takes the right to mount one");
    try {
      const refused = await vecfill(["export", "--jobs-dir", join(folder, "jobs")]);
      expectMend(refused, { exit: "fatal", says: "file system is read-only", mend: "--jobs-dir" });
      const itself = await vecfill(["export", "--jobs-dir", folder]);
      expectMend(itself, { exit: "fatal", says: "file system is read-only", mend: "--jobs-dir" });
    } finally {
      spawnSync("umount", [folder]);
    }
  });

  it("for the manifest: what it held is whole, and the same command goes on when there is", async ({
    skip,
  }) => {
    const folder = join(home, "full");
    await mkdir(folder);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]);
    skip(mounted.status !== 0, "a small disk takes the right to mount one");
    try {
      await vecfill(["export", "--jobs-dir", folder]);
      const before = await readFile(join(folder, "manifest.ndjson"), "utf8");
      await writeFile(join(folder, "ballast"), Buffer.alloc(64 * 1024)).catch(() => {});
      const refused = await vecfill(["submit", "--quiet", "--jobs-dir", folder]);
      expectMend(refused, { exit: "fatal", says: /ENOSPC|disk is full/, mend: /room|disk space/ });
      expect(await readFile(join(folder, "manifest.ndjson"), "utf8")).toBe(before);
      await rm(join(folder, "ballast"));
      expect((await vecfill(["submit", "--jobs-dir", folder])).code).toBe(EXIT_CODES.done);
    } finally {
      spawnSync("umount", [folder]);
    }
  });
});

const SEAL = "it is not what was written after the line before it";
const linesOf = (text: string) => text.split("\n");

async function withManifest(change: (lines: string[]) => string[]): Promise<string> {
  const folder = await exported();
  const path = join(folder, "manifest.ndjson");
  await writeFile(path, change((await readFile(path, "utf8")).split("\n")).join("\n"));
  return folder;
}

describe("a file that is not as it was", () => {
  const damages: readonly (readonly [string, (lines: string[]) => string[], string | RegExp])[] = [
    ["garbage", ([first = "", ...rest]) => [first, "{oops", ...rest], `damaged in line 2: ${SEAL}`],
    [
      "another value",
      (lines) => lines.map((line) => line.replace('"requests":3', '"requests":2')),
      `damaged in line 3: ${SEAL}`,
    ],
    [
      "a value that no vecfill writes",
      (lines) => linesOf(resealed(lines.join("\n").replace('"requests":3', '"requests":"3"'))),
      "damaged in line 3: requests: Invalid input: expected number",
    ],
    [
      "a line that is missing",
      ([first = "", _target, ...rest]) => [first, ...rest],
      `damaged in line 2: ${SEAL}`,
    ],
  ];

  it.each(damages)("a manifest damaged in the middle: %s", async (_, damage, says) => {
    const folder = await withManifest(damage);
    const before = await contentOf(folder);
    for (const command of ["submit", "jobs"]) {
      expectMend(await vecfill([command, "--jobs-dir", folder]), {
        exit: "fatal",
        says,
        mend: /from a backup, or mend line \d by hand/,
      });
    }
    expect(await contentOf(folder)).toEqual(before);
  });

  it("a manifest of a newer version", async () => {
    const folder = await withManifest((lines) =>
      lines.map((line) => line.replace('"version":2', '"version":4')),
    );
    const before = await contentOf(folder);
    expectMend(await vecfill(["run", "--jobs-dir", folder]), {
      exit: "fatal",
      says: "has format version 4; this vecfill knows version 2",
      mend: "npm install --global vecfill@latest",
    });
    expect(await contentOf(folder)).toEqual(before);
  });

  it.each([
    ["missing", (path: string) => rm(path), "is missing"],
    ["changed", (path: string) => appendFile(path, "\n"), "has been changed"],
  ])("a request file that is %s, before it is submitted", async (_, spoil, says) => {
    const folder = await exported();
    await spoil(join(folder, "0001.requests.jsonl"));
    const before = await contentOf(folder);
    for (const command of ["submit", "export", "run"]) {
      expectMend(await vecfill([command, "--jobs-dir", folder]), {
        exit: "fatal",
        says,
        mend: `\`vecfill cancel 0001 --jobs-dir ${folder}\``,
      });
    }
    expect(await contentOf(folder)).toEqual(before);
    await vecfill(["cancel", "0001", "--jobs-dir", folder]);
    const { stdout } = await vecfill(["export", "--json", "--jobs-dir", folder]);
    expect(JSON.parse(stdout)).toMatchObject({ exported: ROWS, jobs: ["0002"] });
  });

  it("a request file that was changed when its results are imported", async () => {
    const folder = await pollEnded();
    const path = join(folder, "0001.requests.jsonl");
    const backup = await readFile(path);
    await appendFile(path, "\n");
    const refused = await vecfill(["import", "--quiet", "--jobs-dir", folder]);
    expectMend(refused, { exit: "fatal", says: "changed", mend: "Restore it from a backup" });
    expect(await states(folder)).toEqual(["0001 succeeded"]);
    await writeFile(path, backup);
    expect((await vecfill(["import", "--dry-run", "--jobs-dir", folder])).stdout).toContain("0001");
  });

  it("a results file that was changed is fetched again", async () => {
    const folder = await pollEnded();
    const unreachable = `postgres://app@127.0.0.1:${await closedPort()}/app`;
    await vecfill(["import", "--jobs-dir", folder], { DATABASE_URL: unreachable });
    const path = join(folder, "0001.results.jsonl");
    const whole = await readFile(path, "utf8");
    await writeFile(path, whole.replaceAll("0.0", "0.5"));
    await vecfill(["import", "--jobs-dir", folder], { DATABASE_URL: unreachable });
    expect(await readFile(path, "utf8")).toBe(whole);
    expect(await states(folder)).toEqual(["0001 downloaded"]);
  });
});

describe("a name that is none", () => {
  it.each([[["jobs", "9999"]], [["cancel", "9999"]]])("%j", async (args) => {
    const folder = await exported();
    expectMend(await vecfill([...args, "--jobs-dir", folder]), {
      exit: "usage",
      says: "There is no job 9999; there is 0001",
      mend: `\`vecfill jobs --jobs-dir ${folder}\` lists them`,
    });
  });

  it("a failed file", async () => {
    const refused = await vecfill(["resubmit", "nope.jsonl", "--jobs-dir", await jobsDir()]);
    expectMend(refused, {
      exit: "usage",
      says: "There is no file nope.jsonl",
      mend: "vecfill jobs",
    });
  });
});

it("after all of that: the table is as it was, and one run fills it", async () => {
  const count = "SELECT count(*)::text AS rows FROM questions WHERE embedding IS NULL";
  const url = right["DATABASE_URL"] ?? "";
  expect(await inDatabase(url, [count])).toEqual([{ rows: String(ROWS) }]);
  const folder = await jobsDir();
  const { code, stdout } = await vecfill(["run", "--json", "--jobs-dir", folder]);
  expect(code).toBe(EXIT_CODES.done);
  expect(JSON.parse(stdout)).toMatchObject({ written: ROWS, remaining: 0 });
  await access(join(folder, "0001.results.jsonl"));
});

it("a failed file with a broken line is refused with its number, and taken once it is mended", async () => {
  const url = right["DATABASE_URL"] ?? "";
  await inDatabase(url, ["INSERT INTO questions VALUES (101, 'fails'), (102, 'fails too')"]);
  const folder = await jobsDir();
  emulator.setFaults("permanent=1");
  const failed = await vecfill(["run", "--json", "--poll-interval", "0.05", "--jobs-dir", folder]);
  emulator.setFaults("");
  expect(failed.code).toBe(EXIT_CODES.rowsFailed);
  const path = join(folder, "0001.failed.jsonl");
  const whole = await readFile(path, "utf8");
  await appendFile(path, "{broken\n");
  const before = await contentOf(folder);
  for (const command of ["resubmit", "export", "run"]) {
    expectMend(await vecfill([command, "--jobs-dir", folder]), {
      exit: "usage",
      says: `Line 3 of ${path} is no failed line: not valid JSON`,
      mend: "Mend or delete that line",
    });
  }
  expect(await contentOf(folder)).toEqual(before);
  await writeFile(path, whole);
  const { stdout } = await vecfill(["resubmit", "--json", "--jobs-dir", folder]);
  expect(JSON.parse(stdout)).toMatchObject({ jobs: ["0002"], requests: 2 });
});
