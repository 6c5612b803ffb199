/** A table on its way to a new column, in our words. Every call may be repeated. */
import type { PendingQuestion } from "../../row/question.ts";
import type { AnnIndex, StandingIndex, Store } from "../port.ts";

/** Something that follows the old column by its number, and would go along with it when it is renamed. */
export type Follower = Readonly<{
  /** As the database describes it: `view v`, `policy p on table t`. */
  name: string;
  /** What makes it, where the database tells. */
  definition: string | null;
}>;

type MigrationSize = Readonly<{
  /** Those that have a text. */
  rows: number;
  /** Of their texts; undefined where only an API is to be had. */
  chars: number | undefined;
}>;

export type MigrationStore = Readonly<{
  size(): Promise<MigrationSize>;
  /** Of the table. */
  columns(): Promise<readonly string[]>;
  /** The new column, and a trigger that empties it where the text changes. */
  add(): Promise<void>;
  /** Ids, at most so many, of rows that have a text and no new vector. */
  lacking(limit: number): Promise<readonly string[]>;
  /** Undefined: the store of the new column builds them. */
  build?: (indexes: readonly AnnIndex[]) => Promise<void>;
  /** Those that keep the names from being swapped. */
  obstacles(): Promise<readonly Follower[]>;
  /** The names of the columns and of their indexes, in one transaction; from then on the trigger empties the kept one. */
  swap(): Promise<void>;
  /** Ids, at most so many, of rows that have a text and no old vector any more, or never had one. */
  withoutOld(limit: number): Promise<readonly string[]>;
  /** All as it was: names, and no new column. */
  undo(): Promise<void>;
  /** The old column is dropped, and the trigger. */
  finish(): Promise<void>;
}>;

const PAGE_ROWS = 1_000;

/** Every row of the column without a vector, a page at a time. */
export async function* waitingPages(store: Store): AsyncGenerator<readonly PendingQuestion[]> {
  let after: string | undefined;
  do {
    const page = await store.readPending({ after, limit: PAGE_ROWS });
    yield page;
    after = page.length < PAGE_ROWS ? undefined : page.at(-1)?.id;
  } while (after !== undefined);
}

/** Of the column; an API tells of those that hold its vectors. */
export async function indexesOn(store: Store): Promise<readonly StandingIndex[]> {
  if (store.indexes !== undefined) return store.indexes.read(true);
  const unknown = { tablespace: undefined, comment: undefined, obstacle: undefined };
  return (await store.describe()).embeddingIndexes.map((each) => ({ ...each, ...unknown }));
}
