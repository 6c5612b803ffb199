/**
 * JSON.parse for a line of a results file. The array of numbers, which is nearly all of the line, is
 * read apart (see `number-array.ts`): JSON.parse gets the line with `true` in place of the array, and
 * the array is put where the `true` came out. There must be no other `true`, not even within a text;
 * a line that has one, and any other shape of array, JSON.parse reads whole.
 */
import { parseJson } from "../json-value.ts";
import { type NumberArray, readNumberArray } from "./number-array.ts";

const BACKSLASH = 0x5c;
/** As all clients and the service's own examples write it. */
const NAME = Buffer.from('"values":');
const PLACEHOLDER = Buffer.from("true");

/** The array's values, and where its first byte stands; `end` is the first byte after it. */
export type NumbersInLine = NumberArray & Readonly<{ start: number }>;

/**
 * The array of numbers that is the first member called `values`, where it can be read apart. It comes
 * as a part of `room`.
 */
export function findNumbers(bytes: Buffer, room: Float64Array): NumbersInLine | undefined {
  const name = bytes.indexOf(NAME);
  // with a backslash before it, the quote stands within a name that only ends so
  if (name === -1 || bytes[name - 1] === BACKSLASH) return undefined;
  const start = name + NAME.length;
  const array = readNumberArray(bytes, start, room);
  return array === undefined ? undefined : { ...array, start };
}

/**
 * Undefined, which JSON cannot express, when the bytes are not JSON in UTF-8. `numbers` are the
 * line's own.
 */
export function parseLineJson(bytes: Buffer, numbers: NumbersInLine | undefined): unknown {
  if (numbers === undefined) return parseJson(bytes);
  const before = bytes.subarray(0, numbers.start);
  const after = bytes.subarray(numbers.end);
  if (before.includes(PLACEHOLDER) || after.includes(PLACEHOLDER)) return parseJson(bytes);
  const line = parseJson(Buffer.concat([before, PLACEHOLDER, after]));
  putInPlace(line, numbers.values);
  return line;
}

/** It is not found where a later member of the same name has taken its place, as JSON.parse has it. */
function putInPlace(line: unknown, values: Float64Array): void {
  const open: unknown[] = [line];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value !== "object" || value === null) continue;
    if ("values" in value && value.values === true) {
      value.values = values;
      return;
    }
    open.push(...Object.values(value));
  }
}
