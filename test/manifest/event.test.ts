// Most lines of a journal are read by a quick check of our own. Does it ever let through, or change,
// what the full check would not?
import fc from "fast-check";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { isJsonObject } from "../../src/row/json-value.ts";
import { eventSchema, parseEvent } from "../../src/manifest/event.ts";
import { sureCheckOf } from "../../src/row/sure-check.ts";
import { sized } from "../size.ts";

/** One of each kind. */
const EXAMPLES = readFileSync(new URL("../fixtures/manifest-v1.ndjson", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line !== "")
  .slice(1);

/** What the full check makes of a line: the event, or undefined where it refuses it. */
function fully(json: string): unknown {
  return eventSchema.safeParse(JSON.parse(json)).data;
}

function read(json: string): unknown {
  try {
    return parseEvent(json);
  } catch {
    return undefined;
  }
}

/** Values that a field may wrongly hold, near to right ones. */
const VALUES = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(
    -1,
    1.5,
    2 ** 53,
    1e300,
    "",
    "12",
    "0001",
    "00001",
    "a".repeat(64),
    "A".repeat(64),
    {},
    [],
    "2026-02-29T00:00:00.000Z",
    "2024-02-29T00:00:00Z",
    "2026-11-31T10:00:00.000Z",
    "2026-11-22T24:00:00.000Z",
    "2026-11-22T10:00:00.000+01:00",
    "gemini-embedding-3",
    null,
  ),
);

/** Every object within the value, itself included. */
function objectsIn(value: unknown): Record<string, unknown>[] {
  if (Array.isArray(value)) return value.flatMap(objectsIn);
  return isJsonObject(value) ? [{ ...value }, ...Object.values(value).flatMap(objectsIn)] : [];
}

/** The line with one of its members, at any depth, set, left out or added. */
function altered(line: string, place: number, name: string, value: unknown, how: string): string {
  let at = 0;
  const count = objectsIn(JSON.parse(line)).length;
  return JSON.stringify(JSON.parse(line), (_, member: unknown) => {
    if (!isJsonObject(member) || at++ !== place % count) return member;
    const names = Object.keys(member);
    const chosen = names[place % names.length] ?? name;
    const { [chosen]: _removed, ...rest } = member;
    if (how === "remove") return rest;
    return how === "add" ? { ...member, [name]: value } : { ...member, [chosen]: value };
  });
}

describe("a line of the journal", () => {
  test.each(EXAMPLES)("is what the full check makes of it, and is read quickly: %s", (line) => {
    expect(parseEvent(line)).toEqual(fully(line));
    expect(sureCheckOf(eventSchema)(JSON.parse(line))).toBe(true);
  });

  test("is what the full check makes of it, or refused, when it was altered anywhere", () => {
    const how = fc.constantFrom("set", "set", "remove", "add");
    const names = fc.constantFrom(
      "code",
      "parent",
      "failedFile",
      "expiresAt",
      "other",
      "__proto__",
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...EXAMPLES),
        fc.nat(1000),
        names,
        VALUES,
        how,
        (line, place, name, value, way) => {
          const json = altered(line, place, name, value, way);
          expect(read(json), json).toEqual(fully(json));
        },
      ),
      { numRuns: sized({ quick: 1_000, full: 3_000 }) },
    );
  });

  test("is refused with the field that is wrong", () => {
    const [line = ""] = EXAMPLES.filter((each) => each.includes('"imported"'));
    expect(() => parseEvent(line.replace('"written":', '"written":-'))).toThrow(/sums\.written: /);
  });
});
