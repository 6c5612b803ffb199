/**
 * I press Ctrl-C, or the system stops the process: is what was in hand finished, am I told how to go
 * on, does that very command complete the work, and was nothing paid for twice or cancelled?
 */
import { spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import type { EmulatorOptions } from "../../src/emulator/faults/emulator-options.ts";
import { EXIT_CODES } from "../../src/errors.ts";
import { readManifest } from "../../src/jobs-folder/open.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { CLI, type Ended, itsOwn, QUICK_TO_COMPILE, runHere } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { IN_FULL } from "../size.ts";

/** A create that nobody answers is waited for ten times as long. */
const LONG_BEFORE_A_TIMEOUT_MS = 30_000;

const HOUR_MS = 3_600_000;
const MANY = 20_000;
/** Enough for an import to take a while: some 10 kB of results a row. */
const SOME = 2_000;

let home: string;
let url: string;
let emulator: Emulator | undefined;
let tables = 0;

beforeAll(async () => {
  home = await temporaryFolder();
  url = `pglite:${join(home, "database")}`;
  await inDatabase("CREATE EXTENSION vector");
});
afterEach(async () => {
  await emulator?.close();
  emulator = undefined;
});
afterAll(() => rm(home, { recursive: true, force: true }));

async function inDatabase(...statements: readonly string[]) {
  const database = await openDatabase({ url });
  const rows = [];
  for (const statement of statements) rows.push(...(await database.query(statement)));
  await database.close();
  return rows;
}

/** A table of its own with so many rows, a jobs folder, and an emulator whose time stands still. */
async function startTrial(rows: number, options: EmulatorOptions = {}) {
  const table = `questions_${(tables += 1)}`;
  await inDatabase(
    `CREATE TABLE ${table} (id bigint PRIMARY KEY, question_text text, embedding vector(768))`,
    `INSERT INTO ${table} SELECT n, 'Question ' || n FROM generate_series(1, ${rows}) n`,
  );
  const service = await startEmulator({ batchSeconds: 60, frozen: true, ...options });
  emulator = service;
  const folder = join(home, table);
  const env = {
    DATABASE_URL: url,
    GEMINI_API_KEY: "key-of-this-test",
    GOOGLE_GEMINI_BASE_URL: service.url,
  };
  const target = ["--jobs-dir", folder];
  const here = (args: readonly string[], setup: Parameters<typeof runHere>[1] = {}) =>
    runHere(args, { env, folder: home, ...setup });
  return {
    service,
    here,
    jobsDir: target,
    ofTable: ["--table", table, ...target],
    start: (args: readonly string[]) => startCommand(args, env),
    /** Runs the command that the interrupted one told to go on with. */
    goOn: ({ stderr }: Ended) => here(commandToGoOn(stderr)),
    states: async () => (await readManifest(folder)).jobs().map(({ state }) => state),
    manifest: () => readFile(join(folder, "manifest.ndjson"), "utf8"),
    /** Of whole lines in the checkpoint. */
    answeredKeys: async () => {
      const text = await readFile(join(folder, "0001.sync.jsonl"), "utf8");
      const lines = text.split("\n").slice(0, -1);
      return lines.map((line) => String(Object(JSON.parse(line)).key));
    },
    /** How often texts were paid for at once, and how many of them so often. */
    paidAtOnce: () => {
      const times = Map.groupBy(service.paidTexts().values(), (each) => each);
      return Object.fromEntries([...times].map(([often, all]) => [often, all.length]));
    },
    /** Every row has its vector, was paid for once, and no batch was cancelled. */
    expectDone: async () => {
      const missing = `SELECT count(*)::text AS rows FROM ${table} WHERE embedding IS NULL`;
      expect(await inDatabase(missing)).toEqual([{ rows: "0" }]);
      const bill = await service.billing();
      expect([bill.size, new Set(bill.values())]).toEqual([rows, new Set([1])]);
      // uploads are deleted when their batches have ended; batches never
      expect(service.calls("cancel")).toBe(0);
      expect(service.batches().filter(({ deleted }) => deleted)).toEqual([]);
    },
  };
}

function commandToGoOn(stderr: string): string[] {
  const line = /^hint: Go on with: vecfill (?<args>.+)$/m.exec(stderr)?.groups?.["args"];
  if (line === undefined) throw new Error(`no command to go on with in: ${stderr}`);
  return line.split(" ");
}

function startCommand(args: readonly string[], env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [QUICK_TO_COMPILE, CLI, ...args], {
    cwd: home,
    env: itsOwn(env),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  let look: (() => void) | undefined;
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    look?.();
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  return {
    ended,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    /** Resolves when the words have been printed; rejects when the process ended without them. */
    says: async (words: string): Promise<void> => {
      const said = new Promise<boolean>((resolve) => {
        look = () => stderr.includes(words) && resolve(true);
        look();
      });
      if (await Promise.race([said, ended.then(() => false)])) return;
      throw new Error(`it ended without saying "${words}": ${stderr}`);
    },
  };
}

function expectInterrupted({ code, stdout, stderr }: Ended): void {
  expect(code, stderr).toBe(EXIT_CODES.interrupted);
  expect(stderr).toContain("Stopping: finishing what is in hand. Ctrl-C again leaves at once.");
  expect(stderr).toContain("batches already submitted go on at Gemini");
  expect(stderr).not.toMatch(/^ +at |\bbug\b/m);
  expect(stdout).not.toContain("undefined");
}

describe.each(["SIGINT", "SIGTERM"] as const)("%s once", (signal) => {
  it(
    "in run, while batches are at Gemini: they go on, and are fetched afterwards",
    IN_FULL,
    async () => {
      const trial = await startTrial(30);
      const run = trial.start(["run", "--max-job-rows", "10", ...trial.ofTable]);
      await run.says("0003 submitted");
      run.kill(signal);
      const ended = await run.ended;
      expectInterrupted(ended);
      expect(await trial.states()).toEqual(["submitted", "submitted", "submitted"]);
      await trial.service.advance(HOUR_MS);
      expect((await trial.goOn(ended)).code).toBe(EXIT_CODES.done);
      await trial.expectDone();
    },
  );

  it("in poll, while it waits", IN_FULL, async () => {
    const trial = await startTrial(3);
    await trial.here(["export", ...trial.ofTable]);
    await trial.here(["submit", ...trial.jobsDir]);
    const before = await trial.manifest();
    const poll = trial.start(["poll", ...trial.jobsDir]);
    await poll.says("0001 pending");
    poll.kill(signal);
    const ended = await poll.ended;
    expectInterrupted(ended);
    expect(await trial.manifest()).toBe(before);
    await trial.service.advance(HOUR_MS);
    expect((await trial.goOn(ended)).code).toBe(EXIT_CODES.done);
    expect((await trial.here(["import", ...trial.jobsDir])).code).toBe(EXIT_CODES.done);
    await trial.expectDone();
  });
});

it(
  "in export: the page in hand becomes a job, and the same command exports the rest",
  IN_FULL,
  async () => {
    const trial = await startTrial(MANY);
    const args = [
      "export",
      "--max-job-rows",
      "500",
      "--max-job-tokens",
      "1000000",
      ...trial.ofTable,
    ];
    const exporting = trial.start(args);
    await exporting.says("0001 exported");
    exporting.kill("SIGINT");
    const ended = await exporting.ended;
    expectInterrupted(ended);
    const first = (await trial.states()).length;
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(MANY / 500);
    const rest = await trial.goOn(ended);
    expect(rest.code).toBe(EXIT_CODES.done);
    const { stdout } = await trial.here(["jobs", "--json", ...trial.jobsDir]);
    const { jobs }: { jobs: { requests: number }[] } = JSON.parse(stdout);
    expect(jobs.reduce((sum, { requests }) => sum + requests, 0)).toBe(MANY);
  },
);

it("in import: what is written stays, and the same command writes the rest", IN_FULL, async () => {
  const trial = await startTrial(SOME);
  await trial.here(["export", ...trial.ofTable]);
  await trial.here(["submit", ...trial.jobsDir]);
  await trial.service.advance(HOUR_MS);
  await trial.here(["poll", ...trial.jobsDir]);
  const importing = trial.start(["import", ...trial.jobsDir]);
  await importing.says("0001 importing");
  importing.kill("SIGTERM");
  const ended = await importing.ended;
  expectInterrupted(ended);
  expect(await trial.states()).toEqual(["downloaded"]);
  const rest = await trial.goOn(ended);
  expect(rest.code, rest.stderr).toBe(EXIT_CODES.done);
  expect(rest.stdout).toContain(`2,000 requests = 2,000 written + 0 failed`);
  await trial.expectDone();
});

it("in submit, with a create under way: its answer is waited for and recorded", async () => {
  const trial = await startTrial(6, { faults: "create-slow=1" });
  await trial.here(["export", "--max-job-rows", "3", ...trial.ofTable]);
  const submit = trial.start(["submit", ...trial.jobsDir]);
  await untilCreating(trial);
  submit.kill("SIGINT");
  const ended = await submit.ended;
  expectInterrupted(ended);
  expect(await trial.states()).toEqual(["submitted", "exported"]);
  expect((await trial.goOn(ended)).code).toBe(EXIT_CODES.done);
  expect(trial.service.batches()).toHaveLength(2);
});

it(
  "twice, with a create under way: it leaves at once, and the batch is found again",
  IN_FULL,
  async () => {
    const trial = await startTrial(3, { faults: "create-silent=1x" });
    const run = trial.start(["run", "--reconcile-grace", "1", ...trial.ofTable]);
    await untilCreating(trial);
    run.kill("SIGINT");
    await run.says("Stopping");
    const pressedMs = performance.now();
    run.kill("SIGINT");
    const { code } = await run.ended;
    expect([code, performance.now() - pressedMs < LONG_BEFORE_A_TIMEOUT_MS]).toEqual([
      EXIT_CODES.interrupted,
      true,
    ]);
    expect(await trial.states()).toEqual(["submitting"]);
    // the batch was made, and nobody was told
    expect(trial.service.batches()).toHaveLength(1);
    await trial.service.advance(HOUR_MS);
    const again = await trial.here(["run", "--reconcile-grace", "1", ...trial.ofTable]);
    expect(again.code, again.stderr).toBe(EXIT_CODES.done);
    expect(again.stderr).toContain("found at Gemini");
    expect(trial.service.batches()).toHaveLength(1);
    await trial.expectDone();
  },
);

describe("before there is a job, the result does not say that there was nothing to do", () => {
  it("in run, while it counts", IN_FULL, async () => {
    const trial = await startTrial(3);
    const signals = new EventEmitter();
    const args = ["run", "--progress-json", ...trial.ofTable];
    const listen = (text: string) => {
      if (text.includes('"goal"')) signals.emit("SIGINT");
    };
    const ended = await trial.here(args, { signals, listen });
    expectInterrupted(ended);
    expect(ended.stdout).toContain("Interrupted before there was a job.");
    expect(ended.stdout).toContain("3 rows have no vector yet.");
    expect(ended.stdout).not.toContain("Nothing to do");
  });

  it("in export, before the first page", IN_FULL, async () => {
    const trial = await startTrial(3);
    const signals = new EventEmitter();
    signals.on("newListener", () => queueMicrotask(() => signals.emit("SIGINT")));
    const ended = await trial.here(["export", ...trial.ofTable], { signals });
    expect(ended.code).toBe(EXIT_CODES.interrupted);
    expect(ended.stdout).toBe("Interrupted before there was a job.\n");
  });
});

describe("in the sync lane", IN_FULL, () => {
  const ROWS = 900;
  const args = ["run", "--lane", "sync", "--max-requests-per-minute", "1000000"];

  it("Ctrl-C keeps what was answered, and the same command embeds the rest", async () => {
    const trial = await startTrial(ROWS, { faults: "sync-slow=200" });
    const running = trial.start([...args, ...trial.ofTable]);
    await untilEmbedding(trial, 200);
    running.kill("SIGINT");
    const ended = await running.ended;
    expectInterrupted(ended);
    expect(await trial.states()).toEqual(["embedding"]);
    trial.service.setFaults("");
    expect((await trial.goOn(ended)).code).toBe(EXIT_CODES.done);
    expect(trial.paidAtOnce()).toEqual({ 1: ROWS });
  });

  it("kill -9 loses the calls under way and nothing that was on disk", async () => {
    const trial = await startTrial(ROWS, { faults: "sync-slow=200" });
    const onDisk = new Set<string>();
    for (const embedded of [200, 500]) {
      const running = trial.start([...args, ...trial.ofTable]);
      await untilEmbedding(trial, embedded);
      running.kill("SIGKILL");
      await running.ended;
      for (const key of await trial.answeredKeys()) onDisk.add(key);
    }
    const before = new Map(trial.service.paidTexts());
    trial.service.setFaults("");
    const { code, stderr } = await trial.here([...args, ...trial.ofTable]);
    expect(code, stderr).toBe(EXIT_CODES.done);
    expect(onDisk.size).toBeGreaterThan(0);
    const after = trial.service.paidTexts();
    const paidAgain = [...onDisk].filter(
      (key) => after.get(textOf(key)) !== before.get(textOf(key)),
    );
    expect(paidAgain).toEqual([]);
    const lost = [...after.values()].reduce((sum, times) => sum + times, 0) - ROWS;
    // four calls of a hundred, twice
    expect(lost).toBeLessThanOrEqual(800);
    expect(after.size).toBe(ROWS);
  });
});

function textOf(key: string): string {
  return `Question ${key.split("@")[0]}`;
}

async function untilEmbedding({ service }: { service: Emulator }, texts: number): Promise<void> {
  while (service.embeddedNow() < texts) await new Promise((soon) => setTimeout(soon, 20));
}

async function untilCreating({ service }: { service: Emulator }): Promise<void> {
  while (service.calls("create") === 0) await new Promise((soon) => setTimeout(soon, 20));
}
