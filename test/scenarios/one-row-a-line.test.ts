// An import reads a results file twice: once for the keys alone, once for everything. Does a line
// that the second reading gives to a row, however damaged it is, count for that very row in the first?
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { parseResultLine, readResultKey } from "../../src/row/result-line/result-line.ts";
import { sized } from "../size.ts";

const keys = fc.string({
  unit: fc.constantFrom("7", "@", "a", '"', "\\", "{", "}", ",", ":", "\u2028", "é", "key"),
  minLength: 1,
  maxLength: 8,
});

/** A sound line, the key first or last, of a vector or an error. */
const sound = fc.tuple(keys, fc.boolean(), fc.boolean()).map(([key, first, failed]) => {
  const rest = failed
    ? { error: { code: 13, message: 'no "key":"x" here' } }
    : { response: { embedding: { values: [0.25, -0.5, 1e-7] }, tokenCount: "4" } };
  return Buffer.from(JSON.stringify(first ? { key, ...rest } : { ...rest, key }));
});

/** Bytes taken out, put in or changed, and lines torn, glued together or doubled in part. */
const damaged = fc.oneof(
  sound,
  fc
    .tuple(sound, fc.nat(120), fc.nat(20), fc.uint8Array({ maxLength: 4 }))
    .map(([line, at, cut, bytes]) =>
      Buffer.concat([line.subarray(0, at), bytes, line.subarray(at + cut)]),
    ),
  fc
    .tuple(sound, sound, fc.nat(120), fc.nat(120))
    .map(([a, b, end, start]) => Buffer.concat([a.subarray(0, end), b.subarray(start)])),
);

test("whatever happened to a line, a row that it is used for is the one it was counted for", () => {
  fc.assert(
    fc.property(damaged, (line) => {
      const { key } = parseResultLine(line);
      // of a line that is no JSON the quick reading may name a key that the other leaves out
      expect([key ?? readResultKey(line)]).toContain(readResultKey(line));
    }),
    { numRuns: sized({ quick: 1_000, full: 5_000 }) },
  );
});
