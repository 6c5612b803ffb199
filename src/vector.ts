/** The check that every vector passes before it may be written. */
import type { FailureClass } from "./failed-line.ts";

export type VectorProblem = "width" | "notFinite" | "zero";

export type CheckedVector =
  | Readonly<{ ok: true; vector: Float32Array }>
  | Readonly<{ ok: false; problem: VectorProblem; class: FailureClass; message: string }>;

/** Norms of real embeddings are between 0.5 and 1; below this there is no direction to keep. */
const MIN_NORM = 1e-12;

/**
 * Rounding to float32 moves the norm of a unit vector by at most 2^-24, about 6e-8. What is that
 * close is left alone, so that a vector that was checked once comes out as the same bits.
 */
const UNIT_TOLERANCE = 1e-7;

/** A wrong width comes back however often the row is sent; the others may be a bad moment. */
const CLASS_OF: Readonly<Record<VectorProblem, FailureClass>> = {
  width: "permanent",
  notFinite: "retryable",
  zero: "retryable",
};

/**
 * The values as a float32 vector of unit length (within 1e-6), or what is wrong with them. An entry
 * that is no number is passed as NaN; one too large for float32 is not finite either.
 */
export function checkVector(values: ArrayLike<number>, dimensions: number): CheckedVector {
  if (values.length !== dimensions) {
    return refused("width", `the vector has ${values.length} values instead of ${dimensions}`);
  }
  const vector = new Float32Array(values);
  const norm = Math.sqrt(sumOfSquares(vector));
  if (!Number.isFinite(norm)) {
    return refused("notFinite", "the vector has a value that is not a finite number");
  }
  if (norm < MIN_NORM) return refused("zero", "the vector has no length");
  return { ok: true, vector: toUnitLength(vector, norm) };
}

function refused(problem: VectorProblem, message: string): CheckedVector {
  return { ok: false, problem, class: CLASS_OF[problem], message };
}

/** In double precision, where squares of finite float32 numbers cannot overflow. */
function sumOfSquares(vector: Float32Array): number {
  let sum = 0;
  for (const value of vector) sum += value * value;
  return sum;
}

/** In place: this and the sum above run for every number of every row, where a `map` shows. */
function toUnitLength(vector: Float32Array, norm: number): Float32Array {
  if (Math.abs(norm - 1) <= UNIT_TOLERANCE) return vector;
  const factor = 1 / norm;
  for (let at = 0; at < vector.length; at += 1) vector[at] = (vector[at] ?? 0) * factor;
  return vector;
}
