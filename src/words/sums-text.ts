import type { Skipped } from "../row/skipped.ts";
import type { Sums } from "../row/sums.ts";
import { count, counted } from "./figures.ts";

/** The sums for people: what adds up to what. */
export function sumsText(sums: Sums & Readonly<{ copies: number }>): string {
  const { requests, written, failed, stale, filled, gone } = sums;
  if (requests === 0) return "No job has ended yet.";
  const parts: [number, string][] = [
    [written, "written"],
    [failed, "failed"],
    [stale, "stale (text changed)"],
    [filled, "filled (by someone else)"],
    [gone, "gone (row deleted)"],
  ];
  const shown = parts.filter(([rows, name]) => rows > 0 || name === "written" || name === "failed");
  const equation = shown.map(([rows, name]) => `${count(rows)} ${name}`).join(" + ");
  return [`${counted(requests, "request")} = ${equation}`, ...copiesLines(sums.copies)].join("\n");
}

/** A job whose import was stopped, and how many of its rows have a vector already. */
export type InHand = Readonly<{ job: string; filled: number; requests: number }>;

export function inHandText({ job, filled, requests }: InHand): string {
  return `Of job ${job}, ${count(filled)} of ${counted(requests, "row")} are in the column already: a run goes on with the rest.`;
}

/** How many rows are not sent; nothing where there are none. */
export function copiesLines(copies: number): string[] {
  if (copies === 0) return [];
  return [
    `Not sent: ${counted(copies, "row")}. Another row of the job has the same text, and its vector is for all of them.`,
  ];
}

export const INTERRUPTED_EARLY = "Interrupted before there was a job.";

/** A line for each reason for which rows were left out. */
export function skippedLines({
  skipped,
  tooLongFile,
}: Readonly<{ skipped: Skipped; tooLongFile: string | undefined }>): string[] {
  const list = tooLongFile === undefined ? "" : `, listed in ${tooLongFile}`;
  const lines: [number, string][] = [
    [skipped.empty, "without text"],
    [
      skipped.tooLong,
      `longer than the model takes${list}: with --on-too-long truncate a run sends what fits`,
    ],
    [skipped.inFlight, "already in a job that has not ended"],
    [
      skipped.failedBefore,
      "waiting in a failed file: `vecfill status` says why, and what can be done",
    ],
    [
      skipped.paidBefore,
      "paid for before: `vecfill run` or `vecfill import --again` writes them at no cost",
    ],
  ];
  return lines
    .filter(([rows]) => rows > 0)
    .map(([rows, why]) => `Left out: ${counted(rows, "row")} ${why}.`);
}
