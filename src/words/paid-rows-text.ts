import type { PaidRowsTold } from "../row/sums.ts";
import { counted } from "./figures.ts";

/** What came of rows that the table had refused; nothing where there were none. */
export function paidRowsLines({ written, refused, unneeded, why }: PaidRowsTold): string[] {
  return [
    written > 0
      ? `${counted(written, "row")} that the table had refused ${written === 1 ? "is" : "are"} written, from the results, at no cost.`
      : "",
    unneeded > 0
      ? `${counted(unneeded, "row")} that the table had refused ${unneeded === 1 ? "needs" : "need"} these vectors no more.`
      : "",
    refused > 0
      ? `The table refuses ${counted(refused, "row")} still: ${why ?? ""}. What was paid for stays in the results.`
      : "",
  ].filter((line) => line !== "");
}
