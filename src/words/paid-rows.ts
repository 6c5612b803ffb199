import { type RowEnd, TableRefusal } from "../store/port.ts";
import { counted } from "./figures.ts";
import { said } from "./text-lines.ts";

/** What came of rows that are paid for and that the table had refused; no lines where there were none. */
export function paidRows(ends: readonly RowEnd[]) {
  const { written, refused, refusal } = tableEnds(ends);
  const unneeded = ends.length - refused - written;
  const lines = [
    written > 0 &&
      `${counted(written, "row")} that had failed ${written === 1 ? "is" : "are"} written, from the results, at no cost.`,
    unneeded > 0 && unneededText(unneeded),
    refusal !== "" && `${refusal} What was paid for stays in the results.`,
  ];
  return { written, refused, lines: said(lines) };
}

/** `refusal`: of the first one, in a sentence; empty where there is none. */
export function tableEnds(ends: readonly RowEnd[]) {
  const refusals = ends.filter((end) => end instanceof TableRefusal);
  const [first] = refusals;
  const refusal =
    first && `The table takes no vector for ${counted(refusals.length, "row")}: ${first.message}`;
  return {
    written: ends.filter((end) => end === "written").length,
    refused: refusals.length,
    refusal: refusal ?? "",
  };
}

/** Of failed lines whose rows have another text by now, or a vector, or are gone. */
export function unneededText(rows: number): string {
  const verb = rows === 1 ? "was" : "were";
  return `${counted(rows, "row")} that had failed ${verb} changed, filled or deleted since: nothing is sent for ${rows === 1 ? "it" : "them"} here; \`vecfill run\` takes changed texts.`;
}
