/**
 * How long writing the vectors takes, by what stands on the table. Measured on two cores, 768
 * dimensions (docs/performance.md): for the order of magnitude, since every database is another.
 */
import type { TargetDescription } from "../row/target-description.ts";
import { ANN_METHODS } from "../row/write-cost.ts";

export const ROWS_A_SECOND = {
  bare: 10_000,
  underAnnIndex: 200,
  underTrigger: 2_000,
  builtIntoAnnIndex: 500,
} as const;

export type Writing = Readonly<{
  seconds: number;
  /** Without the indexes and triggers that slow it down. */
  bareSeconds: number;
  /** With the ANN indexes dropped before and built again after it; undefined where there are none. */
  rebuildSeconds: number | undefined;
  annIndexes: readonly string[];
  triggers: readonly string[];
}>;

/** `filled`: rows that have a vector already, and are built into the index as well. */
export function writingOf(rows: number, description: TargetDescription, filled = 0): Writing {
  const annIndexes = description.embeddingIndexes
    .filter(({ method }) => ANN_METHODS.includes(method))
    .map(({ name }) => name);
  const triggers = description.updateTriggers.map(({ name }) => name);
  const { bare, underAnnIndex, underTrigger, builtIntoAnnIndex } = ROWS_A_SECOND;
  const rate = annIndexes.length > 0 ? underAnnIndex : triggers.length > 0 ? underTrigger : bare;
  return {
    seconds: Math.ceil(rows / rate),
    bareSeconds: Math.ceil(rows / bare),
    rebuildSeconds:
      annIndexes.length === 0
        ? undefined
        : Math.ceil(rows / bare + (annIndexes.length * (filled + rows)) / builtIntoAnnIndex),
    annIndexes,
    triggers,
  };
}
