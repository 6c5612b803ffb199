/** Of a number in a results file, and of what else a line holds. */
const BYTES_A_NUMBER = 13;
const BYTES_A_LINE = 200;
/** A request line, for a text of usual length. */
const REQUEST_BYTES = 600;

/** About how many bytes all files of so many rows take. */
export function fileBytes(rows: number, dimensions: number): number {
  return resultBytes(rows, dimensions) + rows * REQUEST_BYTES;
}

/** About how many bytes the results of so many rows take. */
export function resultBytes(rows: number, dimensions: number): number {
  return rows * (dimensions * BYTES_A_NUMBER + BYTES_A_LINE);
}
