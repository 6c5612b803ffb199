/**
 * A trigger may make another row of one that is written: change its text, so that the vector is not
 * the text's, put another vector there, or take it away, so that a row counts as written that is paid for again. A
 * statement can refuse that, whole, by failing; plain SQL fails by a cast of what is no number, and
 * the words that it could not cast stand in the error.
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
  const found = MARK.exec(error.message)?.groups;
  if (found === undefined) return undefined;
  const { why = "", id = "" } = found;
  return undone(target, WHAT[why]?.(target.embedding) ?? "undoes the change", {
    id,
    otherwise: why === "text" ? OR_BEFORE : "",
    cause: error,
  });
}

/** What the statement itself cannot see: the row holds another vector, or none, once all triggers are through. */
export function undoneAfterwards(target: Target, id: string): TableRefusal {
  return undone(target, `replaces or empties ${target.embedding}`, { id, otherwise: "" });
}

const OR_BEFORE = " Or let it change them before: an update that sets a column to itself calls it.";

function undone(
  target: Target,
  what: string,
  { id, otherwise, cause }: Readonly<{ id: string; otherwise: string; cause?: unknown }>,
): TableRefusal {
  const table = tableName(target);
  const message = `A trigger of ${table} ${what} when a vector is written`;
  return new TableRefusal(`${message} (row ${id}, for one): these rows were left as they are.`, {
    hint: `\`vecfill doctor\` names the triggers. Take it off meanwhile, with: alter table ${table} disable trigger <name>; then run the same command again: nothing is paid for again.${otherwise}`,
    refusal: { code: "", by: undefined, message },
    isOfARow: true,
    cause,
  });
}

const WHAT: Readonly<Partial<Record<string, (embedding: string) => string>>> = {
  text: () => "changes the text",
  vector: (embedding) => `empties ${embedding}`,
  values: (embedding) => `replaces ${embedding}`,
};
