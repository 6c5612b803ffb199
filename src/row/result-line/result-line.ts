/**
 * One line of a results file, as Gemini returned it. The service's own reports and its clients
 * differ about the shape, so every one that was seen is read: the vector in `response.embedding`,
 * in `response.embeddings` or at the top; the error at the top, within `response` or in `status`; the
 * key at the top or in `metadata`.
 * Nothing here throws: a line that cannot be read is a result too, and costs one row.
 *
 * Where a line holds an error, the error counts, even beside a vector; one that says nothing counts only
 * where there is no vector. A vector's entry that is no number (null, "NaN") stands as NaN, so that the
 * check of the vector names it.
 */
import { isJsonObject, type JsonObject } from "../json-value.ts";
import { parseJson } from "../json-value.ts";
import { findNumbers, parseLineJson } from "./line-json.ts";

/** Numbers as they were sent. */
type Values = readonly number[] | Float64Array;

export type ResultLine =
  | Readonly<{
      kind: "vector";
      key: string;
      values: Values;
      /** Tokens billed for the row, where the service says so. */
      tokens?: number;
    }>
  | Readonly<{ kind: "error"; key: string; code?: number; message: string }>
  /** With its key only where that is beyond doubt. */
  | Readonly<{ kind: "malformed"; key?: string; message: string }>;

/** Numbers of google.rpc.Code by name, for errors that carry only the name. */
const RPC_CODES: ReadonlyMap<string, number> = new Map([
  ["OK", 0],
  ["CANCELLED", 1],
  ["UNKNOWN", 2],
  ["INVALID_ARGUMENT", 3],
  ["DEADLINE_EXCEEDED", 4],
  ["NOT_FOUND", 5],
  ["ALREADY_EXISTS", 6],
  ["PERMISSION_DENIED", 7],
  ["RESOURCE_EXHAUSTED", 8],
  ["FAILED_PRECONDITION", 9],
  ["ABORTED", 10],
  ["OUT_OF_RANGE", 11],
  ["UNIMPLEMENTED", 12],
  ["INTERNAL", 13],
  ["UNAVAILABLE", 14],
  ["DATA_LOSS", 15],
  ["UNAUTHENTICATED", 16],
]);

/** A message goes into the failed file and onto the screen; more than this helps nobody. */
const MAX_MESSAGE_CHARS = 2000;

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
const DELETE = 0x7f;
const SPACE_BYTES: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0a, 0x0d]);
const KEY_NAME = Buffer.from('"key"');

/** As many values as any model gives. */
const ROOM = 4096;

/** For a vector's values, to be given to one line after the other. */
export function roomForValues(): Float64Array {
  return new Float64Array(ROOM);
}

/**
 * Reads a line, given without its LF. Its values may be a part of `room`, and then hold until `room`
 * is given to another line.
 */
export function parseResultLine(bytes: Buffer, room: Float64Array = roomForValues()): ResultLine {
  const line = parseLineJson(bytes, findNumbers(bytes, room));
  if (line === undefined) return malformed("the line is not valid JSON", recoverKey(bytes));
  if (!isJsonObject(line)) return malformed("the line is not a JSON object", undefined);
  const key = keyOf(line);
  if (key === undefined) return malformed("the line has no key", undefined);
  const errors = errorsOf(line);
  const values = valuesOf(line);
  if (errors.some(saysSomething) || (errors.length > 0 && values === undefined)) {
    return { kind: "error", key, ...together(errors) };
  }
  if (values === undefined) return malformed("the line has neither a vector nor an error", key);
  return { kind: "vector", key, values, ...tokensOf(line) };
}

/**
 * The key that `parseResultLine` finds, at a small part of the cost where the key stands first or
 * last, as it does. Of a line that is not valid JSON it may name a key that `parseResultLine`
 * leaves out.
 */
export function readResultKey(bytes: Buffer): string | undefined {
  const start = plainKeyStart(bytes);
  if (start !== -1) return bytes.toString("latin1", start, bytes.length - PLAIN_END.length);
  const end = plainFirstKeyEnd(bytes);
  if (end !== -1) return bytes.toString("latin1", PLAIN_BEGINNING.length, end);
  const quoted = lastKey(bytes) ?? onlyFirstKey(bytes);
  const key = quoted === undefined ? undefined : unquote(quoted);
  if (key !== undefined) return key;
  const line = parseJson(bytes);
  if (line === undefined) return recoverKey(bytes);
  return isJsonObject(line) ? keyOf(line) : undefined;
}

function malformed(message: string, key: string | undefined): ResultLine {
  return key === undefined ? { kind: "malformed", message } : { kind: "malformed", key, message };
}

function keyOf(line: JsonObject): string | undefined {
  return [line["key"], member(line["metadata"], "key")].find(isText);
}

type ServiceError = Readonly<{ code?: number; message: string }>;

function errorsOf(line: JsonObject): ToldError[] {
  const places = [line["error"], member(line["response"], "error"), line["status"]];
  return places.map(readError).filter((each) => each !== undefined);
}

function saysSomething({ code, text }: ToldError): boolean {
  return code !== undefined || text !== undefined;
}

/** One of the places may be there and say nothing, or only the code or the message. */
function together(errors: readonly ToldError[]): ServiceError {
  const code = errors.find((each) => each.code !== undefined)?.code;
  const text = errors.find((each) => each.text !== undefined)?.text ?? NO_MESSAGE;
  const message = text.slice(0, MAX_MESSAGE_CHARS).toWellFormed();
  return code === undefined ? { message } : { code, message };
}

const NO_MESSAGE = "the service gave an error without a message";

type ToldError = Readonly<{ code: number | undefined; text: string | undefined }>;

/** A google.rpc.Status, or only its name or a text. What is empty or says OK is no error. */
function readError(value: unknown): ToldError | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (!isJsonObject(value)) return unlessOk(rpcCode(value), isText(value) ? value : undefined);
  if (Object.keys(value).length === 0) return undefined;
  const { code, status, message } = value;
  return unlessOk(readWholeNumber(code) ?? rpcCode(status), [message, status].find(isText));
}

function unlessOk(code: number | undefined, text: string | undefined): ToldError | undefined {
  return code === 0 ? undefined : { code, text };
}

/** One that is not empty. */
function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

/** From `UNAVAILABLE` or `UNAVAILABLE: try later`. */
function rpcCode(status: unknown): number | undefined {
  return typeof status === "string" ? RPC_CODES.get(status.split(":", 1).join("")) : undefined;
}

function valuesOf(line: JsonObject): Values | undefined {
  const { response } = line;
  return (
    readValues(member(response, "embedding")) ??
    readValues(onlyEntry(member(response, "embeddings"))) ??
    readValues(line["embedding"])
  );
}

/** Two vectors for one row: nobody can know which is right. */
function onlyEntry(value: unknown): unknown {
  return Array.isArray(value) && value.length === 1 ? value[0] : undefined;
}

function readValues(embedding: unknown): Values | undefined {
  const values: unknown = Array.isArray(embedding) ? embedding : member(embedding, "values");
  if (values instanceof Float64Array) return values;
  return Array.isArray(values) ? toNumbers(values) : undefined;
}

function toNumbers(values: unknown[]): number[] {
  return values.map((value) => (typeof value === "number" ? value : Number.NaN));
}

function tokensOf(line: JsonObject): { tokens?: number } {
  const { response } = line;
  const tokens =
    readWholeNumber(member(response, "tokenCount")) ??
    readWholeNumber(member(member(response, "usageMetadata"), "promptTokenCount")) ??
    readWholeNumber(member(line["usageMetadata"], "promptTokenCount"));
  return tokens === undefined ? {} : { tokens };
}

function member(value: unknown, name: string): unknown {
  return isJsonObject(value) ? value[name] : undefined;
}

/** Proto JSON writes a 64-bit integer as a string, others as a number. */
function readWholeNumber(value: unknown): number | undefined {
  const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) && number >= 0
    ? number
    : undefined;
}

const PLAIN_END = Buffer.from('"}');
/** Before the first sign of a key. What stands before that must begin the name, not end within one. */
const PLAIN_START = Buffer.from('"key":"');
const BEFORE_NAME: ReadonlySet<number | undefined> = new Set([COMMA, OPENING_BRACE]);

/**
 * Where the key begins in a line that ends with `"key":"…"}`, written so and with plain ASCII signs
 * in the key: what `lastKey` finds, for nearly every line and in no time. -1 in any other line.
 */
function plainKeyStart(bytes: Buffer): number {
  const end = bytes.length - PLAIN_END.length;
  if (bytes[end] !== QUOTE || bytes[end + 1] !== CLOSING_BRACE) return -1;
  let start = end;
  while (isPlain(bytes[start - 1])) start -= 1;
  const name = start - PLAIN_START.length;
  if (start === end || !BEFORE_NAME.has(bytes[name - 1])) return -1;
  return standsAt(bytes, name, PLAIN_START) ? start : -1;
}

/** Before the first sign of a key that stands first, as in the lines that we send. */
const PLAIN_BEGINNING = Buffer.from('{"key":"');

/** Where the key ends in a line that begins with it, written so: what `onlyFirstKey` finds, or -1. */
function plainFirstKeyEnd(bytes: Buffer): number {
  if (!standsAt(bytes, 0, PLAIN_BEGINNING)) return -1;
  let end = PLAIN_BEGINNING.length;
  while (isPlain(bytes[end])) end += 1;
  if (end === PLAIN_BEGINNING.length || bytes[end] !== QUOTE) return -1;
  return bytes.includes(KEY_NAME, end) || bytes.includes(BACKSLASH, end) ? -1 : end;
}

function standsAt(bytes: Buffer, start: number, what: Buffer): boolean {
  for (let at = 0; at < what.length; at += 1) {
    if (bytes[start + at] !== what[at]) return false;
  }
  return true;
}

function isPlain(byte: number | undefined): boolean {
  return (
    byte !== undefined && byte >= SPACE && byte < DELETE && byte !== QUOTE && byte !== BACKSLASH
  );
}

/** The key of a line that is torn or garbled, if there is only one in it, first or last. */
function recoverKey(bytes: Buffer): string | undefined {
  const at = bytes.indexOf(KEY_NAME);
  if (at === -1 || bytes.includes(KEY_NAME, at + 1)) return undefined;
  const quoted = lastKey(bytes) ?? firstKey(bytes);
  return quoted === undefined ? undefined : unquote(quoted);
}

/**
 * The string, in its quotes, in `… "key": "…" }` at the end. In JSON a quote ends or begins a string
 * unless an odd number of backslashes stands before it, so that strings can be told backwards; and
 * a string between a colon and the last brace can only be a member of the whole. Of several members
 * of one name JSON.parse takes the last, which this is.
 */
function lastKey(bytes: Buffer): Buffer | undefined {
  const brace = skipSpaceBack(bytes, bytes.length - 1);
  if (bytes[brace] !== CLOSING_BRACE) return undefined;
  const valueEnd = skipSpaceBack(bytes, brace - 1);
  const valueStart = stringStart(bytes, valueEnd);
  const colon = skipSpaceBack(bytes, valueStart - 1);
  if (bytes[colon] !== COLON) return undefined;
  const nameEnd = skipSpaceBack(bytes, colon - 1);
  const nameStart = stringStart(bytes, nameEnd);
  if (nameStart === -1 || !KEY_NAME.equals(bytes.subarray(nameStart, nameEnd + 1))) {
    return undefined;
  }
  return bytes.subarray(valueStart, valueEnd + 1);
}

/** The first key where no other member can be called so: not even with an escape in its name. */
function onlyFirstKey(bytes: Buffer): Buffer | undefined {
  const quoted = firstKey(bytes);
  if (quoted === undefined) return undefined;
  const rest = bytes.subarray(quoted.byteOffset + quoted.length - bytes.byteOffset);
  return rest.includes(KEY_NAME) || rest.includes(BACKSLASH) ? undefined : quoted;
}

/** The string, in its quotes, in `{ "key": "…"` at the start. */
function firstKey(bytes: Buffer): Buffer | undefined {
  const brace = skipSpace(bytes, 0);
  if (bytes[brace] !== OPENING_BRACE) return undefined;
  const nameStart = skipSpace(bytes, brace + 1);
  const nameEnd = nameStart + KEY_NAME.length;
  if (!KEY_NAME.equals(bytes.subarray(nameStart, nameEnd))) return undefined;
  const colon = skipSpace(bytes, nameEnd);
  if (bytes[colon] !== COLON) return undefined;
  const start = skipSpace(bytes, colon + 1);
  const end = stringEnd(bytes, start);
  return end === -1 ? undefined : bytes.subarray(start, end + 1);
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from;
  while (SPACE_BYTES.has(bytes[at])) at += 1;
  return at;
}

function skipSpaceBack(bytes: Buffer, from: number): number {
  let at = from;
  while (SPACE_BYTES.has(bytes[at])) at -= 1;
  return at;
}

/** Index of the quote that ends the string beginning at `start`; -1 when there is none. */
function stringEnd(bytes: Buffer, start: number): number {
  if (bytes[start] !== QUOTE) return -1;
  let at = bytes.indexOf(QUOTE, start + 1);
  while (at !== -1 && isEscaped(bytes, at)) at = bytes.indexOf(QUOTE, at + 1);
  return at;
}

/** Index of the quote that begins the string ending at `end`; -1 when there is none. */
function stringStart(bytes: Buffer, end: number): number {
  if (end < 1 || bytes[end] !== QUOTE) return -1;
  let at = bytes.lastIndexOf(QUOTE, end - 1);
  while (at > 0 && isEscaped(bytes, at)) at = bytes.lastIndexOf(QUOTE, at - 1);
  return at;
}

function isEscaped(bytes: Buffer, at: number): boolean {
  let start = at;
  while (bytes[start - 1] === BACKSLASH) start -= 1;
  return (at - start) % 2 === 1;
}

function unquote(quoted: Buffer): string | undefined {
  const key = parseJson(quoted);
  return typeof key === "string" && key !== "" ? key : undefined;
}
