/** The emulator as a process of its own, so that it can be killed too. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { leash } from "./leash.ts";
import { type Emulator, startEmulator } from "../src/emulator/emulator.ts";

const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));
const START_LIMIT_MS = 60_000;

export type EmulatorOptions = Readonly<{
  /** Its state lives here and outlives it. */
  folder: string;
  cwd: string;
  env: NodeJS.ProcessEnv;
  faults: string;
  seed: number;
  batchSeconds: number;
}>;

export class EmulatorProcess {
  readonly #options: EmulatorOptions;
  #child: ChildProcess | undefined;
  #starts = 0;
  #port = 0;

  constructor(options: EmulatorOptions) {
    this.#options = options;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Under the same address as before; another seed, since the faults are drawn from the start again. */
  async start(): Promise<void> {
    const { folder, cwd, env, faults, seed, batchSeconds } = this.#options;
    this.#starts += 1;
    const flags = {
      folder,
      faults,
      port: this.#port,
      seed: seed + this.#starts,
      "batch-seconds": batchSeconds,
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    const command = [CLI, "emulator", ...args];
    const child = leash(
      spawn(process.execPath, command, { cwd, env, stdio: ["ignore", "pipe", "inherit"] }),
    );
    this.#child = child;
    this.#port = await listening(child);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = once(child, "close");
    child.kill("SIGKILL");
    await ended;
  }

  /** What it was paid for, read from its folder once it is dead. */
  async withLedger<T>(
    work: (ledger: Pick<Emulator, "billing" | "batches" | "paidTexts">) => Promise<T>,
  ): Promise<T> {
    await this.kill();
    const emulator = await startEmulator({ folder: this.#options.folder });
    try {
      return await work(emulator);
    } finally {
      await emulator.close();
    }
  }
}

/** Resolves to its port. */
async function listening(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error("the emulator does not start")),
      START_LIMIT_MS,
    );
    let text = "";
    child.stdout?.setEncoding("utf8").on("data", (more: string) => {
      text += more;
      const port = /listens on http:\/\/[^:]+:(?<port>\d+)/.exec(text)?.groups?.["port"];
      if (port === undefined) return;
      clearTimeout(timer);
      resolve(Number(port));
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      reject(new Error(`the emulator ended with ${code} before it listened`));
    });
  });
}
