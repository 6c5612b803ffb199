/** One real vecfill process, watched from outside, and struck at a moment of it. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readSync, watch } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { leash } from "./leash.ts";
import type { Aim, Moment } from "./moments.ts";

const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));
/** The longest waits within a command are its retries, half a minute each at most. */
const COMMAND_LIMIT_MS = 180_000;

export type Strike = Readonly<{ aim: Aim; strike: (kill: () => void) => void }>;

export type CommandEnd = Readonly<{
  /** Null when it was killed. */
  code: number | null;
  /** The last moment that was seen. */
  last: Moment;
  isOverLimit: boolean;
  stdout: string;
  stderr: string;
}>;

export type CommandOptions = Readonly<{
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  jobsFolder: string;
  strikes: readonly Strike[];
  onMoment: (moment: Moment) => void;
  limitMs?: number;
}>;

/** The program as its users start it. Resolves when the process has ended, however it did. */
export async function runCommand(options: CommandOptions): Promise<CommandEnd> {
  const { args, env, cwd, jobsFolder } = options;
  await mkdir(jobsFolder, { recursive: true, mode: 0o700 });
  let last: Moment = "";
  const timers = new Set<NodeJS.Timeout>();
  const counts = new Map<Moment, number>();
  const onMoment = (moment: Moment) => {
    last = moment;
    options.onMoment(moment);
    const nth = (counts.get(moment) ?? 0) + 1;
    counts.set(moment, nth);
    for (const { aim, strike } of options.strikes) {
      if (aim.moment !== moment || aim.nth !== nth) continue;
      const now = () => strike(() => child.kill("SIGKILL"));
      if (aim.delayMs === 0) now();
      else timers.add(setTimeout(now, aim.delayMs));
    }
  };
  const stopWatching = watchFolder(jobsFolder, onMoment);
  const child = leash(
    spawn(process.execPath, [CLI, ...args], { cwd, env, stdio: ["ignore", "pipe", "pipe"] }),
  );
  const texts = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    texts.stdout += text;
    onMoment("answer");
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    texts.stderr += text;
    for (const line of text.split("\n")) {
      const word = PROGRESS.exec(line)?.groups?.["word"];
      if (word !== undefined) onMoment(`line ${word}`);
    }
  });
  let isOverLimit = false;
  timers.add(
    setTimeout(() => {
      isOverLimit = true;
      child.kill("SIGKILL");
    }, options.limitMs ?? COMMAND_LIMIT_MS),
  );
  onMoment("start");
  try {
    const code = await new Promise<number | null>((ended, failed) => {
      child.on("close", ended);
      child.on("error", failed);
    });
    return { code, last, isOverLimit, ...texts };
  } finally {
    for (const timer of timers) clearTimeout(timer);
    stopWatching();
  }
}

const PROGRESS =
  /^(?:\d{4,} )?(?<word>exporting|exported|uploading|submitted|waiting|pending|ended|embedding|embedded|downloading|downloaded|importing|imported|resubmitted)\b/;

/** Tells of files that come and go, and of the journal's new events. */
function watchFolder(folder: string, onMoment: (moment: Moment) => void): () => void {
  const journal = new JournalTail(join(folder, "manifest.ndjson"));
  journal.newEvents();
  const watcher = watch(folder, (kind, name) => {
    if (name === null) return;
    if (name === "manifest.ndjson") {
      for (const type of journal.newEvents()) onMoment(`journal ${type}`);
    } else if (kind === "rename") onMoment(`file ${fileKind(name)}`);
  });
  watcher.on("error", () => {});
  return () => watcher.close();
}

/** `0001.requests.jsonl.part` is of the kind `requests.jsonl.part`, `manifest.lock.<id>` of `manifest.lock.*`. */
function fileKind(name: string): string {
  return name.replace(/^\d{4,}\./, "").replace(/\.[0-9a-f-]{36}$/, ".*");
}

const EVENT = /"type":"(?<type>\w+)"(?:.*?"step":"(?<step>\w+)")?/;

class JournalTail {
  readonly #path: string;
  #endsAt = 0;
  #rest = "";

  constructor(path: string) {
    this.#path = path;
  }

  /** Types of the events since the last call, with their steps; a line that is not whole yet is left for the next. */
  newEvents(): string[] {
    const lines = (this.#rest + this.#read()).split("\n");
    this.#rest = lines.pop() ?? "";
    return lines.map((line) => {
      const { type = "header", step } = EVENT.exec(line)?.groups ?? {};
      return step === undefined ? type : `${type} ${step}`;
    });
  }

  #read(): string {
    const buffer = Buffer.alloc(READ_BYTES);
    let handle: number;
    try {
      handle = openSync(this.#path, "r");
    } catch {
      return "";
    }
    try {
      const read = readSync(handle, buffer, 0, READ_BYTES, this.#endsAt);
      this.#endsAt += read;
      return buffer.toString("utf8", 0, read);
    } finally {
      closeSync(handle);
    }
  }
}

const READ_BYTES = 1024 * 1024;
