/** Reading what others wrote: nothing of an answer is believed to be of a type before it is looked at. */
import { isJsonObject, type JsonObject } from "../../row/json-value.ts";

/** The value's fields, none where it is no object. */
export function fields(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** A count: the service sends int64 as a string, and some numbers as numbers. */
export function count(value: unknown): number | undefined {
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) ? number : undefined;
}
