// Does what `npm pack` makes work for somebody who has no source: with its own dependencies and no
// others, by `npx` from any folder, with a README whose links lead somewhere?
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { publint } from "publint";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startEmulator, type Emulator } from "../../src/emulator/emulator.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { type Ended, start, startProgram } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PACK_LIMIT_MS = 120_000;
const run = promisify(execFile);

let folder: string;
let installed: string;

/** As `npm install <file>` lays it out, but for the network: what it depends on is linked. */
beforeAll(async () => {
  folder = await temporaryFolder();
  installed = join(folder, "node_modules", "vecfill");
  await mkdir(installed, { recursive: true });
  await run("npm", ["pack", "--pack-destination", folder], { cwd: ROOT });
  const [archive] = (await readdir(folder)).filter((name) => name.endsWith(".tgz"));
  await run("tar", ["xzf", join(folder, archive ?? ""), "-C", installed, "--strip-components=1"]);
  for (const name of await ownDependencies()) await link(name);
}, PACK_LIMIT_MS);
afterAll(() => rm(folder, { recursive: true, force: true }));

async function ownDependencies(): Promise<string[]> {
  const list = await run("npm", ["ls", "--omit=dev", "--all", "--parseable"], { cwd: ROOT });
  const paths = list.stdout.split("\n").filter((path) => path.startsWith(`${ROOT}node_modules/`));
  const names = paths.map((path) => relative(join(ROOT, "node_modules"), path));
  return [...new Set(names.filter((name) => !name.includes("node_modules")))];
}

async function link(name: string): Promise<void> {
  const place = join(folder, "node_modules", name);
  await mkdir(dirname(place), { recursive: true });
  await symlink(join(ROOT, "node_modules", name), place);
}

/** The command of the package, from a folder that is not the source. */
function vecfill(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return startProgram(join(installed, "bin", "vecfill.js"), args, { cwd: folder, env }).ended;
}

/** What the compiler says of a script that uses the package; empty where nothing is wrong. */
async function typeErrors(script: string): Promise<string> {
  const compiler = join(ROOT, "node_modules", ".bin", "tsc");
  const flags = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2024"];
  const types = ["--types", "node", "--typeRoots", join(ROOT, "node_modules", "@types")];
  const checking = run(compiler, [...flags, ...types, "--ignoreConfig", script], { cwd: folder });
  return checking.then(
    () => "",
    (error: unknown) => String(Object(error).stdout),
  );
}

function databaseUrl(): string {
  return `pglite:${join(folder, "database")}`;
}

const TELL_WHAT_IS_LOADED = `
  const names = new Set();
  require("node:module").registerHooks({
    resolve(specifier, context, next) {
      if (/^[@\\w]/.test(specifier)) names.add(specifier);
      return next(specifier, context);
    },
  });
  process.on("exit", () => console.error("LOADED " + [...names].join(" ")));
`;

describe("the package", () => {
  test("holds what it needs and nothing of the tests", async () => {
    const names = await readdir(installed);
    expect(names).toEqual(expect.arrayContaining(["bin", "dist", "README.md", "LICENSE"]));
    expect(names).not.toContain("src");
    expect(names).not.toContain("test");
  });

  test("has nothing that publint finds fault with", async () => {
    const { messages } = await publint({ pkgDir: installed, pack: false, strict: true });
    expect(messages).toEqual([]);
  });

  test("has a README whose links lead to files that are in it", async () => {
    const readme = await readFile(join(installed, "README.md"), "utf8");
    const links = Array.from(
      readme.matchAll(/\]\((?<to>[^)#:]+)(?:#[^)]*)?\)/g),
      (found) => found[1],
    );
    expect(links.length).toBeGreaterThan(4);
    expect(links.filter((to) => !existsSync(join(installed, to ?? "")))).toEqual([]);
  });
});

describe("the command, from a folder without the source", () => {
  test("says its version, and helps", async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
    expect(await vecfill(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
    expect((await vecfill(["run", "--help"])).stdout).toContain("--dry-run");
  });

  test("is found by npx", async () => {
    await mkdir(join(folder, "node_modules", ".bin"), { recursive: true });
    await symlink("../vecfill/bin/vecfill.js", join(folder, "node_modules", ".bin", "vecfill"));
    const { stdout } = await run("npx", ["--no-install", "vecfill", "--version"], { cwd: folder });
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test("gets its own --env-file, which Node would take for itself", async () => {
    const ended = await vecfill(["plan", "--env-file", "no such.env", "--where", "a = '$b'"]);
    const said = expect.stringContaining("The env file no such.env cannot be read");
    expect(ended).toEqual({ code: 2, stdout: "", stderr: said });
    await writeFile(join(folder, "wrong.env"), "VECFILL_LIMIT=odd\n", { mode: 0o600 });
    const { stderr } = await vecfill(["plan", "--env-file=wrong.env"]);
    expect(stderr).toContain("VECFILL_LIMIT in wrong.env is wrong");
  });

  test.each([
    ["--help", []],
    // the database is asked first: nobody is there
    ["plan", ["pg"]],
  ])("loads no client that %s does not need", async (args, needed) => {
    const hook = join(folder, "loaded.cjs");
    await writeFile(hook, TELL_WHAT_IS_LOADED);
    const env = { GEMINI_API_KEY: "a-key", DATABASE_URL: "postgres://nobody@127.0.0.1:1/nowhere" };
    const command = join(installed, "bin", "vecfill.js");
    const { stderr } = await start(["-r", hook, command, args], { cwd: folder, env }).ended;
    const loaded = (/^LOADED (?<names>.*)$/m.exec(stderr)?.groups?.["names"] ?? "").split(" ");
    // the hook has told: help alone does without the parser of arguments
    expect(loaded.includes("yargs")).toBe(args !== "--help");
    expect(loaded.length).toBeGreaterThan(0);
    const clients = ["@google/genai", "@supabase/supabase-js", "@electric-sql/pglite", "pg"];
    expect(clients.filter((name) => loaded.includes(name))).toEqual(needed);
  });

  test("names what is not set", async () => {
    const ended = await vecfill(["run"]);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toMatch(/^error: .*(?:GEMINI_API_KEY|DATABASE_URL|SUPABASE_URL)/);
  });

  describe("with a table", () => {
    let emulator: Emulator;
    beforeAll(async () => {
      emulator = await startEmulator({ batchSeconds: 0 });
      const database = await openDatabase({ url: databaseUrl() });
      await database.query("CREATE EXTENSION vector");
      await database.query(
        "CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(768))",
      );
      await database.query("INSERT INTO questions VALUES (1, 'Which planet has rings?')");
      await database.close();
    });
    afterAll(() => emulator.close());

    const env = () => ({
      DATABASE_URL: databaseUrl(),
      GEMINI_API_KEY: "a-key-for-tests",
      GOOGLE_GEMINI_BASE_URL: emulator.url,
    });

    test("fills the column", async () => {
      const ended = await vecfill(["run", "--poll-interval", "0.05", "--json"], env());
      expect(ended.code).toBe(0);
      expect(JSON.parse(ended.stdout)).toMatchObject({ requests: 1, written: 1, remaining: 0 });
    });

    test("runs the script of the page on scripts, whose types are right", async () => {
      const page = await readFile(join(installed, "docs", "library.md"), "utf8");
      const script = /<!-- example -->\s+```ts\n(?<script>.*?)\n```/s.exec(page)?.groups?.[
        "script"
      ];
      await writeFile(join(folder, "fill.ts"), script ?? "");
      await writeFile(join(folder, "package.json"), '{"type": "module"}');
      const database = await openDatabase({ url: databaseUrl() });
      await database.query("INSERT INTO questions VALUES (2, 'Who wrote the Odyssey?')");
      await database.close();

      const ended = await start(["fill.ts"], { cwd: folder, env: env() }).ended;
      expect(ended).toMatchObject({ code: 0, stderr: expect.stringMatching(/^0002: 1 rows$/m) });
      expect(ended.stdout).toContain("1 of 1 rows, 0 failed, 0 still without a vector");
      await expect(typeErrors("fill.ts")).resolves.toBe("");
    });

    test("gives a script the error for a person, with what to do", async () => {
      const script = `import { openVecfill } from "vecfill";
        const vecfill = await openVecfill({ settings: { table: "nothing" } });
        await vecfill.run().catch(({ name, exit, hint }) => console.log(name, exit, hint));
        await vecfill.close();`;
      await writeFile(join(folder, "wrong.ts"), script);
      const { stdout } = await start(["wrong.ts"], { cwd: folder, env: env() }).ended;
      expect(stdout).toMatch(/^UserError fatal .+/);
      await writeFile(join(folder, "typo.ts"), script.replace("table", "tabel"));
      expect(await typeErrors("typo.ts")).toContain("'tabel' does not exist");
      const typo = await start(["typo.ts"], { cwd: folder, env: env() }).ended;
      expect(typo.stderr).toContain("There is no setting tabel.");
    });
  });
});

test("the workflow tests the oldest Node that the package admits, and runs scripts that exist", async () => {
  const workflow = await readFile(join(ROOT, ".github/workflows/ci.yml"), "utf8");
  const { engines, scripts } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const versions = /node: \[(?<list>[^\]]+)\]/.exec(workflow)?.groups?.["list"] ?? "";
  expect(`>=${JSON.parse(`[${versions}]`)[0]}`).toBe(engines.node);
  const used = Array.from(
    workflow.matchAll(/run: npm (?:run )?(?<script>\w+)/g),
    (found) => found[1],
  );
  expect(used).toEqual(expect.arrayContaining(["ci", "check", "test", "demo"]));
  expect(used.filter((name) => name !== "ci" && !(name !== undefined && name in scripts))).toEqual(
    [],
  );
});

test("the image is made of files that are there, and sees no others", async () => {
  const lines = (await readFile(join(ROOT, "Dockerfile"), "utf8")).split("\n");
  const copies = lines.filter((line) => line.startsWith("COPY ") && !line.includes("--from="));
  const names = copies.flatMap((line) => line.split(" ").slice(1, -1));
  expect(names).toContain("package-lock.json");
  expect(names.filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
  const [everything, ...kept] = (await readFile(join(ROOT, ".dockerignore"), "utf8"))
    .trim()
    .split("\n");
  expect(everything).toBe("*");
  expect(kept.toSorted()).toEqual(names.map((name) => `!${name}`).toSorted());
  expect(lines).toContain("USER node");
});
