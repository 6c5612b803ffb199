// I have a database and type `vecfill init`: does it find what I mean, write that down, and can I see what holds afterwards?
import { EventEmitter } from "node:events";
import { lstat, mkdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { configSchema } from "../../scripts/config-schema.ts";
import { run } from "../../src/cli.ts";
import { EXIT_CODES } from "../../src/errors.ts";
import { SCHEMA_FILE } from "../../src/settings/config-file.ts";
import { loadConfiguration } from "../../src/settings/config.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { runHere } from "../command-line.ts";
import { keepOpen } from "../embedded/kept.ts";
import { temporaryFolder } from "../manifest/sample.ts";

let home: string;
let folders = 0;
const { done, usage } = EXIT_CODES;

beforeAll(async () => {
  home = await temporaryFolder();
  await sql(
    "CREATE EXTENSION vector",
    "CREATE TABLE articles (slug text PRIMARY KEY, title text, body text, vec vector(128))",
    "CREATE TABLE notes (id uuid PRIMARY KEY, note text)",
    "CREATE TABLE logs (at timestamptz, line text)",
  );
});
afterAll(() => rm(home, { recursive: true, force: true }));

async function sql(...statements: readonly string[]): Promise<void> {
  const database = await openDatabase({ url: keepOpen(join(home, "database")) });
  for (const statement of statements) await database.query(statement);
  await database.close();
}

async function newFolder(): Promise<string> {
  folders += 1;
  const folder = join(home, `folder-${folders}`);
  await mkdir(folder);
  return folder;
}

const env = () => ({ DATABASE_URL: keepOpen(join(home, "database")) });

function init(folder: string, ...args: readonly string[]) {
  return runHere(["init", ...args], { env: env(), folder });
}

async function written(folder: string, file = "vecfill.config.json"): Promise<string> {
  return readFile(join(folder, file), "utf8");
}

const terminal = () => Object.assign(new PassThrough({ encoding: "utf8" }), { isTTY: true });

/** On a terminal, with these lines typed. */
async function initTyping(folder: string, lines: readonly string[], keys: object = {}) {
  const [keyboard, stdout, stderr] = [
    terminal(),
    new PassThrough({ encoding: "utf8" }),
    terminal(),
  ];
  const stdin = Object.assign(keyboard, keys);
  const left = [...lines];
  const screen: string[] = [];
  stderr.on("data", (text: string) => {
    screen.push(text);
    if (/(?:\d: |\[y\/N\] |then Enter\)\n)$/.test(text)) stdin.write(`${left.shift() ?? ""}\n`);
  });
  const world = { signals: new EventEmitter(), leave: () => {} };
  const code = await run(["init"], {
    stdin,
    stdout,
    stderr,
    env: { ...env(), TERM: "setRawMode" in keys ? "xterm" : "dumb" },
    folder,
    ...world,
  });
  return { code, stdout: String(stdout.read() ?? ""), screen: screen.join("") };
}

test("the only table with a vector column is taken, with its columns and its width", async () => {
  const folder = await newFolder();
  const { code, stdout } = await init(folder);
  expect([code, stdout]).toEqual([done, expect.stringMatching(/Wrote vecfill\.config\.json/)]);
  expect(JSON.parse(await written(folder))).toMatchObject({
    schema: "public",
    table: "articles",
    id: "slug",
    text: "title",
    embedding: "vec",
    dimensions: 128,
  });
  expect(await written(folder)).not.toContain("$schema");
  expect(stdout).toContain("The table: public.articles, key slug, text title, vectors in vec.");
  expect(await written(folder, ".gitignore")).toBe("/jobs/\n.env.local\n");
  // what the doctor says of it stands below
  expect(stdout).toMatch(
    /^ok +columns +public\.articles: key slug \(text\), text from title, vec/m,
  );
  expect((await init(folder)).stdout).toContain("vecfill.config.json is as it should be");
});

test("what is said is kept, and the rest found; a missing column is offered", async () => {
  const folder = await newFolder();
  await writeFile(join(folder, ".gitignore"), "node_modules\njobs");
  const { stdout, stderr } = await init(folder, "--table", "notes", "--embedding", "v");
  // the config file has the rest
  expect(stderr).toMatch(/^next: vecfill doctor$/m);
  expect(JSON.parse(await written(folder))).toMatchObject({
    table: "notes",
    text: "note",
    embedding: "v",
  });
  expect(stdout).toContain('alter table "public"."notes" add column "v" vector(768);');
  expect(await written(folder, ".gitignore")).toBe("node_modules\njobs\n.env.local\n");
  await init(folder, "--apply");
  expect((await init(folder)).stdout).toMatch(/^ok +columns +public\.notes/m);
  await sql("ALTER TABLE notes DROP COLUMN v");
});

test("what it runs names one column of one table, whatever their names", async () => {
  await sql('CREATE TABLE "Question" ("Id" bigint PRIMARY KEY, "Text" text)');
  const folder = await newFolder();
  const embedding = 'v" vector(8); drop table logs; --';
  const content = JSON.stringify({ table: "Question", embedding, dimensions: 128 });
  await writeFile(join(folder, "vecfill.config.json"), content);
  const { code, stdout } = await init(folder, "--apply");
  expect([code, stdout]).toEqual([done, expect.stringMatching(/^ok +columns +public\.Question/m)]);
  await sql('DROP TABLE "Question"', "SELECT FROM logs");
});

test("on a terminal it asks which, and runs what it lacks when told to", async () => {
  const folder = await newFolder();
  const { code, stdout } = await initTyping(folder, ["nine", "2", "y"]);
  expect([code, stdout]).toEqual([done, expect.stringMatching(/^ok +columns +public\.notes/m)]);
  expect(JSON.parse(await written(folder))).toMatchObject({
    table: "notes",
    embedding: "embedding",
  });
  await sql("ALTER TABLE notes DROP COLUMN embedding");
});

test.each([
  ["the arrow keys", "\u001B[B\u001B[A\u001B[B"],
  ["its number", "12"],
])(
  "on a terminal that can be drawn over %s choose, and it is given back as it was",
  async (_keys, typed) => {
    const folder = await newFolder();
    const raw: boolean[] = [];
    const keys = { setRawMode: (isRaw: boolean) => raw.push(isRaw) };
    const { code, screen } = await initTyping(folder, [typed, "n"], keys);
    expect(code, screen).toBe(done);
    expect(screen).toMatch(/^> 2\) public\.notes: text in note; no vector column yet$/m);
    expect(JSON.parse(await written(folder))).toMatchObject({ table: "notes" });
    expect(raw).toEqual([true, false]);
  },
);

test("without an answer of the database the settings are written as they are, with a warning", async () => {
  const folder = await newFolder();
  const away = { DATABASE_URL: "postgres://me@127.0.0.1:1/db" };
  const { stderr } = await runHere(["init", "--table", "articles"], { env: away, folder });
  expect(stderr).toMatch(/^warning: .*cannot be reached/m);
  expect(JSON.parse(await written(folder))).toMatchObject({
    table: "articles",
    text: "question_text",
  });
});

test("a .gitignore keeps its mode, and stays the link that it is", async () => {
  const folder = await newFolder();
  const [link, file] = [join(folder, ".gitignore"), join(folder, "ignored")];
  await writeFile(file, "node_modules\n", { mode: 0o644 });
  await symlink("ignored", link);
  await init(folder, "--table", "articles");
  expect((await lstat(link)).isSymbolicLink()).toBe(true);
  expect(await readFile(file, "utf8")).toBe("node_modules\n/jobs/\n.env.local\n");
  expect((await stat(file)).mode & 0o777).toBe(0o644);
});

test("an editor is told of the schema where the package is installed", async () => {
  const folder = await newFolder();
  await mkdir(join(folder, "node_modules", "vecfill"), { recursive: true });
  await mkdir(join(folder, "settings"));
  await writeFile(join(folder, SCHEMA_FILE), "{}");
  const named = ["--table", "articles", "--config", "settings/vecfill.json"];
  await writeFile(join(folder, "settings", "vecfill.json"), "{}");
  await init(folder, ...named);
  const { $schema } = JSON.parse(await written(folder, "settings/vecfill.json"));
  expect(await readFile(join(folder, "settings", $schema), "utf8")).toBe("{}");
});

test("nothing is made where the rest is refused", async () => {
  const folder = await newFolder();
  const project = { SUPABASE_URL: "https://p.supabase.co", SUPABASE_SECRET_KEY: "sb_secret_x" };
  const args = ["init", "--apply", "--table", "notes", "--embedding", "w"];
  const { code, stderr } = await runHere(args, { env: { ...env(), ...project }, folder });
  expect([code, stderr]).toEqual([usage, expect.stringMatching(/is no Supabase project's/)]);
  const { stdout } = await init(folder, "--table", "notes", "--embedding", "w", "--dry-run");
  expect(stdout).toContain('add column "w"');
});

test("of several none is guessed", async () => {
  await sql("CREATE TABLE more (id bigint PRIMARY KEY, t text, e vector(128))");
  const { code, stderr } = await init(await newFolder(), "--yes");
  expect([code, stderr]).toEqual([
    usage,
    expect.stringMatching(/There are 3 tables.+\nhint: Give --table: public\.\w+, /),
  ]);
  await sql("DROP TABLE more");
});

test("another table than the config file's gets its own columns, and the change is told", async () => {
  const folder = await newFolder();
  await writeFile(
    join(folder, "vecfill.config.json"),
    JSON.stringify({ table: "questions", id: "id", text: "question_text", embedding: "embedding" }),
  );
  expect(await init(folder, "--table", "articles", "--yes")).toMatchObject({
    code: done,
    stdout: expect.stringMatching(
      /^Wrote vecfill\.config\.json\.\nBefore, it named the table questions\.$/m,
    ),
  });
  expect(JSON.parse(await written(folder))).toMatchObject({
    table: "articles",
    id: "slug",
    text: "title",
    embedding: "vec",
    dimensions: 128,
  });
});

test("the recipe of the file's own table stays, also where the table is named again", async () => {
  const folder = await newFolder();
  const own = { table: "articles", id: "slug", text: "{title}: {body}", embedding: "vec" };
  await writeFile(join(folder, "vecfill.config.json"), JSON.stringify(own));
  for (const table of ["articles", "public.articles"]) {
    const ended = await init(folder, "--table", table, "--yes");
    expect(ended, ended.stderr).toMatchObject({ code: done });
    expect(JSON.parse(await written(folder))).toMatchObject(own);
  }
});

test("a table that is not there, or cannot be filled, is named, and nothing is written", async () => {
  const folder = await newFolder();
  expect(await init(folder, "--table", "artikles", "--yes")).toMatchObject({
    code: EXIT_CODES.fatal,
    stderr: expect.stringMatching(/did you mean[^\n]*articles/i),
  });
  expect(
    await init(folder, "--table", "articles", "--embedding", "vecc", "--dry-run"),
  ).toMatchObject({
    stderr: expect.stringMatching(/no column vecc yet\.\nhint: Did you mean --embedding vec\?/),
  });
  expect(await init(folder, "--table", "logs", "--yes")).toMatchObject({
    code: usage,
    stderr: expect.stringMatching(/^error: public\.logs has no key of one column/m),
  });
  await expect(written(folder)).rejects.toThrow("ENOENT");
});

test("a target of several is written under its name", async () => {
  const folder = await newFolder();
  await init(folder, "--target", "articles", "--table", "articles");
  await init(folder, "--target", "notes", "--table", "notes");
  const { targets, table } = JSON.parse(await written(folder));
  expect(table).toBeUndefined();
  expect(targets).toMatchObject([
    { name: "articles", table: "articles", id: "slug" },
    { name: "notes", table: "notes", text: "note" },
  ]);
  const { settings } = await loadConfiguration({ flags: { target: "notes" }, env: {}, folder });
  expect(settings).toMatchObject({ table: "notes", text: "note", target: "notes" });
});

test("a new target is of the table of its name, and never of the one beside the targets", async () => {
  await sql("CREATE TABLE more (id bigint PRIMARY KEY, t text, e vector(128))");
  const folder = await newFolder();
  const path = join(folder, "vecfill.config.json");
  await writeFile(path, JSON.stringify({ table: "articles", text: "body" }));
  expect(await init(folder, "--target", "others", "--yes")).toMatchObject({
    code: usage,
    stderr: expect.stringMatching(/nobody to ask which[^]*Give --table/),
  });
  expect(await init(folder, "--target", "more", "--yes")).toMatchObject({ code: done });
  expect(JSON.parse(await written(folder)).targets).toEqual([
    expect.objectContaining({ name: "more", table: "more", text: "t", embedding: "e" }),
  ]);
  await sql("DROP TABLE more");
});

test("without a database it says that it has seen no table, and doctor counts the warnings told above", async () => {
  const folder = await newFolder();
  await writeFile(join(folder, ".env.local"), "GEMINI_API_KEY=a-secret-key\n", { mode: 0o644 });
  const { stdout, stderr } = await runHere(["init"], { env: {}, folder });
  expect(stdout).toContain("The table by these settings, which was not seen: public.questions");
  expect(stdout).toContain("No SQL functions are needed unless SUPABASE_URL is set");
  expect(stderr).toMatch(/^warning: .*\.env\.local/m);
  expect(stdout).toMatch(/failures?, 1 warning\.$/m);
});

test("config show tells every setting, its value and its place, and no secret", async () => {
  const folder = await newFolder();
  await init(folder);
  await writeFile(join(folder, ".env.local"), "GEMINI_API_KEY=a-secret-key\n", { mode: 0o600 });
  const { stdout } = await runHere(["config", "show"], {
    env: { ...env(), VECFILL_TIER: "2" },
    folder,
  });
  expect(stdout).toMatch(/^table +articles +table in vecfill\.config\.json$/m);
  expect(stdout).toMatch(/^tier +2 +VECFILL_TIER$/m);
  expect(stdout).toMatch(/^quotaWait +1 min +default$/m);
  expect(stdout).toMatch(/^GEMINI_API_KEY +set +GEMINI_API_KEY in \.env\.local$/m);
  expect(stdout).toMatch(/^GOOGLE_API_KEY +not set$/m);
  expect(stdout).not.toContain("a-secret-key");
  expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThan(80);
});

test("config show of several targets tells for each where its own values are from", async () => {
  const folder = await newFolder();
  const targets = [
    { name: "one", table: "one" },
    { name: "two", text: "answer" },
  ];
  await writeFile(join(folder, "vecfill.config.json"), JSON.stringify({ targets }));
  const { stdout } = await runHere(["config", "show", "--target", "all"], { env: env(), folder });
  expect(stdout).toMatch(/^text +answer \(text of target two in vecfill\.config\.json\)$/m);
});

test("config show tells that --table names the schema, too", async () => {
  const folder = await newFolder();
  const password = { ...env(), PGPASSWORD: "p" };
  const args = ["config", "show", "--table", "app.notes"];
  const { stdout } = await runHere(args, { env: password, folder });
  expect(stdout).toMatch(/^schema +app +--table$/m);
  expect(stdout).toMatch(/^PGPASSWORD +set +PGPASSWORD$/m);
});

test("the schema of the config file knows what the parser takes, and no more", async () => {
  expect(await readFile(new URL("../../vecfill.config.schema.json", import.meta.url), "utf8")).toBe(
    configSchema(),
  );
  const { properties } = JSON.parse(configSchema());
  const folder = await newFolder();
  const { $schema: _, targets, ...rest } = properties;
  const own = targets.items.properties;
  await writeFile(
    join(folder, "vecfill.config.json"),
    JSON.stringify({
      $schema: "x",
      ...values(rest),
      target: "one",
      targets: [{ ...values(own), name: "one" }],
    }),
  );
  const { origins } = await loadConfiguration({ flags: {}, env: {}, folder });
  const fromFile = Object.values(origins).filter(({ source }) => source === "file");
  expect(fromFile.length).toBe(Object.keys(rest).length);
});

const sample = (property: { type?: unknown; enum?: readonly unknown[] }, key: string) =>
  property.enum?.[0] ??
  (property.type === "boolean"
    ? false
    : (NUMBERS[key] ?? (property.type === "string" ? "text" : 10)));

const values = (from: object) =>
  Object.fromEntries(Object.entries(from).map(([key, property]) => [key, sample(property, key)]));

/** Where ten is out of the range. */
const NUMBERS: Readonly<Partial<Record<string, unknown>>> = {
  dimensions: 768,
  maxJobBytes: 10_000,
  taskType: "RETRIEVAL_DOCUMENT",
  envFile: "x",
};

test("a database without pgvector is told what to run first, and then the column", async () => {
  const url = keepOpen(join(home, "without pgvector"));
  const database = await openDatabase({ url });
  await database.query("CREATE TABLE questions (id bigint PRIMARY KEY, question_text text)");
  await database.close();
  const { stdout } = await runHere(["init"], {
    env: { DATABASE_URL: url },
    folder: await newFolder(),
  });
  expect(stdout).toMatch(/create extension if not exists vector;[^]*add column "embedding" vector/);
});
