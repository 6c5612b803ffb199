/** Commands over several targets, one after the other. */
import { type ExitReason, UserError } from "../errors.ts";
import type { CommandContext, CommandResult } from "./command.ts";

/** What the targets came to: the first of these that one of them had. */
const WORST_FIRST: readonly ExitReason[] = ["fatal", "costLimit", "unfinished", "rowsFailed"];

export function worstOf(exits: readonly ExitReason[]): ExitReason {
  return WORST_FIRST.find((exit) => exits.includes(exit)) ?? "done";
}

/** What stands against one is its result, and the others have theirs. */
export async function forEachTarget<C extends CommandContext>(
  context: C,
  work: (its: C) => Promise<CommandResult>,
): Promise<CommandResult> {
  const { targets, originsOfEach, signal } = context;
  if (targets.length < 2) return work(context);
  const results: (CommandResult & Readonly<{ name: string }>)[] = [];
  for (const [at, settings] of targets.entries()) {
    signal.throwIfAborted();
    const origins = originsOfEach[at] ?? context.origins;
    const result = await work({ ...context, settings, origins }).catch(resultOfError);
    results.push({ ...result, name: settings.target ?? "" });
  }
  const exit = worstOf(results.map((each) => each.exit ?? "done"));
  return {
    json: { targets: results.map(({ name, json }) => ({ target: name, ...json })) },
    text: results.map(({ name, text }) => `${name}:\n${text}`).join("\n\n"),
    next: results.find((each) => (each.exit ?? "done") === exit && each.next)?.next,
    exit,
  };
}

function resultOfError(error: unknown): CommandResult {
  if (!(error instanceof UserError) || !WORST_FIRST.includes(error.exit)) throw error;
  const { message, hint, exit } = error;
  return { json: { error: { message, hint } }, text: `error: ${message}\nhint: ${hint}`, exit };
}
