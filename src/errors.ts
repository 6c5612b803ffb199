/**
 * Errors for people. Whatever is not one of these is a bug and keeps its stack.
 * `cli.ts` holds the only catch that turns them into output and an exit code.
 */
export const EXIT_CODES = {
  done: 0,
  rowsFailed: 1,
  usage: 2,
  fatal: 3,
  unfinished: 4,
  costLimit: 5,
  locked: 6,
  interrupted: 130,
} as const;

export type ExitReason = keyof typeof EXIT_CODES;

export class UserError extends Error {
  override readonly name = "UserError";
  /** The exact next thing to type or to change, a sentence or a command. */
  readonly hint: string;
  readonly exit: ExitReason;

  /** `message` says what happened and why; `hint` what to do next. Neither may hold a secret. */
  constructor(message: string, options: { hint: string; exit?: ExitReason; cause?: unknown }) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.hint = options.hint;
    this.exit = options.exit ?? "fatal";
  }
}

/** Wrong arguments, something not set, or consent refused. */
export function usageError(message: string, hint: string): UserError {
  return new UserError(message, { hint, exit: "usage" });
}

/** What is wrong concerns one job alone: the others can go on. */
export class JobBlocked extends UserError {
  readonly job: string;

  constructor(job: string, error: UserError) {
    super(`Job ${job}: ${error.message}`, { hint: error.hint, exit: error.exit, cause: error });
    this.job = job;
  }
}

/** What came in place of the job's results is not known to be them; they may still come. */
export class ResultsDoubted extends JobBlocked {}
