// Does the compact table say what a Map would, and does it keep to its memory with the keys we have?
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fingerprint } from "../fingerprints.ts";
import { KeySet, KeyTable } from "../../src/row/key-table.ts";
import { sized } from "../size.ts";

const ROWS = sized({ quick: 60_000, full: 200_000 });
const BYTES_A_KEY_IN_A_SET = 8 / 0.75;
const BYTES_A_KEY_IN_A_TABLE = 12 / 0.75;
/** Arrays are a whole number of slots long. */
const ROUNDING = 1.001;

const keys = Array.from({ length: ROWS }, (_, id) => `${id}@${fingerprint(`text ${id % 1000}`)}`);

describe("a table", () => {
  test("answers as a Map does, from empty through every growth", () => {
    const anyKey = fc.oneof(fc.string(), fc.nat({ max: 300 }).map(String));
    const ordinal = fc.oneof(fc.nat(), fc.constantFrom(0, 2 ** 32 - 1));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(anyKey, ordinal), { maxLength: 400 }),
        fc.array(anyKey),
        fc.nat({ max: 400 }),
        (entries, strangers, expectedKeys) => {
          const table = new KeyTable(expectedKeys);
          const map = new Map<string, number>();
          for (const [key, value] of entries) {
            expect(table.add(key, value)).toBe(!map.has(key));
            if (!map.has(key)) map.set(key, value);
            expect(table.size).toBe(map.size);
          }
          for (const key of [...map.keys(), ...strangers])
            expect(table.get(key)).toBe(map.get(key));
        },
      ),
    );
  });

  test("takes 16 bytes a row when it is made for them, and does not grow", () => {
    const table = new KeyTable(ROWS);
    const before = table.bytes;
    keys.forEach((key, ordinal) => table.add(key, ordinal));
    expect(table.bytes).toBe(before);
    expect(table.bytes / ROWS).toBeLessThan(BYTES_A_KEY_IN_A_TABLE * ROUNDING);
  });

  test("finds every row's ordinal among many like it", () => {
    const table = new KeyTable();
    keys.forEach((key, ordinal) => table.add(key, ordinal));
    expect(keys.findIndex((key, ordinal) => table.get(key) !== ordinal)).toBe(-1);
    expect(table.get(`${ROWS}@${fingerprint("text 0")}`)).toBeUndefined();
  });
});

describe("a set", () => {
  test("answers as a Set does", () => {
    const anyKey = fc.oneof(fc.string(), fc.nat({ max: 300 }).map(String));
    fc.assert(
      fc.property(fc.array(anyKey, { maxLength: 400 }), fc.array(anyKey), (some, strangers) => {
        const set = new KeySet();
        const model = new Set<string>();
        for (const key of some) {
          expect(set.add(key)).toBe(!model.has(key));
          model.add(key);
        }
        expect(set.size).toBe(model.size);
        for (const key of [...some, ...strangers]) expect(set.has(key)).toBe(model.has(key));
      }),
    );
  });

  test("takes 10.7 bytes a row when made for them, and at most half as much again when not", () => {
    const made = new KeySet(ROWS);
    const grown = new KeySet();
    let most = 0;
    for (const key of keys) {
      made.add(key);
      grown.add(key);
      if (grown.size > 10_000) most = Math.max(most, grown.bytes / grown.size);
    }
    expect(made.bytes / ROWS).toBeLessThan(BYTES_A_KEY_IN_A_SET * ROUNDING);
    expect(most).toBeLessThan(BYTES_A_KEY_IN_A_SET * 1.5 * ROUNDING);
  });

  test("tells apart ids that differ in little, and rows that differ only in their text", () => {
    const set = new KeySet();
    const same = fingerprint("one text");
    for (let id = 0; id < ROWS; id += 1) set.add(`${id}@${same}`);
    for (let text = 0; text < ROWS / 10; text += 1) set.add(`x@${fingerprint(String(text))}`);
    for (let code = 0; code < 0x10000; code += 1) set.add(String.fromCharCode(code));
    expect(set.size).toBe(ROWS + ROWS / 10 + 0x10000);
  });
});
