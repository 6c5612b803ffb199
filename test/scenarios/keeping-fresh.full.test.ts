/**
 * I copy the cron line and the workflow from docs/keeping-fresh.md: does the line run with as little
 * environment as cron gives, do the workflow's steps run one after the other on machines that know
 * nothing but the cached folder, and is nothing paid for twice?
 */
import { spawn } from "node:child_process";
import { chmod, cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { CLI } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { blockAfter, read } from "../page.ts";

const PAGE = read("docs/keeping-fresh.md");

let home: string;
let emulator: Emulator;
let variables: Record<string, string>;

beforeAll(async () => {
  home = await temporaryFolder();
  const url = `pglite:${join(home, "database")}`;
  const database = await openDatabase({ url });
  await database.query("CREATE EXTENSION vector");
  await database.query(
    "CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(768))",
  );
  await database.query(
    "INSERT INTO questions SELECT n, 'Number ' || n FROM generate_series(1, 5) n",
  );
  await database.close();
  emulator = await startEmulator({ batchSeconds: 0, tier: "off" });
  variables = {
    DATABASE_URL: url,
    GEMINI_API_KEY: "key-of-this-test",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
    VECFILL_POLL_INTERVAL: "0.05",
  };
  await mkdir(join(home, "bin"));
  const program = `#!/bin/sh\nexec "${process.execPath}" "${CLI}" "$@"\n`;
  await writeFile(join(home, "bin", "vecfill"), program, { mode: 0o755 });
});
afterAll(async () => {
  await emulator.close();
  await rm(home, { recursive: true, force: true });
});

const block = (mark: string) => blockAfter(PAGE, mark);

/** Runs a line as cron does: by /bin/sh, with HOME and little else. */
async function shell(line: string, cwd: string, env: Record<string, string> = {}) {
  const bare = { HOME: home, LOGNAME: "me", SHELL: "/bin/sh", PATH: "/usr/bin:/bin", ...env };
  const child = spawn("/bin/sh", ["-c", line], {
    cwd,
    env: bare,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, stdout, stderr };
}

async function remaining(): Promise<number> {
  const database = await openDatabase({ url: variables["DATABASE_URL"] ?? "" });
  const [row] = await database.query(
    "SELECT count(*)::text AS rows FROM questions WHERE embedding IS NULL",
  );
  await database.close();
  return Number(row?.["rows"]);
}

async function addRow(id: number): Promise<void> {
  const database = await openDatabase({ url: variables["DATABASE_URL"] ?? "" });
  await database.query(`INSERT INTO questions VALUES (${id}, 'Number ${id}')`);
  await database.close();
}

describe("the cron line", () => {
  it(
    "fills the column, tells of it, and does nothing the next time",
    { timeout: 120_000 },
    async () => {
      const folder = join(home, "vecfill");
      await mkdir(folder);
      const settings = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
      await writeFile(join(folder, ".env.local"), `${settings.join("\n")}\n`, { mode: 0o600 });
      await writeFile(join(folder, "tell.sh"), block("hook"));
      await chmod(join(folder, "tell.sh"), 0o755);
      const [, line = ""] = /^\S+ \S+ \S+ \S+ \S+ (?<command>.+)$/m.exec(block("cron")) ?? [];
      // vecfill and curl are where the line looks for programs; curl keeps what it would send
      const curl = `#!/bin/sh\nprintf '%s\\n' "$*" >>"${home}/sent"\n`;
      await writeFile(join(home, "bin", "curl"), curl, { mode: 0o755 });
      const here = line.replace("PATH=", `PATH=${join(home, "bin")}:`);
      expect(here).not.toBe(line);

      expect(await shell(here, "/")).toEqual({ code: 0, stdout: "", stderr: "" });
      expect(await remaining()).toBe(0);
      expect(await readFile(join(folder, "vecfill.prom"), "utf8")).toMatch(
        /vecfill_rows\{.*outcome="written"\} 5\n/,
      );
      const sent = await readFile(join(home, "sent"), "utf8");
      expect(sent).toContain('vecfill done: {"schemaVersion":1,"event":"done"');

      expect((await shell(here, "/")).code).toBe(0);
      expect(await readFile(join(home, "sent"), "utf8")).toBe(sent);
      expect([...(await emulator.billing()).values()]).toEqual([1, 1, 1, 1, 1]);
    },
  );
});

/** The `run` of each step that has one, by name. */
function stepsOf(workflow: string): Map<string, string> {
  const steps = workflow.split(/^ {6}- /m).slice(1);
  return new Map(
    steps.flatMap((step) => {
      const name = /^name: (?<name>.+)$/m.exec(step)?.groups?.["name"];
      const one = /^ {8}run: (?!\|)(?<line>.+)$/m.exec(step)?.groups?.["line"];
      const many = /^ {8}run: \|\n(?<lines>(?: {10}.*\n)+)/m.exec(step)?.groups?.["lines"];
      const script = one ?? many?.replaceAll(/^ {10}/gm, "");
      return name === undefined || script === undefined ? [] : [[name, script] as const];
    }),
  );
}

describe("the workflow", () => {
  const workflow = block("workflow");
  const steps = stepsOf(workflow);

  it("restores the folder, saves it always under a key of its own, and never runs twice at once", () => {
    expect([...steps.keys()]).toEqual(["Install", "Fill", "What is done"]);
    const keys = [...workflow.matchAll(/^ {10}key: (?<key>.+)$/gm)].map(([, key]) => key);
    expect(keys).toHaveLength(2);
    expect(keys[0]).toBe(keys[1]);
    expect(keys[0]).toContain("github.run_id");
    expect(workflow).toMatch(/cache\/save@v4\n {8}if: always\(\)/);
    expect(workflow).toMatch(/^concurrency:\n {2}group: .+\n {2}cancel-in-progress: false$/m);
    const timeoutSeconds = Number(/--timeout (\d+)/.exec(steps.get("Fill") ?? "")?.[1]);
    const limitMinutes = Number(/timeout-minutes: (\d+)/.exec(workflow)?.[1]);
    expect(timeoutSeconds).toBeLessThan(limitMinutes * 60 - 600);
  });

  it("goes on with the folder on another machine", { timeout: 120_000 }, async () => {
    await addRow(6);
    const cache = join(home, "cache");
    await mkdir(cache);
    const machine = async (name: string) => {
      const folder = join(home, name);
      await mkdir(folder);
      await cp(cache, folder, { recursive: true });
      const env = {
        ...variables,
        PATH: `${join(home, "bin")}:/usr/bin:/bin`,
        GITHUB_STEP_SUMMARY: join(folder, "summary"),
      };
      const fill = await shell(`set -e\n${steps.get("Fill")}`, folder, env);
      const done = await shell(`set -e\n${steps.get("What is done")}`, folder, env);
      await rm(cache, { recursive: true });
      await mkdir(cache);
      await cp(join(folder, "jobs"), join(cache, "jobs"), { recursive: true });
      return { fill, done, summary: await readFile(env.GITHUB_STEP_SUMMARY, "utf8") };
    };
    const first = await machine("machine-1");
    expect([first.fill.code, first.done.code], first.fill.stderr).toEqual([0, 0]);
    expect(first.summary).toContain("0001");
    await addRow(7);
    const second = await machine("machine-2");
    expect(second.fill.code, second.fill.stderr).toBe(0);
    expect(second.summary).toContain("0002");
    expect(await remaining()).toBe(0);
    expect(new Set((await emulator.billing()).values())).toEqual(new Set([1]));
  });

  it("takes what is not finished for no failure, and what failed for one", async () => {
    const fill = steps.get("Fill") ?? "";
    for (const [exit, expected] of [
      [0, 0],
      [4, 0],
      [1, 1],
      [3, 3],
      [5, 5],
    ]) {
      const stub = `vecfill() { return ${exit}; }\n`;
      expect((await shell(`set -e\n${stub}${fill}`, home)).code).toBe(expected);
    }
  });
});
