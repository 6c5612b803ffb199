/**
 * JSON as the service reads it (proto3 JSON): every field in camelCase or snake_case, 64-bit
 * numbers as text or number, null as unset, and an unknown name is an error, never ignored.
 */
import { isJsonObject } from "../../row/json-value.ts";
import { ServiceError } from "./service-error.ts";

const WHOLE_NUMBER = /^-?\d{1,16}$/;

/** The names a message may have, spaces between; made once, so that reading a million lines stays cheap. */
export class MessageType {
  readonly #canonical = new Map<string, string>();

  constructor(names: string) {
    for (const name of names.split(" ")) {
      this.#canonical.set(name, name);
      this.#canonical.set(snakeCase(name), name);
    }
  }

  /** `at` is the path in error messages, empty at the top. */
  open(value: unknown, at: string): Message {
    if (!isJsonObject(value)) throw badValue(at, "MESSAGE", value);
    const fields = new Map<string, unknown>();
    for (const [spelled, content] of Object.entries(value)) {
      const name = this.#canonical.get(spelled);
      if (name === undefined) throw unknownName(spelled, at);
      if (fields.has(name)) throw repeatedName(spelled, at);
      if (content !== null) fields.set(name, content);
    }
    return new Message(fields, at);
  }
}

export class Message {
  readonly #fields: ReadonlyMap<string, unknown>;
  readonly #at: string;

  constructor(fields: ReadonlyMap<string, unknown>, at: string) {
    this.#fields = fields;
    this.#at = at;
  }

  has(name: string): boolean {
    return this.#fields.has(name);
  }

  raw(name: string): unknown {
    return this.#fields.get(name);
  }

  string(name: string): string | undefined {
    const value = this.#fields.get(name);
    if (value === undefined || typeof value === "string") return value;
    throw badValue(this.#path(name), "TYPE_STRING", value);
  }

  /** Whole numbers as number or text. */
  int(name: string): number | undefined {
    const value = this.#fields.get(name);
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isSafeInteger(value)) return value;
    if (typeof value === "string" && WHOLE_NUMBER.test(value)) return Number(value);
    throw badValue(this.#path(name), "TYPE_INT64", value);
  }

  bool(name: string): boolean | undefined {
    const value = this.#fields.get(name);
    if (value === undefined || typeof value === "boolean") return value;
    throw badValue(this.#path(name), "TYPE_BOOL", value);
  }

  message<T>(name: string, read: (value: unknown, at: string) => T): T | undefined {
    const value = this.#fields.get(name);
    return value === undefined ? undefined : read(value, this.#path(name));
  }

  list<T>(name: string, read: (value: unknown, at: string) => T): T[] {
    const value = this.#fields.get(name);
    if (value === undefined) return [];
    // The service takes a lone value for a list of one.
    if (!Array.isArray(value)) return [read(value, this.#path(name))];
    return value.map((item, i) => read(item, `${this.#path(name)}[${i}]`));
  }

  #path(name: string): string {
    return this.#at === "" ? name : `${this.#at}.${name}`;
  }
}

/** What proto3 JSON leaves out: unset, zero, false and empty. One level; nested objects stay. */
export function omitEmpty(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value)));
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return value === undefined || value === "" || value === 0 || value === "0" || value === false;
}

function unknownName(name: string, at: string): ServiceError {
  const where = at === "" ? "" : ` at '${snakeCase(at)}'`;
  return badRequest(
    `Invalid JSON payload received. Unknown name "${name}"${where}: Cannot find field.`,
    at,
  );
}

function repeatedName(name: string, at: string): ServiceError {
  const where = snakeCase(at === "" ? name : `${at}.${name}`);
  return badRequest(
    `Invalid value at '${where}' (oneof), oneof field '${name}' is already set.`,
    at,
  );
}

function badValue(at: string, type: string, value: unknown): ServiceError {
  return badRequest(`Invalid value at '${snakeCase(at)}' (${type}), ${JSON.stringify(value)}`, at);
}

function badRequest(message: string, at: string): ServiceError {
  const violation =
    at === "" ? { description: message } : { field: snakeCase(at), description: message };
  return new ServiceError("INVALID_ARGUMENT", message, [
    { "@type": "type.googleapis.com/google.rpc.BadRequest", fieldViolations: [violation] },
  ]);
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
