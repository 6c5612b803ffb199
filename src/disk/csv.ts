import { stringify } from "csv-stringify/sync";

const FORMULA_START = /^[=+\-@\t\r]/;

/**
 * One line of CSV, newline included. A text that a spreadsheet would run as a formula gets an
 * apostrophe in front, which the spreadsheet shows as text.
 */
export function csvLine(cells: readonly (string | number | undefined)[]): string {
  return stringify([cells.map(safeCell)]);
}

function safeCell(cell: string | number | undefined): string | number {
  if (typeof cell === "number") return cell;
  return FORMULA_START.test(cell ?? "") ? `'${cell}` : (cell ?? "");
}
