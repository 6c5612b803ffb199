import { UserError } from "../errors.ts";
import { GeminiError, type GeminiErrorKind } from "./port.ts";

const PASSING: readonly GeminiErrorKind[] = ["unreachable", "uncertain", "quota"];

/**
 * True where a request left and nothing at all came back: unlike a 5xx, it may have been carried out
 * and charged.
 */
export function isUnanswered(error: unknown): boolean {
  const cause = error instanceof UserError ? error.cause : error;
  const isLost = cause instanceof GeminiError && cause.kind === "uncertain";
  return isLost && cause.httpStatus === undefined;
}

/** True for what passes by itself: no network, no answer, too many calls. Nothing is lost by waiting. */
export function isOutage(error: unknown): boolean {
  const cause = error instanceof UserError ? error.cause : error;
  return cause instanceof GeminiError && PASSING.includes(cause.kind);
}
