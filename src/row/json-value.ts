/**
 * Reading JSON that others wrote: every value starts as `unknown` and is looked at before it is
 * used. What does not fit is a LineError, which says what and where, for the person who has to
 * mend the line.
 */
import { isUtf8 } from "node:buffer";

export type JsonObject = Readonly<Record<string, unknown>>;

/** A line is not what it should be. The message says why; the caller adds file and line number. */
export class LineError extends Error {
  override readonly name = "LineError";
}

/** Strict: a byte that is no UTF-8 would change a text unseen. A byte order mark is dropped. */
const utf8 = new TextDecoder("utf-8", { fatal: true });

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Undefined, which JSON cannot express, where it is no JSON in UTF-8. */
export function parseJson(json: string | Buffer): unknown {
  if (typeof json !== "string" && !isUtf8(json)) return undefined;
  try {
    return JSON.parse(json.toString());
  } catch {
    return undefined;
  }
}

/** Throws LineError when the text is not one JSON object in UTF-8. */
export function parseJsonObject(json: string | Uint8Array): JsonObject {
  const value = strictJson(typeof json === "string" ? json : decodeUtf8(json));
  if (!isJsonObject(value)) throw new LineError("not a JSON object");
  return value;
}

/** The member as an object; `where` names it in the LineError. */
export function requireObject(value: unknown, where: string): JsonObject {
  if (!isJsonObject(value)) throw new LineError(`${where} ${shouldBe(value, "an object")}`);
  return value;
}

/** The member as a string that is not empty. */
export function requireText(value: unknown, where: string): string {
  if (typeof value !== "string") throw new LineError(`${where} ${shouldBe(value, "a string")}`);
  if (value === "") throw new LineError(`${where} is empty`);
  return value;
}

/** The member as a whole number, at least `min`. */
export function requireInteger(value: unknown, where: string, min: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < min) {
    throw new LineError(`${where} ${shouldBe(value, `a whole number, at least ${min}`)}`);
  }
  return value;
}

/** The member as one of a few words. */
export function requireOneOf<Word extends string>(
  value: unknown,
  words: readonly Word[],
  where: string,
): Word {
  const word = words.find((each) => each === value);
  if (word === undefined) {
    throw new LineError(`${where} ${shouldBe(value, `one of ${words.join(", ")}`)}`);
  }
  return word;
}

/** Throws LineError when the object has a member that nobody would read. */
export function refuseOtherMembers(
  object: JsonObject,
  known: readonly string[],
  where: string,
): void {
  const other = Object.keys(object).find((name) => !known.includes(name));
  if (other === undefined) return;
  throw new LineError(
    `${where} has a member ${JSON.stringify(other)}; only ${known.join(", ")} may stand there`,
  );
}

function shouldBe(value: unknown, expected: string): string {
  return value === undefined ? `is missing; it should be ${expected}` : `should be ${expected}`;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new LineError("not valid UTF-8", { cause: error });
  }
}

function strictJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new LineError("not valid JSON", { cause: error });
  }
}
