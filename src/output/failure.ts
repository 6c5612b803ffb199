/**
 * What is said about an error that reached the top: for people where somebody can do something
 * about it, with its stack where it is a bug.
 */
import { inspect } from "node:util";
import { errorCode } from "../disk/presence.ts";
import { EXIT_CODES, type ExitReason, UserError } from "../errors.ts";
import { explain } from "../words/explain.ts";
import { GeminiError } from "../gemini/port.ts";

export type Failure = Readonly<{
  message: string;
  hint: string;
  exit: ExitReason;
  /** The stacks of a bug, or of the causes of an error for people. */
  stack: string | undefined;
  bug: boolean;
}>;

/** An error that was caused by an error that was caused … is shown only so deep. */
const CAUSES_MAX = 5;

export function failureOf(error: unknown): Failure {
  const known = error instanceof UserError ? error : translated(error);
  if (known === undefined) return bug(error);
  const { message, hint, exit, cause } = known;
  return {
    message,
    hint,
    exit,
    stack: cause === undefined ? undefined : stackOf(cause),
    bug: false,
  };
}

/** The `error` member of `--json`. */
export function failureObject({ message, hint, exit }: Failure): Record<string, unknown> {
  return { message, hint, exitCode: EXIT_CODES[exit] };
}

function bug(error: unknown): Failure {
  return {
    message: `This is a bug in vecfill: ${error instanceof Error ? error.message : inspect(error)}`,
    hint: "Please report it with the lines above. What is recorded in the jobs folder is safe: the same command goes on from there.",
    exit: "fatal",
    stack: stackOf(error),
    bug: true,
  };
}

function stackOf(error: unknown): string {
  const stacks: string[] = [];
  for (let cause = error; cause !== undefined && stacks.length < CAUSES_MAX;) {
    stacks.push(cause instanceof Error ? (cause.stack ?? cause.message) : inspect(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return stacks.join("\ncaused by: ");
}

/** What the machine refuses is no bug either. */
const SYSTEM: Readonly<Record<string, string>> = {
  ENOSPC: "Make room on the disk, then run the same command again.",
  EDQUOT: "Make room in your disk quota, then run the same command again.",
  EROFS: "The disk is read-only: name another jobs folder with --jobs-dir.",
  EACCES: "Give yourself the right to it, or name another jobs folder with --jobs-dir.",
  EPERM: "Give yourself the right to it, or name another jobs folder with --jobs-dir.",
  ENOTDIR: "A file stands where a folder should be: name another jobs folder with --jobs-dir.",
  EISDIR: "A folder stands where a file should be: move it away, then run the same command again.",
  EIO: "The disk failed to read or write: check it, then run the same command again.",
  EMFILE: "Too many open files: raise the limit with `ulimit -n`.",
  ENFILE: "Too many open files on this machine.",
};

function translated(error: unknown): UserError | undefined {
  if (error instanceof GeminiError) return explain(error, "The call to Gemini");
  const hint = SYSTEM[errorCode(error)];
  if (!(error instanceof Error) || hint === undefined) return undefined;
  return new UserError(`The system refused: ${error.message}.`, { hint, cause: error });
}
