/** Commands over several targets, one after the other. */
import type { ExitReason } from "../errors.ts";
import { failureObject, failureOf } from "../output/failure.ts";
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
  const { targets, originsOfEach, signal, report } = context;
  if (targets.length < 2) return work(context);
  const results: (CommandResult & Readonly<{ name: string }>)[] = [];
  for (const [at, settings] of targets.entries()) {
    signal.throwIfAborted();
    const origins = originsOfEach[at] ?? context.origins;
    const name = settings.target ?? "";
    const result = await work({ ...context, settings, origins }).catch((error: unknown) => {
      const failure = failureOf(error);
      const { message, hint, exit, bug } = failure;
      if (bug || !WORST_FIRST.includes(exit)) throw error;
      report({ type: "warning", message: `${name}: ${message}`, hint });
      return { json: { error: failureObject(failure) }, text: message, exit };
    });
    results.push({ ...result, name });
  }
  const exit = worstOf(results.map((each) => each.exit ?? "done"));
  const following = results.filter((each) => (each.exit ?? "done") === exit && each.next);
  return {
    json: { targets: results.map(({ name, json }) => ({ target: name, ...json })) },
    text: results.map(({ name, text }) => `${name}:\n${text}`).join("\n\n"),
    // a full column needs nothing as much as another one needs rows
    next: (following.find(({ remaining }) => remaining !== 0) ?? following[0])?.next,
    exit,
  };
}
