/**
 * A trigger may make another row of one that is written: change its text, so that the vector is not
 * the text's, put another vector there, or take it away, so that a row counts as written that is paid for
 * again. A statement can refuse that, whole, by failing; plain SQL fails by a cast of what is no number,
 * and the words that it could not cast stand in the error.
 */
import { TableRefusal } from "./port.ts";
import { tableName, type Target } from "../row/target.ts";

/** What of the row a trigger changed. */
export type UndoneWrite = "text" | "vector" | "values";

/** Followed by the row's id, it is what the statement fails with. */
export function undoneMark(why: UndoneWrite): string {
  return `vecfill undoes the write, changed ${why} of row `;
}

const MARK = /vecfill undoes the write, changed (?<why>text|vector|values) of row (?<id>[^]*?)"?$/;

/** Undefined where the error is another one. */
export function explainUndoneWrite(error: Error, target: Target): TableRefusal | undefined {
  const { why, id = "" } = MARK.exec(error.message)?.groups ?? {};
  if (why !== "text" && why !== "vector" && why !== "values") return undefined;
  return undoneWrite(target, why, id, error);
}

export function undoneWrite(
  target: Target,
  why: UndoneWrite,
  id: string,
  cause?: unknown,
): TableRefusal {
  const { embedding } = target;
  const table = tableName(target);
  const what = {
    text: "changes the text",
    vector: `empties ${embedding}`,
    values: `replaces ${embedding}`,
  };
  const otherwise =
    why === "text"
      ? " Or let it change them before: an update that sets a column to itself calls it."
      : "";
  return new TableRefusal(
    `A trigger of ${table} ${what[why]} when a vector is written (row ${id}, for one): these rows were left as they are.`,
    {
      hint: `\`vecfill doctor\` names the triggers. Take it off meanwhile, with: alter table ${table} disable trigger <name>; then run the same command again: nothing is paid for again.${otherwise}`,
      isOfARow: true,
      cause,
    },
  );
}
