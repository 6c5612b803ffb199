// Can I tell row and text from a key again, whatever the id looks like?
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { formatKey, parseKey } from "../../src/row/question.ts";

const fingerprints = fc.stringMatching(/^[0-9a-f]{32}$/);

test("any id, also an empty text, comes out of its key as it went in", () => {
  const codeUnit = fc.nat({ max: 0xffff }).map((code) => String.fromCharCode(code));
  const ids = fc.oneof(
    fc.string({ unit: codeUnit }),
    fc.string({ unit: fc.constantFrom("@", "a", "0", "\n", "\u2028") }),
  );
  fc.assert(
    fc.property(ids, fingerprints, (id, fingerprint) => {
      expect(parseKey(formatKey({ id, fingerprint }))).toEqual({ id, fingerprint });
    }),
  );
});

test("an id that itself ends like a key is told from the key's own end", () => {
  const id = "7@00000000000000000000000000000000";
  const fingerprint = "ffffffffffffffffffffffffffffffff";
  expect(parseKey(formatKey({ id, fingerprint }))).toEqual({ id, fingerprint });
});

test.each([
  ["nothing", ""],
  ["no fingerprint", "17"],
  ["a short fingerprint", "17@0123456789abcdef"],
  ["a fingerprint in capitals", "17@0123456789ABCDEF0123456789ABCDEF"],
  ["something after it", "17@0123456789abcdef0123456789abcdef\n"],
])("%s is no key", (_, key) => {
  expect(parseKey(key)).toBeUndefined();
});
