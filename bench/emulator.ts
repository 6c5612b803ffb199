/** The emulator in a process of its own, so that what it uses is not taken for ours. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));
const ADDRESS = /^export GOOGLE_GEMINI_BASE_URL=(?<url>\S+)$/;

/** Without latency and without quota. What it stores goes to `folder`, which is removed at the end. */
export async function withEmulator<T>(
  folder: string,
  work: (url: string) => Promise<T>,
): Promise<T> {
  const args = ["emulator", "--port", "0", "--batch-seconds", "0", "--folder", folder];
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    return await work(await addressOf(child.stdout));
  } finally {
    if (child.exitCode === null) {
      child.kill("SIGINT");
      await once(child, "exit");
    }
    await rm(folder, { recursive: true, force: true });
  }
}

async function addressOf(output: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: output })) {
    const url = ADDRESS.exec(line)?.groups?.["url"];
    if (url !== undefined) return url;
  }
  throw new Error("the emulator ended before it listened");
}
