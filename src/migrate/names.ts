/** What columns and indexes of a migration are called, and the index of the new column: made like the old one's. */
import type { Target } from "../row/target.ts";
import type { AnnIndex } from "../store/port.ts";
import type { MigrationNames, Renamed } from "../store/migration/port.ts";

/** Longest name that Postgres keeps. */
const NAME_BYTES_MAX = 63;

export function migrationNames(
  { embedding }: Target,
  indexes: readonly AnnIndex[],
  { column, now }: Readonly<{ column: string | undefined; now: Date }>,
): MigrationNames {
  const day = now.toISOString().slice(0, "2026-11-29".length).replaceAll("-", "");
  const renamed = (old: string): Renamed => ({
    old,
    next: suffixed(old, "_new"),
    kept: suffixed(old, `_${day}`),
  });
  const columns = renamed(embedding);
  return {
    ...columns,
    next: column ?? columns.next,
    indexes: indexes.map(({ name }) => renamed(name)),
  };
}

function suffixed(name: string, suffix: string): string {
  let start = name;
  while (Buffer.byteLength(start + suffix) > NAME_BYTES_MAX) start = start.slice(0, -1);
  return start + suffix;
}

/** The same on the new column. A class of operators has the type's name in its own. */
export function twinOf(
  index: AnnIndex,
  names: Renamed,
  columns: Readonly<{ old: string; next: string; type: string }>,
): AnnIndex {
  const [, rest = ""] = index.definition.split(/ ON (.*)/s);
  const column = new RegExp(
    String.raw`(?<![\w"])(?:${escaped(columns.old)}|${escaped(quoted(columns.old))})(?![\w"])`,
    "g",
  );
  const [table = "", by = ""] = rest.split(/(?= USING )/);
  const definition = by
    .replace(column, () => printed(columns.next))
    .replace(/\b(?:vector|halfvec)_(?=\w+_ops\b)/g, `${columns.type}_`);
  return {
    ...index,
    name: names.next,
    definition: `CREATE INDEX ${printed(names.next)} ON ${table}${definition}`,
  };
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** As the database prints it, so that a twin that stands is known again. */
function printed(name: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(name) ? name : quoted(name);
}

function escaped(text: string): string {
  return text.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`);
}
