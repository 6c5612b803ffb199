/**
 * The end of each line of a journal: a CRC-32 over the line that goes on from the one of the line before. A flipped
 * bit, a line left out, and one put in from elsewhere are all known by it.
 */
import { crc32 } from "node:zlib";

/** What the first line goes on from. */
export const FIRST_SEAL = 0;

export type Sealed = Readonly<{
  /** Without its LF. */
  line: string;
  seal: number;
}>;

const OPENING = ',"crc":"';
const DIGITS = 8;
const CLOSING = '"}';
const SEAL_LENGTH = OPENING.length + DIGITS + CLOSING.length;

/** `json` is an object with members; the line is the same object with `crc` as its last one. */
export function sealed(json: string, before: number): Sealed {
  const content = json.slice(0, -1);
  const seal = crc32(content, before);
  return { line: content + OPENING + digitsOf(seal) + CLOSING, seal };
}

/** Undefined where the line is not what was once written after the line with the seal `before`. */
export function sealOf(line: string, before: number): number | undefined {
  const seal = crc32(line.slice(0, -SEAL_LENGTH), before);
  return line.endsWith(OPENING + digitsOf(seal) + CLOSING) ? seal : undefined;
}

/** The object without its seal. */
export function contentOf(line: string): string {
  return `${line.slice(0, -SEAL_LENGTH)}}`;
}

/** Whether something stands behind a whole line: no write that was cut short leaves that. */
export function hasMoreThanALine(tail: string, before: number): boolean {
  const end = tail.lastIndexOf(CLOSING) + CLOSING.length;
  return end < tail.length && sealOf(tail.slice(0, end), before) !== undefined;
}

function digitsOf(seal: number): string {
  return seal.toString(16).padStart(DIGITS, "0");
}
