// Can anything but a finite vector of the right width and of unit length reach the column?
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkVector } from "../../src/row/vector.ts";

const MAX_UNIT_ERROR = 1e-6;
const LARGEST_FLOAT32 = 3.4028234663852886e38;

describe("a sound vector", () => {
  test("comes out of unit length, in the same direction", () => {
    fc.assert(
      fc.property(embeddings(), (values) => {
        const checked = checkVector(values, values.length);
        if (!checked.ok) throw new Error(checked.message);
        expect(Math.abs(norm(checked.vector) - 1)).toBeLessThan(MAX_UNIT_ERROR);
        const length = norm(values);
        checked.vector.forEach((value, index) => {
          expect(value).toBeCloseTo((values[index] ?? Number.NaN) / length, 6);
        });
      }),
    );
  });

  test("comes out as the same bits when it is checked again", () => {
    fc.assert(
      fc.property(embeddings(), (values) => {
        const once = checkVector(values, values.length);
        const twice = once.ok ? checkVector(Array.from(once.vector), values.length) : once;
        expect(twice).toEqual(once);
      }),
    );
  });

  test("also where a second division would change a bit", () => {
    const once = checkVector([0.9029576778411865, 0.48957520723342896, 0.29262396693229675], 3);
    expect(checkVector(once.ok ? once.vector : [], 3)).toEqual(once);
  });

  test("is told by its length in double precision, even where float32 would overflow", () => {
    const checked = checkVector([LARGEST_FLOAT32, LARGEST_FLOAT32], 2);
    expect(checked).toEqual({ ok: true, vector: Float32Array.of(Math.SQRT1_2, Math.SQRT1_2) });
  });
});

describe("a vector that is refused", () => {
  test.each([
    ["too short", [1], 2, "width", "permanent"],
    ["too long", [1, 0, 0], 2, "width", "permanent"],
    ["empty", [], 2, "width", "permanent"],
    ["with a NaN", [1, Number.NaN], 2, "notFinite", "retryable"],
    ["with an Infinity", [Number.NEGATIVE_INFINITY, 1], 2, "notFinite", "retryable"],
    ["with a number beyond float32", [1e39, 1], 2, "notFinite", "retryable"],
    ["with nothing but such numbers", [1e200, -1e200], 2, "notFinite", "retryable"],
    ["zero", [0, -0], 2, "zero", "retryable"],
    ["zero after rounding to float32", [1e-60, 1e-60], 2, "zero", "retryable"],
    ["too short to have a direction", [1e-13, 0], 2, "zero", "retryable"],
  ])("%s", (_, values, dimensions, problem, itsClass) => {
    expect(checkVector(values, dimensions)).toMatchObject({ ok: false, problem, class: itsClass });
  });
});

/** Like real ones: float32 values, some exactly 0, of any size that leaves a direction. */
function embeddings(): fc.Arbitrary<number[]> {
  const value = fc.oneof(
    fc.float({ min: -1, max: 1, noNaN: true }),
    fc.float({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(0, -0, 0.03411985, 1),
  );
  const wide = fc.array(fc.float({ min: -1, max: 1, noNaN: true }), {
    minLength: 768,
    maxLength: 768,
  });
  return fc
    .oneof(fc.array(value, { minLength: 1, maxLength: 64 }), wide)
    .filter((values) => norm(values) > MAX_UNIT_ERROR);
}

function norm(values: Iterable<number>): number {
  return Math.sqrt([...values].reduce((sum, value) => sum + value * value, 0));
}
