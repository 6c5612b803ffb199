/** What a run came to for one of several targets. */
import type { ExitReason } from "../../errors.ts";
import { tableName } from "../../row/target.ts";
import type { PartSummary } from "../../run/run.ts";
import { count } from "../../words/figures.ts";

export function partJson(part: PartSummary) {
  const { requests, written, failed, stale, filled, gone, pending } = part;
  const sums = { requests, written, failed, stale, filled, gone };
  const told = { remaining: part.remaining ?? null, error: part.error?.message ?? null };
  return { target: part.name ?? tableName(part.target), ...sums, pending, ...told };
}

export function partText({ name, target, error, ...sums }: PartSummary): string {
  const { written, failed, remaining = 0 } = sums;
  if (error !== undefined) return `${name ?? tableName(target)}: ${error.message}`;
  const ill = failed > 0 ? `, ${count(failed)} failed` : "";
  return `${name ?? tableName(target)}: ${count(written)} written${ill}, ${count(remaining)} still without a vector.`;
}

/** By what stands against it; its rows are counted with all others. */
export function exitOfPart({ error }: PartSummary): ExitReason {
  if (error === undefined) return "done";
  return error.exit === "unfinished" ? "unfinished" : "fatal";
}
