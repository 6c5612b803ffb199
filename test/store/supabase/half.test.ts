/** A halfvec column rounds what it is given: do we know our own vector again when we read it back? */
import { describe, expect, it } from "vitest";
import { roundToHalf } from "../../../src/store/supabase/half.ts";
import { onlyWhere } from "../../size.ts";

/** The engine's own rounding, where this Node has it. */
const f16round: unknown = Reflect.get(Math, "f16round");

function rounded(value: number): unknown {
  return typeof f16round === "function" ? f16round(value) : undefined;
}

describe("rounding to half precision", () => {
  it.each([
    [0, 0],
    [1, 1],
    [-0.1, -0.0999755859375],
    [1 / 3, 0.333251953125],
    // ties go to the even neighbour
    [1 + 2 ** -11, 1],
    [1 + 3 * 2 ** -11, 1 + 2 ** -9],
    // below 2^-14 the steps stay the same
    [2 ** -24, 2 ** -24],
    [2 ** -25, 0],
    [3 * 2 ** -25, 2 ** -23],
  ])("of %d gives %d", (value, half) => {
    expect(roundToHalf(value)).toBe(half);
  });

  it(
    "is the engine's, for all that a vector may hold",
    onlyWhere(typeof f16round === "function", "take Math.f16round, which Node has from 24 on"),
    () => {
      const values = Array.from({ length: 20_000 }, (_, index) =>
        Math.fround(Math.sin(index * 12.9898) * 10 ** -(index % 9)),
      );
      expect(values.map(roundToHalf)).toEqual(values.map(rounded));
    },
  );
});
