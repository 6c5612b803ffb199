/** What on a table makes the writing of vectors slow, and how slow. Pure; for whoever has to say so. */
import type { TargetDescription } from "./target-description.ts";

/** pgvector's approximate indexes: a row that is written is put into the graph or its list at once. */
export const ANN_METHODS: readonly string[] = ["hnsw", "ivfflat"];

/** Measured with 768 dimensions and HNSW, whatever the way of writing; it falls as the table grows. */
export const ROWS_A_SECOND_UNDER_INDEX = { least: 130, most: 380 } as const;
/** How many times as slow that is, about. */
export const TIMES_SLOWER_UNDER_INDEX = 100;

export type WriteCost = Readonly<{
  /** ANN indexes on the embedding. */
  indexes: TargetDescription["embeddingIndexes"];
  /** Triggers that fire for every row that is written. */
  triggers: readonly string[];
  /** What writing so many rows takes under the indexes; undefined where there are none. */
  seconds: Readonly<{ least: number; most: number }> | undefined;
}>;

export function writeCost(description: TargetDescription, rows: number): WriteCost {
  const { embeddingIndexes, updateTriggers } = description;
  const indexes = embeddingIndexes.filter(({ method }) => ANN_METHODS.includes(method));
  const { least, most } = ROWS_A_SECOND_UNDER_INDEX;
  return {
    indexes,
    triggers: updateTriggers.map(({ name }) => name),
    seconds: indexes.length === 0 ? undefined : { least: rows / most, most: rows / least },
  };
}
