/** One of several, by the arrow keys or its number, on a terminal that can be drawn over. */
import { on } from "node:events";
import { fit } from "../output/fit.ts";

export type Picking = Readonly<{
  stdin: NodeJS.ReadableStream & Readonly<{ setRawMode(on: boolean): unknown }>;
  stderr: NodeJS.WritableStream &
    Readonly<{ columns?: number | undefined; rows?: number | undefined }>;
  signal: AbortSignal;
}>;

const [UP, DOWN, CTRL_C, CTRL_D] = ["\u001B[A", "\u001B[B", "\u0003", "\u0004"];
/** An arrow is three characters. */
const KEYS = new RegExp(String.raw`${"\u001B"}\[[A-Z]|[^]`, "g");
const ENTER = /[\r\n]/;
const USUAL = { columns: 80, rows: 24 };
/** Of the screen, for the question and what stands above it. */
const OTHER_LINES = 4;

/** Its place; undefined where the input has ended. */
export async function pickOne(
  choices: readonly string[],
  { stdin, stderr, signal }: Picking,
): Promise<number | undefined> {
  let [at, typed, isChosen] = [0, "", false];
  let lines = drawnLines(choices, at, stderr);
  stderr.write(`${lines.join("\n")}\n`);
  stdin.setRawMode(true);
  stdin.resume();
  try {
    for await (const [chunk] of on(stdin, "data", { signal, close: ["end"] })) {
      for (const [key] of String(chunk).matchAll(KEYS)) {
        if (key === CTRL_D) return undefined;
        // it is no signal here
        if (key === CTRL_C) process.kill(process.pid, "SIGINT");
        isChosen ||= ENTER.test(key);
        typed = /\d/.test(key) ? (Number(typed + key) > choices.length ? key : typed + key) : "";
        const number = Number(typed);
        const to = number > 0 ? number - 1 : at + (key === DOWN ? 1 : key === UP ? -1 : 0);
        at = Math.max(0, Math.min(to, choices.length - 1));
      }
      const before = lines.length;
      lines = drawnLines(choices, at, stderr);
      stderr.write(`\u001B[${before}A\u001B[J${lines.join("\n")}\n`);
      if (isChosen) return at;
    }
    return undefined;
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
  }
}

/** As many as the screen takes, with the chosen one among them. */
function drawnLines(choices: readonly string[], at: number, shown: Picking["stderr"]): string[] {
  const { columns = USUAL.columns, rows = USUAL.rows } = shown;
  const room = Math.max(1, rows - OTHER_LINES);
  const from = Math.max(0, Math.min(at - Math.floor(room / 2), choices.length - room));
  return choices.slice(from, from + room).map((choice, below) => {
    const mark = from + below === at ? ">" : " ";
    return fit(`${mark} ${from + below + 1}) ${choice}`, columns - 1);
  });
}
