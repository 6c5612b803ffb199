/**
 * What the width of a column costs, and how good it is. Pure; docs/widths.md has the same in a table.
 *
 * Sources, as of November 2026: limits and bytes, github.com/pgvector/pgvector (README, src/hnsw.h); MTEB,
 * ai.google.dev/gemini-api/docs/embeddings, which has no score of 3072 and none of gemini-embedding-2.
 */
import type { ModelName } from "./models.ts";

export type VectorType = "vector" | "halfvec";

/** Undefined where a column of that type holds no vectors. */
export function vectorType(typeName: string): VectorType | undefined {
  return typeName === "vector" || typeName === "halfvec" ? typeName : undefined;
}

/** What HNSW and IVFFlat take. */
export const ANN_DIMENSIONS_MAX: Readonly<Record<VectorType, number>> = {
  vector: 2_000,
  halfvec: 4_000,
};

const BYTES_A_NUMBER: Readonly<Record<VectorType, number>> = { vector: 4, halfvec: 2 };
const VECTOR_HEADER_BYTES = 8;

/** Of the HNSW graph, a row: its element and its neighbours, with m = 16, by the page. */
const PAGE_BYTES = 8_192;
const PAGE_ROOM_BYTES = 8_160;
const ELEMENT_BYTES = 72;
const NEIGHBOURS_BYTES = 200;
const LINE_POINTERS_BYTES = 8;

const MTEB: Readonly<Record<ModelName, Readonly<Record<number, number>>>> = {
  "gemini-embedding-001": { 768: 67.99, 1536: 68.17, 2048: 68.16 },
  "gemini-embedding-2": {},
};

export type WidthCost = Readonly<{
  /** Of a vector in the table. */
  rowBytes: number;
  /** Of a row in an HNSW index; undefined where there can be none. */
  indexBytes: number | undefined;
}>;

export function widthCost(type: VectorType, dimensions: number): WidthCost {
  const rowBytes = VECTOR_HEADER_BYTES + BYTES_A_NUMBER[type] * dimensions;
  if (dimensions > ANN_DIMENSIONS_MAX[type]) return { rowBytes, indexBytes: undefined };
  const graphBytes = rowBytes + ELEMENT_BYTES + NEIGHBOURS_BYTES + LINE_POINTERS_BYTES;
  const rowsAPage = Math.max(1, Math.floor(PAGE_ROOM_BYTES / graphBytes));
  return { rowBytes, indexBytes: Math.round(PAGE_BYTES / rowsAPage) };
}

/** The average over the benchmark's tasks as published; undefined where it is not. */
export function publishedQuality(model: ModelName, dimensions: number): number | undefined {
  return MTEB[model][dimensions];
}

/** Each is the distance of an operator class. */
const OPERATORS: readonly (readonly [operatorClass: RegExp, operator: string])[] = [
  [/_cosine_ops\b/, "<=>"],
  [/_ip_ops\b/, "<#>"],
  [/_l1_ops\b/, "<+>"],
  [/_(?:hamming|jaccard)_ops\b/, "<~>"],
];

/** By which queries use the index; of unit vectors the first three of pgvector give one order. */
export function operatorOf(definition: string): string {
  return OPERATORS.find(([operatorClass]) => operatorClass.test(definition))?.[1] ?? "<->";
}

/** No search for the nearest of unit vectors asks by these. */
export function servesSearch(definition: string): boolean {
  return !["<+>", "<~>"].includes(operatorOf(definition));
}
