/** What a column's width costs, in words, for where people choose it. */
import { ANN_DIMENSIONS_MAX, publishedQuality, type VectorType, widthCost } from "../row/width.ts";
import { tableName, type Target } from "../row/target.ts";
import { bytes, count } from "./figures.ts";

/** `rows`: of the table, or of those that are to be filled. */
export function widthText({ model, dimensions }: Target, type: VectorType, rows?: number): string {
  const { rowBytes, indexBytes } = widthCost(type, dimensions);
  const sized = (size: number) =>
    rows === undefined ? `${bytes(size)} a row` : `${bytes(size * rows)} (${bytes(size)} a row)`;
  const index = indexBytes === undefined ? "no index takes it" : `HNSW index ${sized(indexBytes)}`;
  const quality = publishedQuality(model, dimensions);
  const scored = quality === undefined ? "" : `; published quality (MTEB) ${quality} of 100`;
  return `${type}(${dimensions}): ${sized(rowBytes)}, ${index}${scored}`;
}

/** What to do about a column that no ANN index takes; undefined where one does. */
export function tooWideText(target: Target, type: VectorType) {
  const { dimensions, embedding } = target;
  if (dimensions <= ANN_DIMENSIONS_MAX[type]) return undefined;
  return {
    message: `${type}(${dimensions}) takes no index: HNSW and IVFFlat end at ${count(ANN_DIMENSIONS_MAX[type])} dimensions of ${type}, and every search reads the whole table`,
    hint: `halfvec takes ${count(ANN_DIMENSIONS_MAX.halfvec)}, at half the bytes: alter table ${tableName(target)} alter column ${embedding} type halfvec(${dimensions}); or choose 1,536 or 768.`,
  };
}

/** For who makes the column: its type by its width. */
export function widthAdvice(target: Target): string {
  const type = target.dimensions > ANN_DIMENSIONS_MAX.vector ? "halfvec" : "vector";
  return widthText(target, type);
}
