/** The index of the new column: made like the old one's. */
import type { Renamed } from "../row/migration-names.ts";
import { quoteIdentifier } from "../row/target.ts";
import type { AnnIndex } from "../store/port.ts";

/** The same on the new column. A class of operators has the type's name in its own. */
export function twinOf(
  index: AnnIndex,
  names: Renamed,
  columns: Readonly<{ old: string; next: string; type: string }>,
): AnnIndex {
  const [, rest = ""] = index.definition.split(/ ON (.*)/s);
  const [table = "", by = ""] = rest.split(/(?= USING )/);
  const either = [columns.old, quoteIdentifier(columns.old)].map(inPattern).join("|");
  const column = new RegExp(String.raw`(?<![\w"])(?:${either})(?![\w"])`, "g");
  const definition = by
    .replace(column, () => printed(columns.next))
    .replace(/\b(?:vector|halfvec)_(?=\w+_ops\b)/g, `${columns.type}_`);
  const name = names.next;
  return { ...index, name, definition: `CREATE INDEX ${printed(name)} ON ${table}${definition}` };
}

/** As the database prints it, so that a twin that stands is known again. */
function printed(name: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(name) ? name : quoteIdentifier(name);
}

function inPattern(text: string): string {
  return text.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`);
}
