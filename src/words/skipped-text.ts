import { counted } from "./figures.ts";

/** Rows that were left out of the jobs. */
type Skipped = Readonly<{ empty: number; tooLong: number; inFlight: number; failedBefore: number }>;

export const INTERRUPTED_EARLY = "Interrupted before there was a job.";

/** A line for each reason for which rows were left out. */
export function skippedLines({
  skipped,
  tooLongFile,
}: Readonly<{ skipped: Skipped; tooLongFile: string | undefined }>): string[] {
  const list = tooLongFile === undefined ? "" : `, listed in ${tooLongFile}`;
  const lines: [number, string][] = [
    [skipped.empty, "without text"],
    [skipped.tooLong, `longer than the model takes${list}`],
    [skipped.inFlight, "already in a job that has not ended"],
    [skipped.failedBefore, "waiting in a failed file: `vecfill resubmit` sends them again"],
  ];
  return lines
    .filter(([rows]) => rows > 0)
    .map(([rows, why]) => `Left out: ${counted(rows, "row")} ${why}.`);
}
