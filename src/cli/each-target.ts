/** Commands over several targets, one after the other. */
import { type ExitReason, UserError } from "../errors.ts";
import { count, dollars } from "../words/figures.ts";
import { failureObject, failureOf } from "../output/failure.ts";
import { restOf } from "../settings/config.ts";
import type { CommandContext, CommandResult } from "./command.ts";

/** What the targets came to: the first of these that one of them had. */
const WORST_FIRST: readonly ExitReason[] = ["fatal", "costLimit", "unfinished", "rowsFailed"];

export function worstOf(exits: readonly ExitReason[]): ExitReason {
  return WORST_FIRST.find((exit) => exits.includes(exit)) ?? "done";
}

/** With each table that a pattern or a partitioned table stands for as a target; found anew each time. */
export async function withLeaves<
  C extends Pick<CommandContext, "services" | "settings" | "targets" | "originsOfEach">,
>(context: C, again?: boolean): Promise<C> {
  const leaves = await context.services.leaves(again);
  const targets = leaves.flat();
  const originsOfEach = context.originsOfEach.flatMap((its, at) =>
    (leaves[at] ?? []).map(() => its),
  );
  return { ...context, settings: targets[0] ?? context.settings, targets, originsOfEach };
}

/** Of one that was named; without a name all jobs are meant. */
export async function withLeavesOfNamed<C extends Parameters<typeof withLeaves>[0]>(
  context: C,
): Promise<C> {
  return context.settings.target === undefined ? context : withLeaves(context);
}

export const forEachTable: typeof forEachTarget = async (context, work) =>
  forEachTarget(await withLeaves(context), work);

/** The same for what has something to say without the database, too: of the target itself where it cannot be asked. */
export const forEachSeen: typeof forEachTarget = async (context, work) => {
  const seen = withLeaves(context, false).catch((error: unknown) => {
    if (error instanceof UserError && error.exit !== "usage") return context;
    throw error;
  });
  return forEachTarget(await seen, work);
};

/** What stands against one is its result, and the others have theirs. */
export async function forEachTarget<C extends CommandContext>(
  context: C,
  work: (its: C) => Promise<CommandResult>,
): Promise<CommandResult> {
  const { targets, originsOfEach, signal, report } = context;
  if (targets.length < 2) return work(context);
  let seen: ReturnType<typeof context.services.view> | undefined;
  const services = { ...context.services, view: () => (seen ??= context.services.view()) };
  const results: (CommandResult & Readonly<{ name: string }>)[] = [];
  for (const [at, asked] of targets.entries()) {
    signal.throwIfAborted();
    const selected = results.map((each) => each.selected ?? 0);
    const settings = restOf(asked, targets, selected);
    const origins = originsOfEach[at] ?? context.origins;
    const name = settings.target ?? "";
    const result = await work({ ...context, services, settings, origins }).catch(
      (error: unknown) => {
        const failure = failureOf(error);
        const { message, hint, exit, bug } = failure;
        if (bug || !WORST_FIRST.includes(exit)) throw error;
        report({ type: "warning", message: `${name}: ${message}`, hint });
        return { json: { error: failureObject(failure) }, text: message, exit };
      },
    );
    results.push({ ...result, name });
  }
  const exit = worstOf(results.map((each) => each.exit ?? "done"));
  const following = results.filter((each) => (each.exit ?? "done") === exit && each.next);
  const texts = results.map(({ name, text }) => `${name}:\n${text}`);
  return {
    json: { targets: results.map(({ name, json }) => ({ target: name, ...json })) },
    text: [...texts, ...sumsText(results)].join("\n\n"),
    // a full column needs nothing as much as another one needs rows
    next: (following.find(({ remaining }) => remaining !== 0) ?? following[0])?.next,
    exit,
  };
}

const ADDED = ["rows", "exported", "total", "withEmbedding", "tokens", "usdBatch", "usd"];

/** `5 of 6 together`: what stands against the others is told of each. */
function sumsText(results: readonly CommandResult[]): readonly string[] {
  const told = results.filter(({ json }) => !("error" in json));
  const sums = ADDED.flatMap((name) => {
    const sum = told.reduce((all, { json }) => all + Number.parseFloat(String(json[name])), 0);
    const words = name.replace(/[A-Z]/, (letter) => ` ${letter.toLowerCase()}`);
    if (Number.isNaN(sum)) return [];
    return [name.startsWith("usd") ? `about ${dollars(sum)}` : `${count(sum)} ${words}`];
  });
  if (told.length === 0 || sums.length === 0) return [];
  return [`${told.length} of ${results.length} together: ${sums.join(", ")}.`];
}
