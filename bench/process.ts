/** The real command line in a process of its own, and what it used. */
import { execFile, spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Readable } from "node:stream";
import { promisify } from "node:util";

/** The command line as people have it, made by `npm run build`, and as it is worked on. */
export const INSTALLED = fileURLToPath(new URL("../bin/vecfill.js", import.meta.url));
export const FROM_SOURCE = fileURLToPath(new URL("../src/cli.ts", import.meta.url));

const USAGE = new URL("usage.js", import.meta.url).href;
const MS = 1000;
const KB_A_MB = 1024;

export type Used = Readonly<{
  seconds: number;
  cpuSeconds: number;
  peakMb: number;
  stdout: string;
}>;

/** What is measured as `INSTALLED` is what the source says. */
export async function buildInstalled(): Promise<void> {
  await promisify(execFile)("npm", ["run", "build"]);
}

/** Throws when the command ends with another exit code than 0. */
export async function vecfill(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  program = FROM_SOURCE,
): Promise<Used> {
  const startMs = performance.now();
  const child = spawn(process.execPath, ["--import", USAGE, program, ...args], {
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "inherit", "pipe"],
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("close", resolve);
    child.on("error", reject);
  });
  const [code, stdout, usage] = await Promise.all([
    ended,
    text(readable(child.stdio[1])),
    text(readable(child.stdio[3])),
  ]);
  const seconds = (performance.now() - startMs) / MS;
  if (code !== 0) throw new Error(`vecfill ${args.join(" ")} ended with ${code}: ${stdout}`);
  return { seconds, stdout, ...parseUsage(usage) };
}

function readable(stream: unknown): Readable {
  if (stream instanceof Object && "pipe" in stream && "on" in stream) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return stream as Readable;
  }
  throw new Error("the process has no such stream");
}

function parseUsage(json: string): Pick<Used, "cpuSeconds" | "peakMb"> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const { cpuMicros, maxRssKb } = JSON.parse(json) as { cpuMicros: number; maxRssKb: number };
  return { cpuSeconds: cpuMicros / MS / MS, peakMb: maxRssKb / KB_A_MB };
}
