/** Runs the command of `--on-event` through the shell. Whatever comes of it is told, never thrown. */
import { MS_PER_SECOND } from "../../clock.ts";
import { spawn } from "node:child_process";

export type HookOptions = Readonly<{
  command: string;
  env: NodeJS.ProcessEnv;
  folder: string;
  timeLimitMs: number;
}>;

const STDERR_CHARS = 2_000;

/** Resolves to what went wrong, or undefined. `payload` goes to its stdin as one line of JSON. */
export function runHook(
  { command, env, folder, timeLimitMs }: HookOptions,
  event: string,
  payload: Readonly<Record<string, unknown>>,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    // a group of its own: Ctrl-C is not meant for it, and what it starts can be stopped with it
    const child = spawn(command, {
      shell: true,
      detached: true,
      cwd: folder,
      env: { ...env, VECFILL_EVENT: event },
      stdio: ["pipe", "ignore", "pipe"],
    });
    let said = "";
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      stopGroup(child.pid);
    }, timeLimitMs);
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-STDERR_CHARS);
    });
    // it need not read
    child.stdin.on("error", () => {});
    child.stdin.end(`${JSON.stringify(payload)}\n`);
    const end = (wrong: string | undefined) => {
      clearTimeout(timer);
      child.stderr.destroy();
      resolve(wrong);
    };
    child.on("error", (error) => end(error.message));
    child.on("exit", (code, signal) => {
      if (isLate)
        return end(`it took longer than ${timeLimitMs / MS_PER_SECOND} s and was stopped`);
      if (code === 0) return end(undefined);
      const last = said.trim().split("\n").at(-1) ?? "";
      end(
        `${code === null ? String(signal) : `exit code ${code}`}${last === "" ? "" : `, ${last}`}`,
      );
    });
  });
}

function stopGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    // it has just ended by itself
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
