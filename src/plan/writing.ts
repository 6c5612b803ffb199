/**
 * How long writing the vectors takes, by what stands on the table. Measured on two cores, 768
 * dimensions (docs/performance.md): for the order of magnitude, since every database is another.
 */
import type { TargetDescription } from "../row/target-description.ts";
import { ANN_METHODS } from "../row/write-cost.ts";

const ROWS_A_SECOND = { bare: 10_000, underAnnIndex: 200, underTrigger: 2_000 } as const;

export type Writing = Readonly<{
  seconds: number;
  /** Without the indexes and triggers that slow it down. */
  bareSeconds: number;
  annIndexes: readonly string[];
  triggers: readonly string[];
}>;

export function writingOf(rows: number, description: TargetDescription): Writing {
  const annIndexes = description.embeddingIndexes
    .filter(({ method }) => ANN_METHODS.includes(method))
    .map(({ name }) => name);
  const triggers = description.updateTriggers.map(({ name }) => name);
  const { bare, underAnnIndex, underTrigger } = ROWS_A_SECOND;
  const rate = annIndexes.length > 0 ? underAnnIndex : triggers.length > 0 ? underTrigger : bare;
  return {
    seconds: Math.ceil(rows / rate),
    bareSeconds: Math.ceil(rows / bare),
    annIndexes,
    triggers,
  };
}
