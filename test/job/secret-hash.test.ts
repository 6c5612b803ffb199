// Two texts whose md5 was made to meet must not share a vector: is the second hash that tells them
// apart different for different texts, of whatever kind and length?
import fc from "fast-check";
import { expect, test } from "vitest";
import { secretHash } from "../../src/jobs-folder/secret-hash.ts";

const text = fc.string({ unit: "binary", maxLength: 40 });
const longText = fc
  .tuple(text, fc.integer({ min: 4090, max: 4100 }))
  .map(([start, length]) => start.padEnd(length, "x"));

test("it is a whole number below 2^52, the same each time for the same text", () => {
  fc.assert(
    fc.property(fc.oneof(text, longText), (each) => {
      const hashed = secretHash(each);
      expect(Number.isInteger(hashed) && hashed >= 0 && hashed < 2 ** 52).toBe(true);
      secretHash(`${each}, and what lies in memory after it`);
      expect(secretHash(each)).toBe(hashed);
    }),
  );
});

test("no two texts that differ by a little have the same", () => {
  const base = `What is the ${"very ".repeat(20)}question?`;
  const texts = [...range(base.length)].flatMap((at) =>
    ["", "\0", "a", "A", "é", "字", "\u{1f600}"].map(
      (put) => base.slice(0, at) + put + base.slice(at),
    ),
  );
  const distinct = new Set(texts);
  expect(new Set([...distinct].map(secretHash)).size).toBe(distinct.size);
});

test.each([
  ["zeroes at the end", "a", "a\0"],
  ["nothing, and a zero", "", "\0"],
  ["halves of surrogate pairs, which UTF-8 does not tell apart", "a\ud800", "a\ud801"],
  [
    "the last unit of the longest that are hashed at once",
    "x".repeat(4096),
    `${"x".repeat(4095)}y`,
  ],
  ["the last of longer ones", "x".repeat(4097), `${"x".repeat(4096)}y`],
  ["three bytes a unit, to the last", "字".repeat(4096), `${"字".repeat(4095)}学`],
])("%s", (_, one, other) => {
  expect(secretHash(one)).not.toBe(secretHash(other));
});

test("all of its bits differ among texts, so that it tells as many apart as it promises", () => {
  const hashes = [...range(2000)].map((n) => BigInt(secretHash(`question ${n}`)));
  for (let bit = 0n; bit < 51n; bit += 1n) {
    const ones = hashes.filter((hashed) => ((hashed >> bit) & 1n) === 1n).length;
    expect(ones, `bit ${bit}`).toBeGreaterThan(700);
    expect(ones, `bit ${bit}`).toBeLessThan(1300);
  }
});

function range(end: number): number[] {
  return Array.from({ length: end }, (_, n) => n);
}
