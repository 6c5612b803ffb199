/** The check that every vector passes before it may be written. */
import type { FailureClass } from "./error-code.ts";

type VectorProblem = "width" | "notFinite" | "zero";

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
 * The values as a float32 vector of unit length (within 1e-7), or what is wrong with them. An entry
 * that is no number is passed as NaN; one too large for float32 is not finite either. The vector is
 * made in `buffer`, which has to have the right width, where that is given.
 */
export function checkVector(
  values: ArrayLike<number>,
  dimensions: number,
  buffer: Float32Array = new Float32Array(dimensions),
): CheckedVector {
  if (values.length !== dimensions) {
    return unsound("width", `the vector has ${values.length} values instead of ${dimensions}`);
  }
  const norm = Math.sqrt(roundInto(buffer, values));
  if (!Number.isFinite(norm)) {
    return unsound("notFinite", "the vector has a value that is not a finite number");
  }
  if (norm < MIN_NORM) return unsound("zero", "the vector has no length");
  return { ok: true, vector: toUnitLength(buffer, norm) };
}

function unsound(problem: VectorProblem, message: string): CheckedVector {
  return { ok: false, problem, class: CLASS_OF[problem], message };
}

/**
 * Rounds the values to float32 and adds up their squares, in double precision, where squares of
 * finite float32 numbers cannot overflow. This and the loop below run for every number of every
 * row, where the constructor, a `map` or a `??` show.
 */
function roundInto(vector: Float32Array, values: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < vector.length; at += 1) {
    const value = Math.fround(Number(values[at]));
    vector[at] = value;
    sum += value * value;
  }
  return sum;
}

/** In place. */
function toUnitLength(vector: Float32Array, norm: number): Float32Array {
  if (Math.abs(norm - 1) <= UNIT_TOLERANCE) return vector;
  const factor = 1 / norm;
  for (let at = 0; at < vector.length; at += 1) vector[at] = Number(vector[at]) * factor;
  return vector;
}
