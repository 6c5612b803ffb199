/**
 * I call vecfill from a shell, a script or cron: do help, exit codes, streams, signals and pipes
 * behave as I expect of a program, also when I mistype something or run an old Node?
 */
import { EventEmitter } from "node:events";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { type Asking, askConsent, chooser } from "../../src/cli/consent.ts";
import { EXIT_CODES } from "../../src/errors.ts";
import { openManifest } from "../../src/jobs-folder/open.ts";
import { OPTION_LIST, optionsOf } from "../../src/settings/options.ts";
import { CLI, runHere, start, startProgram } from "../command-line.ts";
import { type Reply, type Stub, errorBody, startStub } from "../gemini/stub-server.ts";
import { newJob, temporaryFolder } from "../manifest/sample.ts";
import { IN_FULL } from "../size.ts";

const BIN = fileURLToPath(new URL("../../bin/vecfill.js", import.meta.url));

let folder: string;

beforeAll(async () => {
  folder = await temporaryFolder();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe("help", () => {
  it("has examples, lists the commands, and the exit codes", async () => {
    const { code, stdout, stderr } = await runHere(["--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^Examples:\n {2}\$ vecfill /m);
    expect(stdout).toContain("vecfill jobs [job]");
    const codes = [...stdout.matchAll(/^ +(?<code>\d+) {2}\S/gm)].map((found) => Number(found[1]));
    expect(Object.values(EXIT_CODES)).toEqual(expect.arrayContaining(codes));
    expect(codes).toContain(EXIT_CODES.interrupted);
  });

  it("names every option of a command with its default, and no other", async () => {
    const { stdout } = await runHere(["jobs", "--help"]);
    const also = /^Also: [^.]+/m.exec(stdout)?.[0] ?? "";
    const listed = stdout.match(/^ +--[a-z-]+/gm) ?? [];
    const shown = `${listed.join(" ")} ${also}`.match(/--[a-z-]+/g)?.map((flag) => flag.slice(2));
    const flags = optionsOf("jobs").map(({ flag }) => flag);
    expect(new Set(shown)).toEqual(new Set(flags));
    expect(stdout).toMatch(/--max-active-jobs <batches> +most .* \(default: 90\)/);
  });

  it("fits a narrow page", async () => {
    const { stdout } = await runHere(["jobs", "--help"]);
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it("tells the version of the package", async () => {
    const manifest = JSON.parse(
      await readFile(new URL("../../package.json", import.meta.url), "utf8"),
    );
    expect((await runHere(["--version"])).stdout).toBe(`${manifest.version}\n`);
  });
});

describe("the table of options", () => {
  it("has each flag once, in small letters and dashes, described, with a command that takes it", () => {
    const flags = OPTION_LIST.map(([, { flag }]) => flag);
    expect(new Set(flags).size).toBe(flags.length);
    for (const [, { flag, describe: words, commands }] of OPTION_LIST) {
      expect(flag).toMatch(/^[a-z]+(?:-[a-z]+)*$/);
      expect(words).not.toBe("");
      expect(commands).not.toEqual([]);
    }
  });

  it("has no default that its own check would refuse", () => {
    for (const [, option] of OPTION_LIST) {
      const { default: value, defaultText } = option;
      if (typeof value !== "string" && typeof value !== "number") continue;
      const given = typeof value === "string" ? value : Number(defaultText?.replaceAll(",", ""));
      expect([option.flag, option.check(given)]).toEqual([option.flag, { value }]);
    }
  });
});

describe("wrong arguments", () => {
  it.each([
    [["jbs"], "There is no command jbs.", "Did you mean `vecfill jobs`?"],
    [
      ["jobs", "--jobs-dri", "x"],
      "There is no option --jobs-dri of jobs.",
      "Did you mean --jobs-dir?",
    ],
    [
      ["jobs", "--max-attempts", "2"],
      "There is no option --max-attempts of jobs.",
      "an option of run",
    ],
    [["jobs", "0001", "0002"], "`jobs` does not know what to do with 0002.", "--help"],
    [["jobs", "--jobs-dir"], "--jobs-dir needs a value.", "--help"],
    [["jobs", "--format", "xml"], "--format is wrong: xml is not one of", "table, csv, json"],
    [["emulator", "--port", "-1"], "--port is wrong: -1 is not a number from 0 up.", "--port"],
    [["config", "shwo"], "There is no `config shwo`.", "vecfill config show"],
    [["jobs", "--format", "csv", "--format", "json"], "--format is given 2 times.", "--format"],
  ])("%j are refused with what may be meant", async (args, message, hint) => {
    const { code, stdout, stderr } = await runHere(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^error: .*\nhint: .*\n$/);
    expect(stderr).toContain(message);
    expect(stderr).toContain(hint);
  });

  it("are an object on stdout with --json", async () => {
    const { code, stdout } = await runHere(["jobs", "--format", "xml", "--json"]);
    const { message, hint, exitCode } = JSON.parse(stdout).error;
    expect(JSON.parse(stdout)).toMatchObject({ schemaVersion: 1, command: "jobs" });
    expect([code, exitCode]).toEqual([2, 2]);
    expect(message).toContain("--format is wrong");
    expect(hint).not.toBe("");
  });
});

describe("the emulator", () => {
  it("takes every tier that its help lists, also what is none of Gemini's", IN_FULL, async () => {
    const { stdout: help } = await runHere(["emulator", "--help"]);
    const listed =
      /--tier <word> +quota of enqueued tokens: (?<tiers>[^(]*?)\s+\(default/.exec(help)?.groups?.[
        "tiers"
      ] ?? "";
    expect(listed.split(", ")).toEqual(["off", "1", "2", "3"]);
    for (const tier of listed.split(", ")) {
      const { child, ended } = start([CLI, "emulator", "--tier", tier, "--port", "0"]);
      child.stdout?.once("data", () => child.kill("SIGINT"));
      expect((await ended).code).toBe(EXIT_CODES.done);
    }
  });
});

describe("settings", () => {
  it("come from the folder that vecfill is called in", async () => {
    const cwd = await temporaryFolder();
    const { ended } = start([CLI, "jobs", "--json"], {
      cwd,
      env: { VECFILL_JOBS_DIR: "elsewhere" },
    });
    const { stdout, stderr, code } = await ended;
    expect([code, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toEqual({
      schemaVersion: 1,
      command: "jobs",
      atWork: null,
      jobs: [],
      indexes: { missing: [] },
      next: "vecfill init",
    });
    await rm(cwd, { recursive: true });
  });

  it("say when a variable is mistyped, and go on", async () => {
    const { code, stderr } = await runHere(["jobs"], { env: { VECFILL_JOB_DIR: folder } });
    expect(code).toBe(0);
    expect(stderr).toContain("warning: VECFILL_JOB_DIR is no option");
  });
});

describe("a damaged manifest", () => {
  it("ends with 3 and says where", async () => {
    const jobsDir = join(folder, "damaged");
    const manifest = await openManifest(jobsDir, systemClock);
    await manifest.recordExported(newJob("0001"));
    await manifest.close();
    const path = join(jobsDir, "manifest.ndjson");
    const lines = (await readFile(path, "utf8")).split("\n");
    await writeFile(path, [lines[0], "{damaged", ...lines.slice(1)].join("\n"));
    const { code, stderr } = await runHere(["jobs", "--jobs-dir", jobsDir]);
    expect(code).toBe(EXIT_CODES.fatal);
    expect(stderr).toMatch(/^error: .*2/);
    expect(stderr).not.toContain("bug");
  });
});

describe("a reader that goes away", () => {
  it("is no error", async () => {
    const jobsDir = join(folder, "many");
    const manifest = await openManifest(jobsDir, systemClock);
    // more than a pipe holds
    for (let number = 1; number <= 1000; number++) {
      await manifest.recordExported(newJob(String(number).padStart(4, "0")));
    }
    await manifest.close();
    const line = `{ "$0" "$@"; echo "code $?" >&2; } | head -1`;
    const command = [process.execPath, CLI, "jobs", "--format", "csv", "--jobs-dir", jobsDir];
    const { stdout, stderr } = await startProgram("sh", ["-c", line, ...command]).ended;
    expect(stdout).toMatch(/^id,state,.*\n$/);
    expect(stderr).toBe(`next: vecfill run --jobs-dir ${jobsDir}\ncode 0\n`);
  });
});

let stub: Stub | undefined;

afterEach(async () => {
  await stub?.close();
  stub = undefined;
});

/** A job whose create had no answer, and a service to ask for it. */
async function uncertain(name: string, answer: () => Reply) {
  const jobsDir = join(folder, name);
  const manifest = await openManifest(jobsDir, systemClock);
  await manifest.recordExported(newJob("0001"));
  const displayName = `vecfill-${manifest.id}-0001-1`;
  await manifest.record({ type: "submitting", job: "0001", displayName, submission: 1 });
  await manifest.close();
  stub = await startStub(answer);
  const env = { GEMINI_API_KEY: "AIza-very-secret", GOOGLE_GEMINI_BASE_URL: stub.baseUrl };
  return { args: ["jobs", "--reconcile", "--jobs-dir", jobsDir], env };
}

async function untilAsked(): Promise<void> {
  while (stub?.seen.length === 0) await systemClock.sleep(10);
}

describe("an uncertain submission", () => {
  it("is settled by jobs --reconcile, without sending anything", async () => {
    const { args, env } = await uncertain("settled", () => ({ body: {} }));
    const { code, stdout } = await runHere([...args, "--reconcile-grace", "0.05", "--json"], {
      env,
    });
    expect(code).toBe(0);
    expect(JSON.parse(stdout).jobs[0]).toMatchObject({ id: "0001", state: "exported" });
    expect(new Set(stub?.seen.map(({ method }) => method))).toEqual(new Set(["GET"]));
  });

  it("needs a key, and says so", async () => {
    const { args } = await uncertain("keyless", () => ({ body: {} }));
    const { code, stderr } = await runHere(args);
    expect(code).toBe(EXIT_CODES.usage);
    expect(stderr).toContain("No Gemini key is set");
  });
});

describe("a refused key", () => {
  it("ends with 3, and no secret is printed, whatever the service repeats", async () => {
    const { args, env } = await uncertain("refused", () => ({
      status: 400,
      body: errorBody(400, "INVALID_ARGUMENT", "API key not valid: AIza-very-secret hunter2-pw", [
        { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "API_KEY_INVALID" },
      ]),
    }));
    const cwd = await temporaryFolder();
    const secrets = { ...env, DATABASE_URL: "postgres://app:hunter2-pw@localhost/app" };
    const lines = Object.entries(secrets).map(([name, value]) => `${name}="${value}"\n`);
    await writeFile(join(cwd, ".env.local"), lines);
    const { ended } = start([CLI, ...args, "--verbose", "--json"], { cwd });
    const { code, stdout, stderr } = await ended;
    await rm(cwd, { recursive: true });
    expect(code).toBe(EXIT_CODES.fatal);
    expect(stderr).toMatch(/API key not valid: \S+ \[secret\]/);
    expect(JSON.parse(stdout).error.exitCode).toBe(EXIT_CODES.fatal);
    expect(stdout + stderr).not.toMatch(/AIza|hunter2/);
  });
});

/** As if somebody at a terminal typed it. */
function typed(line: string) {
  return Object.assign(new PassThrough(), { isTTY: true }).end(`${line}\n`);
}

function asking(stdin: Asking["stdin"], yes = false): Asking {
  const stderr = Object.assign(new PassThrough(), { isTTY: true });
  const { signal } = new AbortController();
  return { yes, stdin, stderr, signal, again: "vecfill run --yes" };
}

describe("a question before money is spent", () => {
  it.each([
    ["y", true],
    ["Yes", true],
    ["n", false],
    ["", false],
    ["yesterday", false],
  ])("takes %j for %j", async (line, agreed) => {
    expect(await askConsent("Submit for $3?", asking(typed(line)))).toBe(agreed);
  });

  it("is not asked with --yes, and refuses where nobody could answer", async () => {
    expect(await askConsent("Submit?", asking(new PassThrough(), true))).toBe(true);
    await expect(askConsent("Submit?", asking(new PassThrough()))).rejects.toMatchObject({
      exit: "usage",
      hint: "To agree beforehand: vecfill run --yes",
    });
    const unseen = { ...asking(typed("y")), stderr: new PassThrough() };
    await expect(askConsent("Submit?", unseen)).rejects.toMatchObject({ exit: "usage" });
  });

  it("takes the end of the input for no, and Ctrl-C for an interruption", async () => {
    const ended = Object.assign(new PassThrough(), { isTTY: true }).end();
    expect(await askConsent("Submit?", asking(ended))).toBe(false);
    const silent = Object.assign(new PassThrough(), { isTTY: true });
    const controller = new AbortController();
    const asked = askConsent("Submit?", { ...asking(silent), signal: controller.signal });
    controller.abort();
    await expect(asked).rejects.toMatchObject({ name: "AbortError" });
  });
});

function choose(lines: string, yes = false): Promise<number> | undefined {
  return chooser({ ...asking(typed(lines), yes), env: { TERM: "dumb" } })?.("Which?", ["a", "b"]);
}

describe("a choice", () => {
  it("is a number of the list, asked for three times, and nobody's with --yes", async () => {
    expect(await choose("2")).toBe(1);
    expect(choose("1", true)).toBe(undefined);
  });

  it("that is none of them, also where the input has ended, ends with what to give instead", async () => {
    await expect(choose("3\n0\nb")).rejects.toThrow("None of them was chosen.");
  });
});

describe("Ctrl-C", () => {
  it("ends with 130, says that the batches go on, and how to go on", async () => {
    const { args, env } = await uncertain("interrupted", () => "hang");
    const { child, ended } = start([CLI, ...args], { env });
    await untilAsked();
    child.kill("SIGINT");
    const { code, stderr, stdout } = await ended;
    expect([code, stdout]).toEqual([130, ""]);
    expect(stderr).toContain("Stopping: finishing what is in hand.");
    expect(stderr).toContain("batches already submitted go on at Gemini");
    expect(stderr).toContain(`hint: Go on with: vecfill ${args.join(" ")}\n`);
    expect(stderr).not.toContain("AIza");
  });

  it("leaves at once when it comes twice", async () => {
    const { args, env } = await uncertain("impatient", () => "hang");
    const signals = new EventEmitter();
    const left: number[] = [];
    const ended = runHere(args, { env, signals, leave: (code) => left.push(code) });
    await untilAsked();
    signals.emit("SIGTERM");
    expect(left).toEqual([]);
    signals.emit("SIGINT");
    expect(left).toEqual([130]);
    expect((await ended).code).toBe(130);
    expect(signals.listenerCount("SIGINT")).toBe(0);
  });

  it("gives the lock back, so that the next command is not held up", async () => {
    const { args, env } = await uncertain("released", () => "hang");
    const signals = new EventEmitter();
    const ended = runHere(args, { env, signals });
    await untilAsked();
    signals.emit("SIGINT");
    await ended;
    const manifest = await openManifest(args.at(-1) ?? "", systemClock);
    await manifest.close();
    expect(manifest.job("0001").state).toBe("submitting");
  });
});

it("a checkout that is not built says how to build it", async () => {
  const bin = join(await temporaryFolder(), "bin", "vecfill.mjs");
  await cp(BIN, bin);
  const { code, stdout, stderr } = await start([bin, "jobs"]).ended;
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(/^This checkout of vecfill is not built\.\nhint: Run `npm run build`/);
});

describe("an old Node", () => {
  it("is told in one line which one is needed", async () => {
    const pretend = `Object.defineProperty(process, "versions", { value: { node: "18.20.4" } })`;
    const { ended } = start(["--import", `data:text/javascript,${pretend}`, BIN, "jobs"]);
    const { code, stdout, stderr } = await ended;
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^vecfill needs Node 22\.18 or newer; this is v\d+\.\d+\.\d+\.\n/);
  });
});

it("every exit code of the contract has its own number", () => {
  expect(EXIT_CODES).toEqual({
    done: 0,
    rowsFailed: 1,
    usage: 2,
    fatal: 3,
    unfinished: 4,
    costLimit: 5,
    locked: 6,
    interrupted: 130,
  });
});
