/**
 * An array of numbers in JSON, read straight from the bytes: it is nearly all of a result line, and
 * JSON.parse takes twice as long over it. What comes out is what JSON.parse gives, to the bit: at
 * most 15 digits are a whole number that a double holds exactly, divided by a power of ten that it
 * holds exactly too, and such a division comes out as the double nearest to the number as written.
 * Every other number is left to `Number`.
 *
 * Measured on lines of 768 numbers: digits are taken four at a time, and the sign and the last few
 * digits without a branch, since a processor guesses neither. The numbers go into room that is used
 * again for the next line; an array filled by `push` loses all that is gained.
 */

export type NumberArray = Readonly<{
  /** A part of the room. */
  values: Float64Array;
  /** Index of the first byte after the array. */
  end: number;
}>;

const OPENING_BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

const MAX_EXACT_DIGITS = 15;
const POWERS_OF_TEN = Float64Array.from({ length: MAX_EXACT_DIGITS + 1 }, (_, at) => 10 ** at);
/** By the first byte of a number. */
const SIGNS = Int32Array.from({ length: 256 }, (_, byte) => (byte === MINUS ? -1 : 1));

const WORD_BYTES = 4;
/** Nearly every number of a vector is `0.` with eight to eleven decimals: three words. */
const ZERO_POINT = 0x2e30;
const HIGH_AT = 2;
const LOW_AT = HIGH_AT + WORD_BYTES;
const LAST_AT = LOW_AT + WORD_BYTES;
const EIGHT = 8;
const ZEROES = 0x30303030;
const NO_DIGITS = -1;

/** As JSON has it, which allows less than `Number` does. */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d+)?$/i;

/**
 * The array whose bracket stands at `start`. Undefined when it holds anything but numbers and commas,
 * white space included, or more of them than there is room for: it may be sound, and is for
 * JSON.parse to read.
 */
export function readNumberArray(
  bytes: Buffer,
  start: number,
  room: Float64Array,
): NumberArray | undefined {
  if (bytes[start] !== OPENING_BRACKET) return undefined;
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const lastWord = bytes.length - WORD_BYTES;
  const lastUsual = lastWord - LAST_AT;
  let count = 0;
  let at = start;
  do {
    const from = at + 1;
    const sign = SIGNS[bytes[from] ?? 0] ?? 1;
    const first = from + ((1 - sign) >> 1);
    if (first <= lastUsual && words.getUint16(first, true) === ZERO_POINT) {
      const high = wordAt(words, first + HIGH_AT);
      const low = wordAt(words, first + LOW_AT);
      const last = wordAt(words, first + LAST_AT);
      const flags = flagsOf(last);
      const left = leadingDigits(flags);
      at = first + LAST_AT + left;
      if ((flagsOf(high) | flagsOf(low)) === 0 && flags !== 0 && isEnd(bytes[at])) {
        const eight = Math.imul(fourDigits(high), 10_000) + fourDigits(low);
        const digits = eight * (POWERS_OF_TEN[left] ?? 0) + fourDigits(firstBytes(last, left));
        room[count] = (sign * digits) / (POWERS_OF_TEN[EIGHT + left] ?? 0);
        count += 1;
        continue;
      }
    }
    let mantissa = 0;
    for (at = first; isDigit(bytes[at]); at += 1)
      mantissa = mantissa * 10 + (bytes[at] ?? 0) - ZERO;
    const whole = at - first;
    const point = at;
    if (bytes[at] === POINT) {
      at += 1;
      let word = NO_DIGITS;
      let flags = NO_DIGITS;
      while (at <= lastWord) {
        word = wordAt(words, at);
        flags = flagsOf(word);
        if (flags !== 0) break;
        mantissa = mantissa * 10_000 + fourDigits(word);
        at += WORD_BYTES;
        flags = NO_DIGITS;
      }
      const left = leadingDigits(flags);
      mantissa = mantissa * (POWERS_OF_TEN[left] ?? 0) + fourDigits(firstBytes(word, left));
      at += left;
    }
    const decimals = at - point - 1;
    if (decimals > 0 && isExact(bytes, first, whole, decimals) && isEnd(bytes[at])) {
      room[count] = (sign * mantissa) / (POWERS_OF_TEN[decimals] ?? 0);
    } else {
      at = endOfNumber(bytes, from);
      const value = anyNumber(bytes, from, at);
      if (value === undefined) return undefined;
      room[count] = value;
    }
    count += 1;
  } while (bytes[at] === COMMA);
  if (bytes[at] !== CLOSING_BRACKET) return undefined;
  if (count > room.length) return undefined;
  return { values: room.subarray(0, count), end: at + 1 };
}

/** Such numbers come out exact; a zero that leads others is not JSON. */
function isExact(bytes: Buffer, first: number, whole: number, decimals: number): boolean {
  return (
    whole + decimals <= MAX_EXACT_DIGITS && (whole === 1 || (whole > 1 && bytes[first] !== ZERO))
  );
}

function endOfNumber(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length && !isEnd(bytes[at])) at += 1;
  return at;
}

function anyNumber(bytes: Buffer, from: number, end: number): number | undefined {
  const text = bytes.toString("latin1", from, end);
  return NUMBER.test(text) ? Number(text) : undefined;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

function isEnd(byte: number | undefined): boolean {
  return byte === COMMA || byte === CLOSING_BRACKET;
}

/** Four bytes, each as a digit's value. */
function wordAt(words: DataView, at: number): number {
  return words.getInt32(at, true) ^ ZEROES;
}

/** Bits within each byte that is over 9. */
function flagsOf(word: number): number {
  return (word | (word + 0x06060606)) & 0xf0f0f0f0;
}

/** How many bytes stand before the first that has a flag. */
function leadingDigits(flags: number): number {
  return (31 - Math.clz32(flags & -flags)) >> 3;
}

/** So many bytes, up to three, with zeroes before them. */
function firstBytes(word: number, count: number): number {
  return (word << 8) << (24 - (count << 3));
}

/** The first byte is the first digit. */
function fourDigits(word: number): number {
  const pairs = (Math.imul(word, 10) + (word >>> 8)) & 0x00ff00ff;
  return (Math.imul(pairs, 100) + (pairs >>> 16)) & 0xffff;
}
