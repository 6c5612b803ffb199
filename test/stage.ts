/**
 * Where a page's commands are carried out: a folder to stand in, a table, an emulator whose time
 * passes by itself and can be held, and the command line as a reader would type it.
 */
import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect } from "vitest";
import type { ModelName } from "../src/row/models.ts";
import { type Emulator, startEmulator } from "../src/emulator/emulator.ts";
import { EXIT_CODES } from "../src/errors.ts";
import type { Job } from "../src/manifest/job.ts";
import { readManifest } from "../src/jobs-folder/open.ts";
import { openDatabase } from "../src/store/postgres/open-database.ts";
import { CLI, type Ended, itsOwn, runHere } from "./command-line.ts";
import { temporaryFolder } from "./manifest/sample.ts";
import { commentOf, settingsBefore, words } from "./page.ts";
import { createNativeDatabase, openSession } from "./store/postgres/native-database.ts";
import { isRight } from "./workshop.ts";
import { keepOpen } from "./embedded/kept.ts";

/** What the page's readers set for themselves. */
const OF_THE_READER = ["GEMINI_API_KEY", "DATABASE_URL"];
/** As the page names them; the stage has others. */
const EMULATOR_PORT = "8484";
const JOB = "0003";
const TICK_MS = 50;
const SECOND_MS = 1_000;

export type Stage = Awaited<ReturnType<typeof openStage>>;

/** Stands in the folder until it is closed: the page's paths are relative. */
export async function openStage(kind: "embedded" | "native") {
  const home = await temporaryFolder();
  const { url, sql, drop } = await openTable(kind, home);
  const emulator = await startEmulator({ frozen: true, batchSeconds: 2, tier: "1" });
  const time = passingTime(emulator);
  const env = {
    DATABASE_URL: url,
    GEMINI_API_KEY: "a-key-for-tests",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
    VECFILL_POLL_INTERVAL: "0.2",
  };
  const port = await freePort();
  const before = process.cwd();
  process.chdir(home);
  const served: { signals: EventEmitter; ended: Promise<Ended> }[] = [];
  const ran: string[] = [];
  let rows = 0;
  let subject = sameJob;

  const runArgs = (args: readonly string[], setup: object = {}) =>
    runHere(args, { env, folder: home, ...setup });

  /** Types it, sees it at work with a batch at Gemini, and presses Ctrl-C. */
  async function interrupted(args: readonly string[], settings: object): Promise<Ended> {
    const signals = new EventEmitter();
    const ended = runArgs(args, { signals, env: settings });
    await untilJob(({ state }) => state === "submitted");
    signals.emit("SIGINT");
    return ended;
  }

  /** The exit code has to be the one that the page promises. */
  async function type(line: string): Promise<void> {
    if (line.startsWith("export ")) return setVariable(line);
    if (!/^(?:\w+=\S+ )*vecfill /.test(line)) throw new Error(`the tests cannot run: ${line}`);
    const comment = commentOf(line);
    const settings = { ...env, ...settingsBefore(line.replaceAll(EMULATOR_PORT, port)) };
    const args = words(line.includes(JOB) ? line.replaceAll(JOB, await subject()) : line);
    ran.push(line);
    if (comment === "until Ctrl-C") {
      const signals = new EventEmitter();
      const all = [...args, "--port", port];
      served.push({ signals, ended: runArgs(all, { signals, env: settings }) });
      return;
    }
    if (comment === "asks first") {
      const refused = await runArgs(args, { env: settings });
      expect(refused, line).toMatchObject({ code: EXIT_CODES.usage });
      args.push("--yes");
    }
    const ended = await (comment.startsWith("Ctrl-C")
      ? interrupted(args, settings)
      : runArgs(args, { env: settings }));
    const expected = Number(/exit code (?<code>\d+)/.exec(comment)?.groups?.["code"] ?? 0);
    expect(ended.code, `${line}\n${ended.stdout}${ended.stderr}`).toBe(expected);
    time.go();
  }

  return {
    home,
    emulator,
    hold: time.hold,
    sql,
    type,
    ran: () => [...ran],
    run: runArgs,
    /** Which job the page's 0003 is from now on. */
    callJob: (which: (jobs: readonly Job[]) => Job | undefined) => {
      subject = async () => {
        const job = which((await readManifest("jobs")).jobs());
        if (job === undefined) throw new Error("there is no such job");
        return job.id;
      };
    },
    addRows: async (count: number) => {
      await sql(
        `insert into questions (id, question_text) select n, 'What is known of number ' || n || '?'
         from generate_series(${rows + 1}, ${rows + count}) n`,
      );
      rows += count;
    },
    untilJob,
    /** Sends a job, and is killed while it waits for the answer. */
    dieSubmitting: async () => {
      await runArgs(["export"]);
      emulator.setFaults("create-silent=1x");
      // what was exported can be sent without the database, whose folder this process holds
      const { DATABASE_URL: _, ...its } = env;
      const child = spawn(process.execPath, [CLI, "submit"], {
        env: itsOwn(its),
        stdio: "ignore",
      });
      const gone = once(child, "exit");
      await untilJob(({ state }) => state === "submitting");
      await until(() => emulator.batches().some(({ state }) => state === "BATCH_STATE_PENDING"));
      child.kill("SIGKILL");
      await gone;
      emulator.setFaults("");
    },
    /** How many rows have no vector, and how many one that is not right. */
    column: async (model: ModelName = "gemini-embedding-001", prefix = "") => {
      const shape =
        prefix === ""
          ? { model, dimensions: 768, taskType: "RETRIEVAL_DOCUMENT" }
          : { model, dimensions: 768 };
      const found = await sql("select question_text, embedding::text from questions");
      const texts = found.filter(([, vector]) => vector !== null);
      return {
        rows: found.length,
        empty: found.length - texts.length,
        wrong: texts.filter(
          ([text, vector]) => !isRight(prefix + String(text), String(vector), shape),
        ).length,
      };
    },
    /** Presses Ctrl-C in every terminal that is still open. */
    stopServers: async () => {
      const codes = served.splice(0).map(async ({ signals, ended }) => {
        signals.emit("SIGINT");
        return (await ended).code;
      });
      return Promise.all(codes);
    },
    close: async () => {
      process.chdir(before);
      time.hold();
      await emulator.close();
      await drop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

async function sameJob(): Promise<string> {
  return JOB;
}

function setVariable(line: string): void {
  const [name = ""] = line.replace("export ", "").split("=");
  expect(OF_THE_READER, line).toContain(name);
}

/** A table with texts alone: the page adds the rest. `sql` takes several statements at once. */
async function openTable(kind: "embedded" | "native", home: string) {
  const create = "create table questions (id bigint primary key, question_text text)";
  if (kind === "native") {
    const { url, drop } = await createNativeDatabase();
    const session = await openSession(url);
    const sql = async (text: string): Promise<unknown[][]> =>
      (await session.query({ text, rowMode: "array" })).rows ?? [];
    await sql(create);
    return { url, sql, drop: () => session.end().then(drop) };
  }
  const url = keepOpen(join(home, "database"));
  // only one may have the folder open at a time
  const sql = async (text: string): Promise<unknown[][]> => {
    const database = await openDatabase({ url });
    try {
      let rows: unknown[][] = [];
      for (const statement of text.split(/;$/m).filter((part) => part.trim() !== "")) {
        rows = (await database.query(statement)).map((row) => Object.values(row));
      }
      return rows;
    } finally {
      await database.close();
    }
  };
  await sql(create);
  return { url, sql, drop: async () => {} };
}

/** Twenty seconds at Gemini for one here, unless it is held. */
function passingTime(emulator: Emulator) {
  let ticking: NodeJS.Timeout | undefined;
  const go = () => {
    ticking ??= setInterval(() => void emulator.advance(SECOND_MS), TICK_MS);
  };
  const hold = () => {
    clearInterval(ticking);
    ticking = undefined;
  };
  go();
  return { go, hold };
}

async function untilJob(holds: (job: Job) => boolean): Promise<void> {
  await until(async () => (await readManifest("jobs")).jobs().some(holds));
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  await expect.poll(holds, { timeout: 60_000, interval: TICK_MS }).toBe(true);
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return String(address.port);
}
