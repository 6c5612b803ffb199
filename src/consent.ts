/** Asks a person before money is spent. */
import { UserError } from "./errors.ts";

export type Asking = Readonly<{
  /** `--yes`. */
  yes: boolean;
  stdin: NodeJS.ReadableStream & Readonly<{ isTTY?: boolean | undefined }>;
  stderr: NodeJS.WritableStream;
  signal: AbortSignal;
}>;

/** True for yes. Throws a UserError when there is no terminal to ask on. */
export async function askConsent(question: string, asking: Asking): Promise<boolean> {
  const { yes, stdin, stderr, signal } = asking;
  if (yes) return true;
  if (stdin.isTTY !== true) {
    throw new UserError(`${question} There is no terminal to ask on.`, {
      hint: "Give --yes to agree beforehand.",
      exit: "usage",
    });
  }
  const { createInterface } = await import("node:readline/promises");
  const terminal = createInterface({ input: stdin, output: stderr });
  try {
    const answer = await terminal.question(`${question} [y/N] `, { signal });
    return /^y(?:es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}
