/** Runs command lines in this process, with streams that remember, and in a process of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import { PassThrough, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { type World, run } from "../src/cli.ts";
import { compiledFolder } from "./embedded/prepared.ts";

export type Ended = Readonly<{ code: number | null; stdout: string; stderr: string }>;

export const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));

/** Of processes that open an embedded database, as vitest.config.ts has it. */
export const QUICK_TO_COMPILE = "--liftoff-only";

/** What every process gets, whatever else its variables are. */
export function itsOwn(env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { PATH: process.env["PATH"], NODE_COMPILE_CACHE: compiledFolder(), ...env };
}

type Setup = Partial<Pick<World, "env" | "folder" | "signals" | "leave">> &
  Readonly<{
    /** Told of what goes to stderr, before the command does anything else. */
    listen?: (text: string) => void;
    /** What somebody at a terminal answers when asked; without it there is nobody. */
    answer?: string;
    /** Of the terminal that results go to; without it they go to none. */
    screen?: Readonly<{ columns: number; rows: number }>;
  }>;

/** Sees no variable and no `.env` but those given. */
export async function runHere(
  args: readonly string[],
  { listen, answer, screen, ...setup }: Setup = {},
): Promise<Ended> {
  const isTTY = answer !== undefined;
  const stdout = Object.assign(
    new PassThrough({ encoding: "utf8" }),
    screen && { ...screen, isTTY: true },
  );
  const stderr = new PassThrough({ encoding: "utf8" });
  const heard = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      stderr.write(chunk);
      listen?.(chunk.toString());
      done();
    },
  });
  const code = await run(args, {
    stdin: Object.assign(new PassThrough(), { isTTY }).end(isTTY ? `${answer}\n` : undefined),
    stdout,
    stderr: Object.assign(heard, { isTTY }),
    env: {},
    folder: "/nonexistent",
    signals: new EventEmitter(),
    leave: () => {},
    ...setup,
  });
  return { code, stdout: String(stdout.read() ?? ""), stderr: String(stderr.read() ?? "") };
}

type Process = Readonly<{ child: ChildProcess; ended: Promise<Ended> }>;
type ProcessOptions = Readonly<{ env?: NodeJS.ProcessEnv; cwd?: string }>;

/** Starts `node <args>`. */
export function start(args: readonly string[], options: ProcessOptions = {}): Process {
  return startProgram(process.execPath, args, options);
}

/** `ended` resolves when the program has ended and its streams are read. */
export function startProgram(
  program: string,
  args: readonly string[],
  { env = {}, cwd }: ProcessOptions = {},
): Process {
  const child = spawn(program, args, {
    cwd,
    env: itsOwn(env),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const code = new Promise<number | null>((resolve, reject) => {
    child.on("close", resolve);
    child.on("error", reject);
  });
  const ended = Promise.all([code, text(child.stdout), text(child.stderr)]).then(
    ([exit, stdout, stderr]) => ({ code: exit, stdout, stderr }),
  );
  return { child, ended };
}
