/**
 * Embeds rows again through the interactive API and compares. What is embedded is the text as it is
 * now: a row whose text was changed since it was filled is off, and rightly so.
 */
import { randomInt } from "node:crypto";
import { MODELS } from "../row/models.ts";
import type { PickedRow } from "../store/port.ts";
import { isEmptyText } from "../row/recipe.ts";
import type { Target } from "../row/target.ts";
import { estimateTokens } from "../row/tokens.ts";
import { type NowServices, sentText, vectorsNow } from "./vectors-now.ts";

/** Below this, two vectors were not made from the same text by the same model. */
export const LEAST_COSINE = 0.999;

/** `size` different whole numbers below `rows`, ascending; all of them where there are no more. */
export function drawPlaces(size: number, rows: number): number[] {
  const drawn = new Set<number>();
  while (drawn.size < Math.min(size, rows)) drawn.add(randomInt(rows));
  return [...drawn].toSorted((a, b) => a - b);
}

/** Rows that the model takes whole; the service refuses the others, or cuts them silently. */
export function comparable(rows: readonly PickedRow[], target: Target): PickedRow[] {
  const { inputTokenLimit } = MODELS[target.model];
  const hasText = ({ text }: PickedRow) => !isEmptyText(text, target.text);
  return rows.filter((row) => hasText(row) && estimateTokens(row.text) <= inputTokenLimit);
}

/** Estimated, as they are sent. */
export function tokensToSend(rows: readonly PickedRow[], target: Target): number {
  return rows.reduce((sum, row) => sum + estimateTokens(sentText(row.text, target)), 0);
}

/** Those that are off, and by how much. */
export async function unlikeRows(
  services: NowServices,
  target: Target,
  rows: readonly PickedRow[],
): Promise<readonly Readonly<{ id: string; cosine: number }>[]> {
  const texts = rows.map(({ text }) => text);
  const vectors = await vectorsNow(services, target, texts, "embedding a sample again");
  return rows
    .map(({ id, vector }, place) => ({ id, cosine: cosineOf(vector, vectors[place] ?? []) }))
    .filter(({ cosine }) => cosine < LEAST_COSINE);
}

/** 0 where it is not defined: of different widths, or without length. */
function cosineOf(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) return 0;
  let [dot, squareA, squareB] = [0, 0, 0];
  for (const [index, value] of a.entries()) {
    const other = b[index] ?? 0;
    dot += value * other;
    squareA += value * value;
    squareB += other * other;
  }
  const length = Math.sqrt(squareA * squareB);
  return length > 0 ? dot / length : 0;
}
