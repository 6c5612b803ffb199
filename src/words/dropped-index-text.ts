import type { DroppedIndex } from "../manifest/dropped-index.ts";
import { columnName } from "../row/target.ts";

/** What to say of indexes that do not stand again yet: of all of them once, with the command. */
export function droppedIndexesText(
  missing: readonly DroppedIndex[],
): { message: string; hint: string }[] {
  if (missing.length === 0) return [];
  const names = missing.map(droppedIndexName);
  const are = names.length === 1 ? "The index is" : "The indexes are";
  return [
    {
      message: `${are} not built again yet: ${names.join("; ")}. Until then searches are slow.`,
      hint: "`vecfill import --rebuild-index` builds what is missing now; `vecfill run --rebuild-index` when all rows are in.",
    },
  ];
}

/** With where it was, and since when. */
export function droppedIndexName({ target, index, isDropped, since }: DroppedIndex): string {
  const what = isDropped ? "dropped" : "to be dropped";
  return `${index.name} (${index.method}) on ${columnName(target)}, ${what} ${since}`;
}
