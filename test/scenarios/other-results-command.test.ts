// I import, and something else comes than my results: a sign-in page, another job's file. What am I told, by
// which exit code does a script know, what was paid for, and what is in the table then and after the mend?
import { EventEmitter } from "node:events";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { type Ended, runHere } from "../command-line.ts";
import { keepOpen } from "../embedded/kept.ts";
import {
  OTHER_ANSWERS,
  type Rewrite,
  type RewritingProxy,
  startRewritingProxy,
} from "../gemini/rewriting-proxy.ts";
import { errorBody } from "../gemini/stub-server.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { IN_FULL } from "../size.ts";

let home: string;
let emulator: Emulator;
let proxy: RewritingProxy;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  home = await temporaryFolder();
  emulator = await startEmulator({ batchSeconds: 0, behaviour: "get-output=refused" });
  proxy = await startRewritingProxy(emulator.url);
  env = {
    DATABASE_URL: keepOpen(join(home, "database")),
    GEMINI_API_KEY: "key-of-this-test",
    GOOGLE_GEMINI_BASE_URL: proxy.url,
    VECFILL_POLL_INTERVAL: "0.05",
  };
  await sql("CREATE EXTENSION vector");
});
afterEach(() => proxy.rewrite());
afterAll(async () => {
  await proxy.close();
  await emulator.close();
  await rm(home, { recursive: true, force: true });
});

async function sql(text: string) {
  const database = await openDatabase({ url: env["DATABASE_URL"] ?? "" });
  try {
    return await database.query(text);
  } finally {
    await database.close();
  }
}

type Own = Readonly<{
  path: (name: string) => string;
  command: (...args: readonly string[]) => Promise<Ended>;
  /** How many rows have a vector. */
  filled: () => Promise<number>;
  creates: () => number;
}>;

/** A table of four rows and a jobs folder of its own. */
async function own(table: string, rowsAJob = 2): Promise<Own> {
  await sql(
    `CREATE TABLE ${table} (id bigint PRIMARY KEY, question_text text, embedding vector(768))`,
  );
  await sql(`INSERT INTO ${table} SELECT n, '${table} ' || n FROM generate_series(1, 4) n`);
  const before = proxy.calls("create").length;
  return {
    path: (name) => join(home, table, name),
    command: (name = "", ...args) =>
      runHere(
        [name, ...args, "--jobs-dir", join(home, table), ...optionsOf(name, table, rowsAJob)],
        {
          env,
          folder: home,
        },
      ),
    filled: async () => (await sql(`SELECT id FROM ${table} WHERE embedding IS NOT NULL`)).length,
    creates: () => proxy.calls("create").length - before,
  };
}

function optionsOf(command: string, table: string, rowsAJob: number): readonly string[] {
  if (command !== "export" && command !== "run") return [];
  return ["--table", table, "--max-job-rows", String(rowsAJob)];
}

async function untilEnded({ command }: Own): Promise<void> {
  for (const stage of ["export", "submit", "poll"]) await command(stage);
}

/** So many downloads get a sign-in page. */
function signIn(times = Infinity): Rewrite {
  let given = 0;
  return (call, send) => {
    if (call.kind !== "download" || given >= times) return send();
    given += 1;
    return OTHER_ANSWERS.html;
  };
}

test("import ends with exit code 4, says what came, and writes all later", async () => {
  const all = await own("portal");
  await untilEnded(all);
  proxy.rewrite(signIn());
  const first = await all.command("import");
  expect(first.code).toBe(4);
  expect(first.stderr).toMatch(
    /Job 0001: None of the 1 line that came in place of its results names a row of it/,
  );
  expect(first.stderr).toContain("0001.results.jsonl.doubtful-1");
  expect(first.stderr).toMatch(/nothing is paid for again/);
  expect([await all.filled(), all.creates()]).toEqual([0, 2]);
  proxy.rewrite();
  const second = await all.command("import", "--json");
  expect(second.code, second.stderr).toBe(0);
  expect(JSON.parse(second.stdout)).toMatchObject({ imported: ["0001", "0002"], written: 4 });
  expect([await all.filled(), all.creates()]).toEqual([4, 2]);
  expect(await readdir(join(home, "portal"))).toContain("0001.results.jsonl.doubtful-1");
  expect((await all.command("clean", "--yes")).code).toBe(0);
  expect(await readdir(join(home, "portal"))).toEqual([
    "0001.rows.jsonl",
    "0002.rows.jsonl",
    "manifest.ndjson",
  ]);
});

test("run waits for the results and pays for none again; when it is stopped, the next one ends with 0", async () => {
  const all = await own("patient");
  proxy.rewrite(signIn());
  const signals = new EventEmitter();
  const listen = (text: string) => {
    if (/Job 0001: None of the 1 line/.test(text)) signals.emit("SIGINT");
  };
  const args = [
    "run",
    "--yes",
    ...optionsOf("run", "patient", 2),
    "--jobs-dir",
    join(home, "patient"),
  ];
  const stopped = await runHere(args, { env, folder: home, signals, listen });
  expect(stopped.code, stopped.stdout + stopped.stderr).toBe(130);
  expect([await all.filled(), all.creates()]).toEqual([0, 2]);
  proxy.rewrite(signIn(1));
  const second = await all.command("run", "--yes", "--json");
  expect(second.code, second.stderr).toBe(0);
  expect(JSON.parse(second.stdout)).toMatchObject({ written: 4, failed: 0, remaining: 0 });
  expect([await all.filled(), all.creates()]).toEqual([4, 2]);
});

test("lines that are missing are paid for again only once the same file came over --results-grace", async () => {
  const all = await own("short");
  await untilEnded(all);
  proxy.rewrite(async (call, send) => {
    const answer = await send();
    if (call.kind !== "download") return answer;
    return { body: answer.body.subarray(answer.body.indexOf("\n") + 1) };
  });
  expect((await all.command("import")).code).toBe(4);
  expect(await all.filled()).toBe(0);
  const believed = await all.command("import", "--results-grace", "0");
  expect(believed.code, believed.stderr).toBe(1);
  expect(believed.stdout).toMatch(/4 requests = 2 written \+ 2 failed/);
  expect([await all.filled(), all.creates()]).toEqual([2, 2]);
  proxy.rewrite();
  const mended = await all.command("run", "--yes");
  expect(mended.code, mended.stderr).toBe(0);
  expect(await all.filled()).toBe(4);
});

/** The lines of these places cannot be read, whenever and however the file is fetched. */
function garbled(...places: readonly number[]): Rewrite {
  return async (call, send) => {
    const answer = await send();
    if (call.kind !== "download") return answer;
    const lines = answer.body.toString().split("\n");
    const cut = lines.map((line, place) => (places.includes(place) ? line.slice(0, 40) : line));
    return { body: cut.join("\n") };
  };
}

/** One job of four rows, of which these failed, since their lines could not be read. */
async function partlyFailed(table: string, ...places: readonly number[]): Promise<Own> {
  const all = await own(table, 4);
  await untilEnded(all);
  proxy.rewrite(garbled(...places));
  const imported = await all.command("import");
  expect(imported.code, imported.stderr).toBe(places.length === 0 ? 0 : 1);
  proxy.rewrite();
  return all;
}

async function again(all: Own, ...args: readonly string[]) {
  const ended = await all.command("import", "--again", ...args, "--json");
  expect(ended.code, ended.stderr).toBe(0);
  return JSON.parse(ended.stdout);
}

async function jobsOf(all: Own) {
  const { stdout } = await all.command("jobs", "--json");
  return JSON.parse(stdout).jobs;
}

test("rows that failed for want of a line are written from the results that are fetched again, unpaid", async () => {
  const all = await partlyFailed("lacking", 1, 2);
  expect(await again(all)).toMatchObject({ rows: 0, refetched: [], looked: ["0001"] });
  await all.command("import", "--refetch", "0001", "--dry-run");
  expect(await all.filled()).toBe(2);
  expect(await again(all, "--refetch", "0001")).toMatchObject({ refetched: ["0001"] });
  expect([await all.filled(), all.creates()]).toEqual([4, 1]);
  expect(await jobsOf(all)).toMatchObject([{ written: 4, failed: 0 }]);
  expect(await readdir(all.path(""))).not.toContain("0001.failed.jsonl");
  expect((await all.command("run", "--yes")).code).toBe(0);
  expect(all.creates()).toBe(1);
  expect((await all.command("rollback", "0001", "--yes")).stdout).toContain("4 vectors");
});

test("results that were lost here are fetched by themselves, the same ones, and the journal only notes it", async () => {
  const all = await partlyFailed("lost_here");
  const journal = await readFile(all.path("manifest.ndjson"), "utf8");
  await sql("UPDATE lost_here SET embedding = NULL");
  await rm(all.path("0001.results.jsonl"));
  expect(await again(all)).toMatchObject({ rows: 4, refetched: ["0001"], withoutResults: [] });
  expect([await all.filled(), all.creates()]).toEqual([4, 1]);
  const added = (await readFile(all.path("manifest.ndjson"), "utf8")).slice(journal.length);
  expect(added).toMatch(/^\{"type":"writtenAgain","job":"0001","rows":4,[^\n]*\n$/);
  expect((await all.command("jobs", "1")).stdout).toMatch(
    /writtenAgain  4 rows that had lost their vectors, at no cost/,
  );
  await all.command("clean", "--yes");
  expect(await again(all)).toMatchObject({ withoutResults: ["0001"], refetched: [] });
});

test("rows in a child job that is open stay the child's", IN_FULL, async () => {
  const all = await partlyFailed("with_child", 1, 2);
  await all.command("resubmit");
  expect(await again(all, "--refetch")).toMatchObject({ rows: 0, refetched: ["0001"] });
  expect(await all.filled()).toBe(2);
  for (const stage of ["submit", "poll", "import"]) await all.command(stage);
  expect([await all.filled(), all.creates()]).toEqual([4, 2]);
  expect(await jobsOf(all)).toMatchObject([{ written: 2 }, { written: 2, filled: 0 }]);
});

test("rows that failed in a child, too, are written from the parent's results, and are sent no more", async () => {
  const all = await partlyFailed("with_failed_child", 1, 2);
  await all.command("resubmit");
  for (const stage of ["submit", "poll"]) await all.command(stage);
  proxy.rewrite(garbled(0));
  expect((await all.command("import")).code).toBe(1);
  proxy.rewrite();
  expect(await again(all, "0001", "--refetch")).toMatchObject({ refetched: ["0001"] });
  expect([await all.filled(), all.creates()]).toEqual([4, 2]);
  expect(await jobsOf(all)).toMatchObject([
    { written: 2, failed: 2 },
    { written: 2, failed: 0 },
  ]);
  expect((await all.command("run", "--yes")).code).toBe(0);
  expect(all.creates()).toBe(2);
});

test(
  "a file that answers fewer rows takes no other's place, and no page is taken for one",
  IN_FULL,
  async () => {
    const all = await partlyFailed("worse");
    const results = await readFile(all.path("0001.results.jsonl"), "utf8");
    proxy.rewrite(garbled(3));
    expect(await again(all, "--refetch")).toMatchObject({ looked: ["0001"] });
    expect(await readFile(all.path("0001.results.jsonl"), "utf8")).toBe(results);
    proxy.rewrite(signIn());
    await sql("UPDATE worse SET embedding = NULL WHERE id < 3");
    expect(await again(all, "--refetch")).toMatchObject({ rows: 2 });
    expect(await readFile(all.path("0001.results.jsonl"), "utf8")).toBe(results);
    await rm(all.path("0001.results.jsonl"));
    const doubted = await all.command("import", "--again");
    expect([doubted.code, await all.filled()]).toEqual([4, 4]);
    expect(doubted.stderr).toMatch(/Job 0001: None of the 1 line/);
  },
);

test(
  "what Gemini has no more is told, and what cannot be written again is refused",
  IN_FULL,
  async () => {
    const all = await partlyFailed("gone_there");
    await rm(all.path("0001.results.jsonl"));
    proxy.rewrite((call, send) =>
      call.kind === "download"
        ? { status: 404, body: errorBody(404, "NOT_FOUND", "no such file") }
        : send(),
    );
    expect(await again(all)).toMatchObject({ withoutResults: ["0001"], refetched: [] });
    expect((await all.command("import", "0001")).stdout).toMatch(
      /not in the jobs folder.*: 0001\./,
    );
    await all.command("export");
    expect(await all.command("import", "--again", "0009")).toMatchObject({ code: 2 });
  },
);
