import { type UserError, usageError } from "../errors.ts";

/** `what` is for one process with a jobs folder; `otherwise` is what can be done. */
export function needsFolder(what: string, otherwise: string): UserError {
  return usageError(
    `${what} does not work over a shared manifest (--manifest postgres).`,
    otherwise,
  );
}
