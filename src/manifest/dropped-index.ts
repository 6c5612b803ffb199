/**
 * Indexes that were taken off a table and do not stand again yet, as the journal tells it. They belong
 * to a table, not to a target: of two targets in one table, either may build what the other dropped.
 */
import type { AnnIndex } from "../store/port.ts";
import type { Target } from "../row/target.ts";
import type { IndexEvent } from "./event.ts";

export type DroppedIndex = Readonly<{
  /** One whose table and column it stood on. */
  target: Target;
  index: AnnIndex;
  /** False: it was about to be dropped, and may still stand. */
  isDropped: boolean;
  since: string;
}>;

/** By table and name. */
export type DroppedIndexes = ReadonlyMap<string, DroppedIndex>;

/** As they are after the event. Throws where it does not fit what came before. */
export function afterIndexEvent(
  before: DroppedIndexes,
  target: Target,
  event: IndexEvent,
): DroppedIndexes {
  const after = new Map(before);
  if (event.type === "indexDropping") {
    const { tablespace, comment, ...rest } = event.index;
    const index = { ...rest, tablespace, comment };
    after.set(keyOf(target, index.name), { target, index, isDropped: false, since: event.at });
    return after;
  }
  const key = keyOf(target, event.name);
  const known = before.get(key);
  if (known === undefined) {
    throw new Error(`"${event.type}" speaks of the index ${event.name}, which was not dropped`);
  }
  if (event.type === "indexDropped") after.set(key, { ...known, isDropped: true, since: event.at });
  else after.delete(key);
  return after;
}

function keyOf({ schema, table }: Target, name: string): string {
  return JSON.stringify([schema, table, name]);
}
