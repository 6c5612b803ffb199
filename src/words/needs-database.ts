import { type UserError, usageError } from "../errors.ts";

/** `what` needs more than an API gives; `otherwise` is what can be done without. */
export function needsDatabase(what: string, otherwise = ""): UserError {
  return usageError(
    `${what} needs the database itself, not its API.`,
    `Set DATABASE_URL to the database's own address (in Supabase: Connect, Session pooler)${otherwise}`,
  );
}
