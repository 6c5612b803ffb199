import type { Sums } from "../row/sums.ts";
import { copiesLines } from "./copies-text.ts";
import { count } from "./figures.ts";

/** The sums for people: what adds up to what, and where the failed lines are. */
export function sumsText(
  sums: Sums & Readonly<{ copies: number }>,
  failedFiles: readonly string[],
): string {
  const { requests, written, failed, stale, filled, gone } = sums;
  const parts: [number, string][] = [
    [written, "written"],
    [failed, "failed"],
    [stale, "stale (text changed)"],
    [filled, "filled (by someone else)"],
    [gone, "gone (row deleted)"],
  ];
  const shown = parts.filter(([rows, name]) => rows > 0 || name === "written" || name === "failed");
  const equation = shown.map(([rows, name]) => `${count(rows)} ${name}`).join(" + ");
  return [
    `${count(requests)} requests = ${equation}`,
    ...copiesLines(sums.copies),
    ...failedFiles.map((file) => `Failed lines: ${file}`),
  ].join("\n");
}
