/** Asks a person before money is spent. */
import { createInterface } from "node:readline/promises";
import { usageError } from "../errors.ts";
import { canMove } from "../output/color.ts";
import { folded } from "../words/text-lines.ts";
import type { Picking } from "./picker.ts";

export type Asking = Readonly<{
  /** `--yes`. */
  yes: boolean;
  stdin: NodeJS.ReadableStream & Readonly<{ isTTY?: boolean | undefined }>;
  stderr: NodeJS.WritableStream &
    Readonly<{ isTTY?: boolean | undefined; columns?: number | undefined }>;
  signal: AbortSignal;
  /** The same command line with `--yes`. */
  again: string;
}>;

/**
 * True for yes; everything else is no, the end of the input included. Throws a UserError when there
 * is no terminal to ask on, and the signal's reason when it is aborted.
 */
export async function askConsent(question: string, asking: Asking): Promise<boolean> {
  const { yes, stdin, stderr, again } = asking;
  if (yes) return true;
  if (stdin.isTTY !== true || stderr.isTTY !== true) {
    throw usageError(
      `${question} There is no terminal to ask on.`,
      `To agree beforehand: ${again}`,
    );
  }
  const prompt = folded(`${question} [y/N]`, (stderr.columns ?? USUAL_COLUMNS) - 1);
  return /^y(?:es)?$/i.test(await answer(`${prompt} `, asking));
}

const USUAL_COLUMNS = 80;
const TRIES = 3;

/** The place of the one that is chosen. Undefined: there is nobody to ask. */
export function chooser(asking: Asking & Readonly<{ env: NodeJS.ProcessEnv }>) {
  const { yes, stdin, stderr, env } = asking;
  if (yes || stdin.isTTY !== true || stderr.isTTY !== true) return undefined;
  return async (question: string, choices: readonly string[]): Promise<number> => {
    const isDrawn = canMove(stderr, env) && hasKeys(stdin);
    const at = await (isDrawn
      ? picked(question, choices, { ...asking, stdin })
      : numbered(question, choices, asking));
    if (at !== undefined) return at;
    throw usageError("None of them was chosen.", "Give --table, --text and --embedding instead.");
  };
}

function hasKeys(stdin: Asking["stdin"]): stdin is Picking["stdin"] {
  return "setRawMode" in stdin && typeof stdin.setRawMode === "function";
}

async function picked(question: string, choices: readonly string[], picking: Picking) {
  const { pickOne } = await import("./picker.ts");
  picking.stderr.write(`${question} (arrow keys or its number, then Enter)\n`);
  return pickOne(choices, picking);
}

async function numbered(
  question: string,
  choices: readonly string[],
  asking: Asking,
): Promise<number | undefined> {
  const list = choices.map((choice, at) => `  ${at + 1}) ${choice}\n`).join("");
  for (let tried = 0; tried < TRIES; tried += 1) {
    const number = Number(await answer(`${question}\n${list}1 to ${choices.length}: `, asking));
    if (Number.isInteger(number) && number >= 1 && number <= choices.length) return number - 1;
  }
  return undefined;
}

async function answer(prompt: string, { stdin, stderr, signal }: Asking): Promise<string> {
  if (!stdin.readable) return "";
  // not as a terminal: so Ctrl-C stays a signal, and ends the question as it ends all else
  const terminal = createInterface({ input: stdin, output: stderr, terminal: false });
  try {
    const closed = new Promise<string>((resolve) => {
      // an answer that came just before the end counts
      terminal.once("close", () => setImmediate(() => resolve("")));
    });
    const answered = terminal.question(prompt, { signal }).catch((error: unknown) => {
      if (signal.aborted) throw error;
      // the input ended first
      return "";
    });
    return (await Promise.race([answered, closed])).trim();
  } finally {
    terminal.close();
  }
}
