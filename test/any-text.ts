import fc, { type StringConstraints } from "fast-check";

const LAST_CODE_POINT = 0x10_ff_ff;
const FIRST_SURROGATE = 0xd8_00;
const SURROGATES = 0x8_00;

/** Of whole code points. fast-check's own unit for it, "binary", reads tables for a second before the first text. */
export function anyText(constraints: Omit<StringConstraints, "unit"> = {}): fc.Arbitrary<string> {
  return fc.string({ ...constraints, unit: codePoint });
}

const codePoint = fc
  .integer({ min: 0, max: LAST_CODE_POINT - SURROGATES })
  .map((n) => String.fromCodePoint(n < FIRST_SURROGATE ? n : n + SURROGATES));
