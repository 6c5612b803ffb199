/** Asks a person before money is spent. */
import { createInterface } from "node:readline/promises";
import { usageError } from "../errors.ts";

export type Asking = Readonly<{
  /** `--yes`. */
  yes: boolean;
  stdin: NodeJS.ReadableStream & Readonly<{ isTTY?: boolean | undefined }>;
  stderr: NodeJS.WritableStream & Readonly<{ isTTY?: boolean | undefined }>;
  signal: AbortSignal;
  /** The same command line with `--yes`. */
  again: string;
}>;

/**
 * True for yes; everything else is no, the end of the input included. Throws a UserError when there
 * is no terminal to ask on, and the signal's reason when it is aborted.
 */
export async function askConsent(question: string, asking: Asking): Promise<boolean> {
  const { yes, stdin, stderr, signal, again } = asking;
  if (yes) return true;
  if (stdin.isTTY !== true || stderr.isTTY !== true) {
    throw usageError(
      `${question} There is no terminal to ask on.`,
      `To agree beforehand: ${again}`,
    );
  }
  // not as a terminal: so Ctrl-C stays a signal, and ends the question as it ends all else
  const terminal = createInterface({ input: stdin, output: stderr, terminal: false });
  try {
    const closed = new Promise<string>((resolve) => {
      // an answer that came just before the end counts
      terminal.once("close", () => setImmediate(() => resolve("")));
    });
    const answered = terminal.question(`${question} [y/N] `, { signal }).catch((error: unknown) => {
      if (signal.aborted) throw error;
      // the input ended first
      return "";
    });
    const answer = await Promise.race([answered, closed]);
    return /^y(?:es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}
