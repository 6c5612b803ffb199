/** Half precision (IEEE 754 binary16), as a column of type halfvec rounds. Node 22 has no f16round. */
const FRACTION_BITS = 10;
const MIN_EXPONENT = -14;

/** The nearest half, ties to even. For finite numbers within its range. */
export function roundToHalf(value: number): number {
  if (value === 0) return value;
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(value))), MIN_EXPONENT);
  const step = 2 ** (exponent - FRACTION_BITS);
  return roundToEven(value / step) * step;
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 1 / 2) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
