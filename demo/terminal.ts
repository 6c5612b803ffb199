/** A terminal of 80 columns to type into and to read from: tmux, with a server of its own. */
import { execFile } from "node:child_process";
import { rm, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const execute = promisify(execFile);

const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));
const COLUMNS = "80";
const ROWS = "40";
const LOOK_EVERY_MS = 100;
const PROMPT = "$ ";

export type Terminal = Readonly<{
  /** On a cleared screen. */
  type(line: string): Promise<void>;
  press(key: string): Promise<void>;
  /** What is on the screen, and above it, since the last line was typed. */
  screen(): Promise<string>;
  /** Resolves to the screen when the command has ended; an exit code other than 0 is told. */
  ended(): Promise<string>;
  close(): Promise<void>;
}>;

export async function openTerminal(folder: string, env: NodeJS.ProcessEnv): Promise<Terminal> {
  const exitFile = join(folder, "exit");
  const socket = join(folder, "tmux");
  const start = join(folder, "start.sh");
  await writeFile(start, startFile(exitFile));
  const tmux = async (...args: readonly string[]): Promise<string> => {
    const { PATH } = process.env;
    const settings = { PATH, TERM: "xterm-256color", LANG: "C.UTF-8", HOME: folder, ...env };
    const all = ["-S", socket, "-f", "/dev/null", ...args];
    return (await execute("tmux", all, { env: settings, cwd: folder })).stdout;
  };
  const shell = ["bash", "--noprofile", "--rcfile", start, "-i"];
  await tmux("new-session", "-d", "-x", COLUMNS, "-y", ROWS, ...shell);
  await untilRead(exitFile);

  async function screen(): Promise<string> {
    const text = await tmux("capture-pane", "-p", "-S", "-");
    const lines = text.split("\n").map((line) => line.trimEnd());
    return lines.join("\n").trimEnd();
  }
  return {
    screen,
    type: async (line) => {
      await rm(exitFile, { force: true });
      await tmux("send-keys", "C-l");
      await sleep(LOOK_EVERY_MS);
      await tmux("clear-history");
      await tmux("send-keys", "-l", line);
      await tmux("send-keys", "Enter");
    },
    press: async (key) => {
      await tmux("send-keys", key);
    },
    ended: async () => {
      const code = (await untilRead(exitFile)).trim();
      await sleep(LOOK_EVERY_MS);
      const text = (await screen()).replace(/\n\$$/, "");
      return code === "0" ? text : `${text}\n\n(exit code ${code})`;
    },
    close: async () => {
      await tmux("kill-server");
    },
  };
}

/** Before each prompt the shell tells how the command ended. */
function startFile(exitFile: string): string {
  return [
    `PS1='${PROMPT}'`,
    `vecfill() { '${process.execPath}' '${CLI}' "$@"; }`,
    `PROMPT_COMMAND='echo $? >${exitFile}'`,
    "",
  ].join("\n");
}

async function untilRead(path: string): Promise<string> {
  for (;;) {
    const text = await readFile(path, "utf8").catch(() => "");
    if (text.endsWith("\n")) return text;
    await sleep(LOOK_EVERY_MS);
  }
}
