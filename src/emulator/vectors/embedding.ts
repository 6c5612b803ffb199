/**
 * Vectors without a model: every word has its own fixed random direction, a text is the sum of its
 * words (common ones count little) plus a small part that belongs to the exact text alone. So
 * texts that share words are near each other, and one changed character, or a space at the end,
 * changes the vector. Lengths are the service's: with gemini-embedding-001 only 3072 dimensions
 * come as a unit vector, 768 have a length around 0.585; gemini-embedding-2 always sends unit vectors.
 */
import { MODELS, type ModelName } from "../../row/models.ts";
import { hash32 } from "../faults/hash.ts";
import { direction, type WordDirections, wordDirections } from "./word-directions.ts";

export type VectorShape = Readonly<{
  model: ModelName;
  dimensions: number;
  taskType?: string | undefined;
  /** Goes with RETRIEVAL_DOCUMENT; part of what is embedded. */
  title?: string | undefined;
}>;

/** Values are whole billionths, so that their decimal text parses back to the very same number. */
export const UNITS_PER_ONE = 1_000_000_000;

const FULL_DIMENSIONS = 3072;
/** (768 / 3072) ** 0.387 = 0.585, the length seen at 768. */
const LENGTH_EXPONENT = 0.387;
const LENGTH_SPREAD = 0.02;
const EXACT_TEXT_WEIGHT = 0.12;
const TASK_WEIGHT = 0.2;
const COMMON_WORD_WEIGHT = 0.15;
const LENGTH_SEED = 0x5bd1e995;

const COMMON_WORDS = new Set(
  "a an and are as at be by did do does for from had has have how in is it its many of on one or some that the these this those to was were what when where which who whom whose why will with you your".split(
    " ",
  ),
);

const WORD = /\p{Script=Han}|[\p{L}\p{N}]+/gu;

/** The vector of exactly this text, prefix included where the model takes its task that way. */
export function emulatedVector(text: string, shape: VectorShape): number[] {
  return Array.from(emulatedUnits(text, shape), (units) => units / UNITS_PER_ONE);
}

/** The same in billionths; what result lines are written from. */
export function emulatedUnits(text: string, shape: VectorShape): Int32Array {
  const embedded = shape.title === undefined ? text : `${shape.title}\n${text}`;
  const space = hash32(shape.model, 0);
  const sum = new Float64Array(shape.dimensions);
  const words = wordDirections(space, shape.dimensions);
  addWords(sum, embedded, words);
  scaleTo(sum, 1);
  addUnit(sum, direction(`text ${embedded}`, space, sum.length), EXACT_TEXT_WEIGHT);
  if (shape.taskType !== undefined) addUnit(sum, words.of(`task ${shape.taskType}`), TASK_WEIGHT);
  scaleTo(sum, lengthOf(embedded, shape));
  return inUnits(sum);
}

function lengthOf(text: string, shape: VectorShape): number {
  if (shape.dimensions >= MODELS[shape.model].normalisedFromDimensions) return 1;
  if (shape.model === "gemini-embedding-2") return 1;
  const spread = (hash32(text, LENGTH_SEED) / 2 ** 32 - 0.5) * LENGTH_SPREAD;
  return (shape.dimensions / FULL_DIMENSIONS) ** LENGTH_EXPONENT * (1 + spread);
}

function addWords(sum: Float64Array, text: string, words: WordDirections): void {
  const times = new Map<string, number>();
  for (const word of text.toLowerCase().match(WORD) ?? [])
    times.set(word, (times.get(word) ?? 0) + 1);
  for (const [word, count] of times) {
    const weight = COMMON_WORDS.has(word) ? COMMON_WORD_WEIGHT : 1;
    add(sum, words.of(word), weight * count);
  }
}

/** `weight` is the length of what is added. */
function addUnit(sum: Float64Array, other: Float32Array, weight: number): void {
  add(sum, other, weight / (lengthOfVector(other) || 1));
}

function add(sum: Float64Array, other: Float32Array, weight: number): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (other[i] ?? 0) * weight;
}

function inUnits(vector: Float64Array): Int32Array {
  const units = new Int32Array(vector.length);
  for (let i = 0; i < units.length; i++) units[i] = Math.round((vector[i] ?? 0) * UNITS_PER_ONE);
  return units;
}

function scaleTo(sum: Float64Array, length: number): void {
  const current = lengthOfVector(sum);
  if (current === 0) return;
  const factor = length / current;
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) * factor;
}

function lengthOfVector(vector: Float64Array | Float32Array): number {
  let squares = 0;
  for (let i = 0; i < vector.length; i++) {
    const value = vector[i] ?? 0;
    squares += value * value;
  }
  return Math.sqrt(squares);
}
