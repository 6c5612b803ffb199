import { columnName, tableName, type Target } from "../row/target.ts";
import {
  ROWS_A_SECOND_UNDER_INDEX,
  TIMES_SLOWER_UNDER_INDEX,
  type WriteCost,
} from "../row/write-cost.ts";
import { counted, duration } from "./figures.ts";

/** What to say about what slows the writing of `rows` down: a warning for each kind of it. */
export function writeCostWarnings(
  target: Target,
  { indexes, triggers, seconds }: WriteCost,
  rows: number,
): { message: string; hint: string }[] {
  const column = columnName(target);
  const warnings: { message: string; hint: string }[] = [];
  if (seconds !== undefined) {
    const names = indexes.map(({ name, method }) => `${name} (${method})`);
    const { least, most } = ROWS_A_SECOND_UNDER_INDEX;
    warnings.push({
      message: `${column} has ${names.length === 1 ? "an index" : "indexes"} for nearest-neighbour search, ${names.join(", ")}: writing under it is about ${TIMES_SLOWER_UNDER_INDEX} times slower, ${least} to ${most} rows a second, so ${range(seconds)} for ${counted(rows, "row")}.`,
      hint: "With --rebuild-index it is dropped before the first row is written and built again after the last; meanwhile searches are slow. A few rows are better written as it is.",
    });
  }
  if (triggers.length > 0) {
    warnings.push({
      message: `A trigger fires for every row that is written to ${tableName(target)}: ${triggers.join(", ")}.`,
      hint: `If it need not: alter table ${tableName(target)} disable trigger ${triggers[0]}; while the column is filled, and enable it again.`,
    });
  }
  return warnings;
}

function range({ least, most }: Readonly<{ least: number; most: number }>): string {
  const [from, to] = [least, most].map((seconds) => duration(Math.ceil(seconds)));
  return from === to ? `about ${from}` : `${from} to ${to}`;
}
