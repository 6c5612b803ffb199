/**
 * A trigger may make another row of one that is written: change its text, so that the vector is not
 * the text's, or take the vector away, so that a row counts as written that is paid for again. A
 * statement can refuse that, whole, by failing; plain SQL fails by a cast of what is no number, and
 * the words that it could not cast stand in the error.
 */
import { UserError } from "../errors.ts";
import { tableName, type Target } from "../row/target.ts";

/** What of the row a trigger changed. */
export type UndoneWrite = "text" | "vector";

/** Followed by the row's id, it is what the statement fails with. */
export function undoneMark(why: UndoneWrite): string {
  return `vecfill undoes the write, changed ${why} of row `;
}

const MARK = /vecfill undoes the write, changed (?<why>text|vector) of row (?<id>[^]*?)"?$/;

/** Undefined where the error is another one. */
export function explainUndoneWrite(error: Error, target: Target): UserError | undefined {
  const found = MARK.exec(error.message)?.groups;
  if (found === undefined) return undefined;
  const { why, id } = found;
  const [what, otherwise] =
    why === "text"
      ? [
          "changes the text",
          " Or let it change them before: an update that sets a column to itself calls it.",
        ]
      : [`empties ${target.embedding}`, ""];
  return new UserError(
    `A trigger of ${tableName(target)} ${what} when a vector is written (row ${id}, for one): these rows were left as they are.`,
    {
      hint: `\`vecfill doctor\` names the triggers. Take it off meanwhile, with: alter table ${tableName(target)} disable trigger <name>; then run the same command again: nothing is paid for again.${otherwise}`,
      exit: "fatal",
      cause: error,
    },
  );
}
