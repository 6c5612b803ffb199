/** What a run came to for one of several targets. */
import type { ExitReason } from "../../errors.ts";
import { tableName } from "../../row/target.ts";
import type { PartSummary } from "../../run/run.ts";
import { count } from "../../words/figures.ts";

export function partJson({
  name,
  target,
  error,
  isCutShort: _,
  isHeld: _held,
  ...figures
}: PartSummary) {
  const { remaining = null, ...sums } = figures;
  return { target: name ?? tableName(target), ...sums, remaining, error: error?.message ?? null };
}

export function partText({ name, target, error, ...sums }: PartSummary): string {
  const { written, failed, remaining = 0 } = sums;
  if (error !== undefined) return `${name ?? tableName(target)}: ${error.message}`;
  const ill = failed > 0 ? `, ${count(failed)} failed` : "";
  return `${name ?? tableName(target)}: ${count(written)} written${ill}, ${count(remaining)} still without a vector.`;
}

export function exitOfPart(part: PartSummary): ExitReason {
  if (part.error !== undefined) return part.error.exit === "unfinished" ? "unfinished" : "fatal";
  if (part.isHeld && part.pending.length > 0) return "costLimit";
  if (part.pending.length > 0 || part.isCutShort) return "unfinished";
  return part.failed > 0 ? "rowsFailed" : "done";
}
