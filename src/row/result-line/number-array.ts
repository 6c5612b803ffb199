/**
 * An array of numbers in JSON, read straight from the bytes: it is nearly all of a result line, and
 * JSON.parse takes four times as long over it. What comes out is what JSON.parse gives, to the bit.
 *
 * Numbers of the usual form are read by a few instructions of WebAssembly (`usual-numbers.wat`, which
 * says how): in JavaScript, which has no whole numbers of 64 bits to work on eight digits at once, the
 * same took twice as long. All others are left to `Number`, and to JSON.parse where there are many of them.
 */
import { USUAL_NUMBERS_WASM } from "./usual-numbers-wasm.ts";

export type NumberArray = Readonly<{
  /** A part of the room. */
  values: Float64Array;
  /** Index of the first byte after the array. */
  end: number;
}>;

const OPENING_BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;
const COMMA = 0x2c;

/** As JSON has it, which allows less than `Number` does. */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d+)?$/i;

/**
 * In one array. Where there are more, they are not a vector of the usual kind, and JSON.parse is
 * faster over all of them.
 */
const MAX_UNUSUAL = 32;

/** Where things lie in the reader's memory, in bytes. */
const POWERS_AT = 0x8000;
const POWERS_OF_TEN = Float64Array.from({ length: 16 }, (_, exponent) => 10 ** exponent);
const TEXT_AT = POWERS_AT + POWERS_OF_TEN.byteLength;
/** It looks at so many bytes behind a text's end at most: two words and the few before them. */
const LOOKAHEAD_BYTES = 32;

type Reader = Readonly<{
  /** Room for as many as any model gives. */
  values: Float64Array;
  text: Uint8Array;
  /** Of the values that are there. */
  count: WebAssembly.Global;
  read: (at: number, most: number) => number;
}>;

let reader: Reader | undefined;

/**
 * The array whose bracket stands at `start`. Undefined when it holds anything but numbers and commas,
 * white space included, more of them than there is room for, or many of another form: it may be sound,
 * and is for JSON.parse to read.
 */
export function readNumberArray(
  bytes: Buffer,
  start: number,
  room: Float64Array,
): NumberArray | undefined {
  reader ??= newReader();
  const { values, text, count } = reader;
  const length = bytes.length - start;
  if (bytes[start] !== OPENING_BRACKET || length > text.length - LOOKAHEAD_BYTES) return undefined;
  text.set(start === 0 ? bytes : bytes.subarray(start));
  text[length] = 0;
  count.value = 0;
  const most = Math.min(room.length, values.length);
  let at = readUsual(reader, 0, most);
  for (let unusual = 1; text[at] !== CLOSING_BRACKET; unusual += 1) {
    if (unusual > MAX_UNUSUAL) return undefined;
    const end = endOfNumber(text, at + 1);
    const value = anyNumber(bytes, start + at + 1, start + end);
    if (value === undefined || !isEnd(text[end]) || count.value >= most) return undefined;
    values[count.value] = value;
    count.value += 1;
    at = text[end] === COMMA ? readUsual(reader, end, most) : end;
  }
  room.set(values.subarray(0, count.value));
  return { values: room.subarray(0, count.value), end: start + at + 1 };
}

/** Reads on after the bracket or comma at `at`, and gives the one at which it stopped. */
function readUsual({ read }: Reader, at: number, most: number): number {
  return read(TEXT_AT + at, most) - TEXT_AT;
}

/** Every text has an end. */
function endOfNumber(text: Uint8Array, from: number): number {
  let at = from;
  while (text[at] !== 0 && !isEnd(text[at])) at += 1;
  return at;
}

function anyNumber(bytes: Buffer, from: number, end: number): number | undefined {
  const text = bytes.toString("latin1", from, end);
  return NUMBER.test(text) ? Number(text) : undefined;
}

function isEnd(byte: number | undefined): boolean {
  return byte === COMMA || byte === CLOSING_BRACKET;
}

function newReader(): Reader {
  const module = new WebAssembly.Module(Buffer.from(USUAL_NUMBERS_WASM, "base64"));
  const { memory, count, read } = new WebAssembly.Instance(module).exports;
  const isWhole =
    memory instanceof WebAssembly.Memory &&
    count instanceof WebAssembly.Global &&
    typeof read === "function";
  if (!isWhole) throw new Error("usual-numbers.wat has other exports");
  const { buffer } = memory;
  new Float64Array(buffer, POWERS_AT, POWERS_OF_TEN.length).set(POWERS_OF_TEN);
  return {
    values: new Float64Array(buffer, 0, POWERS_AT / Float64Array.BYTES_PER_ELEMENT),
    text: new Uint8Array(buffer, TEXT_AT),
    count,
    read,
  };
}
