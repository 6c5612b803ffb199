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

  constructor(job: string, error: UserError, hint = error.hint) {
    super(`Job ${job}: ${error.message}`, { hint, exit: error.exit, cause: error });
    this.job = job;
  }
}

/** What came in place of the job's results is not known to be them; they may still come. */
export class ResultsDoubted extends JobBlocked {}

/** Others have gone on with what was in hand: nothing of it counts any more. */
export class HoldLost extends UserError {
  constructor(what: string) {
    super(`${what} was gone on with by another process; what was in hand here is dropped.`, {
      hint: "Nothing is lost: run the same command again, which sees how things stand now.",
      exit: "unfinished",
    });
  }
}

/** The name that somebody may have meant: the nearest of those there are, if it is near. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const [best] = byNearness(name, known);
  const isNear = best !== undefined && best.edits <= Math.max(1, name.length * NEAR_PART);
  return isNear ? best.candidate : undefined;
}

const MAX_NAMED = 8;

/** `a, b and 31 more`: those nearest to what was wanted. */
export function nearFirst(
  wanted: string,
  names: readonly string[],
  show: (name: string) => string = String,
): string {
  const near = byNearness(wanted, names).slice(0, MAX_NAMED);
  const more = names.length - near.length;
  const shown = near.map(({ candidate }) => show(candidate)).join(", ");
  return more === 0 ? shown : `${shown} and ${more.toLocaleString("en")} more`;
}

/** The nearest first, however far. */
export function byNearness(name: string, known: readonly string[]) {
  return known
    .map((candidate) => ({ candidate, edits: editDistance(name, candidate) }))
    .sort((a, b) => a.edits - b.edits);
}

/** How much of a name may be wrong. */
const NEAR_PART = 1 / 3;

/** Levenshtein's distance, a row of its table at a time; two letters that changed places are one edit. */
function editDistance(a: string, b: string): number {
  const letters = Array.from(a);
  const others = Array.from(b);
  let twoAbove: number[] = [];
  let above = Array.from({ length: others.length + 1 }, (_, column) => column);
  for (const [index, letter] of letters.entries()) {
    const row = [index + 1];
    for (const [column, other] of others.entries()) {
      const replaced = (above[column] ?? 0) + (letter === other ? 0 : 1);
      const swapped = letter === others[column - 1] && other === letters[index - 1];
      const swap = swapped ? (twoAbove[column - 1] ?? Infinity) + 1 : Infinity;
      row.push(Math.min(replaced, swap, (above[column + 1] ?? 0) + 1, (row[column] ?? 0) + 1));
    }
    [twoAbove, above] = [above, row];
  }
  return above[others.length] ?? 0;
}
