// The vectors are read by a parser of our own: can it ever give another number than JSON.parse, take a
// line that is no JSON, or put the numbers where they do not belong?
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findNumbers, parseLineJson } from "../../../src/row/result-line/line-json.ts";
import { readNumberArray } from "../../../src/row/result-line/number-array.ts";
import { sized } from "../../size.ts";

const ROOM = 1000;
/** What follows the array in a line; without it the last numbers are read in another way. */
const REST = '}},"key":"17@0123456789abcdef"}';

describe("an array of numbers", () => {
  test("comes out as JSON.parse gives it, to the bit", () => {
    fc.assert(
      fc.property(
        fc.array(spelled(), { minLength: 1, maxLength: 40 }),
        rest(),
        (spellings, after) => {
          const text = `[${spellings.join(",")}]`;
          const found = read(text + after);
          expect(found?.end).toBe(text.length);
          expect(found?.values).toEqual(JSON.parse(text));
        },
      ),
      { numRuns: sized({ quick: 1_000, full: 3_000 }) },
    );
  });

  test("is taken from a part of a larger buffer as from one of its own", () => {
    const whole = Buffer.from("8,[1.25,-0.0078125]9.5");
    const part = whole.subarray(2, whole.length - 3);
    const values = readNumberArray(part, 0, new Float64Array(ROOM))?.values;
    expect([...(values ?? [])]).toEqual([1.25, -0.0078125]);
  });

  test("may be as long as the reader's memory, or longer: then it is left to JSON.parse", () => {
    const MEMORY = 491_392;
    const lengths = Array.from({ length: 45 }, (_, at) => MEMORY - 40 + at);
    const ends = lengths.map((length) => {
      const last = ",-0.12345678]";
      const text = `[${"1".repeat(length - 1 - last.length)}${last}`;
      return read(text)?.end;
    });
    expect(ends.slice(0, 5)).toEqual(lengths.slice(0, 5));
    expect(ends.slice(-5)).toEqual([undefined, undefined, undefined, undefined, undefined]);
  });

  test.each([
    "[]",
    "[ 1]",
    "[1 ]",
    "[1, 2]",
    "[1,]",
    "[,1]",
    "[01]",
    "[-01.5]",
    "[1.]",
    "[.5]",
    "[-]",
  ])("is left to JSON.parse when it is %s", (text) => expect(read(text + REST)).toBeUndefined());

  test.each([
    "[+1.5]",
    "[0x10]",
    "[1e]",
    "[1.5.2]",
    "[NaN]",
    "[null]",
    '["1.5"]',
    "[[1.5]]",
    "[1.5",
    "1.5]",
  ])("and when it is %s", (text) => expect(read(text + REST)).toBeUndefined());

  test("and when there are more of them than there is room for", () => {
    expect(readNumberArray(Buffer.from("[1.5,2.5]}"), 0, new Float64Array(2))).toBeDefined();
    expect(readNumberArray(Buffer.from("[1.5,2.5]}"), 0, new Float64Array(1))).toBeUndefined();
  });
});

describe("a line", () => {
  test("is what JSON.parse makes of it, or nothing where that throws", () => {
    fc.assert(
      fc.property(fc.oneof(lines(), damaged(lines())), (line) => {
        const bytes = Buffer.from(line);
        expect(plain(parseLineJson(bytes, findNumbers(bytes, new Float64Array(ROOM))))).toEqual(
          expected(bytes),
        );
      }),
      { numRuns: sized({ quick: 1_500, full: 5_000 }) },
    );
  });

  test.each([
    ["a later array of the same name counts", '{"e":{"values":[1.5]},"e":{"values":[2.5,3.5]}}'],
    ["also when it is none", '{"values":[1.5],"values":7}'],
    ["a true elsewhere stays", '{"values":[1.5],"x":true}'],
    ["also before it", '{"x":{"values":true},"values":[1.5]}'],
    ["also where JSON.parse changes the order", '{"b":{"values" :true},"1":{"values":[1.5]}}'],
    ["a name that only ends so is another", String.raw`{"x\"values":[1.5],"values":true}`],
    ["in a text it is text", String.raw`{"x":"\"values\":[1.5]","y":1}`],
    ["the array may be missing", '{"values":'],
  ])("%s", (_, line) => {
    const bytes = Buffer.from(line);
    expect(plain(parseLineJson(bytes, findNumbers(bytes, new Float64Array(ROOM))))).toEqual(
      expected(bytes),
    );
  });

  test("is refused when it is not UTF-8, before the array or after it", () => {
    const parts = ['{"a', '":1,"values":[1.5],"b', '":1}'].map((part) => Buffer.from(part));
    const [start = Buffer.alloc(0), middle = start, end = start] = parts;
    const wrong = Buffer.of(0xff);
    for (const bytes of [
      [start, wrong, middle, end],
      [start, middle, wrong, end],
    ]) {
      const line = Buffer.concat(bytes);
      expect(parseLineJson(line, findNumbers(line, new Float64Array(ROOM)))).toBeUndefined();
    }
  });
});

function read(text: string): { values: number[]; end: number } | undefined {
  const found = readNumberArray(Buffer.from(text), 0, new Float64Array(ROOM));
  return found && { values: [...found.values], end: found.end };
}

/** Numbers as anybody might write them, among them the longest and the smallest. */
function spelled(): fc.Arbitrary<string> {
  const digits = fc.string({
    unit: fc.constantFrom(..."0123456789".split("")),
    minLength: 1,
    maxLength: 22,
  });
  const whole = fc.oneof(fc.constant("0"), fc.constant("0"), fc.bigInt({ min: 0n }).map(String));
  const written = fc
    .tuple(
      fc.constantFrom("", "-"),
      whole,
      fc.option(digits),
      fc.option(fc.integer({ min: -340, max: 320 })),
    )
    .map(([sign, before, after, exponent]) =>
      [
        sign,
        before,
        after === null ? "" : `.${after}`,
        exponent === null ? "" : `e${exponent}`,
      ].join(""),
    );
  const likeAnEmbedding = fc
    .integer({ min: -100_000_000, max: 100_000_000 })
    .map((billionths) => String(billionths / 1e9));
  const doubles = fc.double({ noNaN: true, noDefaultInfinity: true }).map(String);
  return fc.oneof(
    likeAnEmbedding,
    written,
    doubles.map((text) => text.replace("e+", "E+")),
  );
}

/** What may stand after an array, from nothing on. */
function rest(): fc.Arbitrary<string> {
  return fc.constantFrom(REST, "", "}", "}}", ',"k":1}', "123456", ".5,", "]");
}

/** Lines with an array called `values` somewhere, or several, among all that may confuse. */
function lines(): fc.Arbitrary<string> {
  const array = fc
    .array(
      fc.oneof({ weight: 5, arbitrary: spelled() }, fc.constantFrom("null", "[]", '"1"', " 1")),
      {
        maxLength: 5,
      },
    )
    .map((items) => `[${items.join(",")}]`);
  const name = fc.constantFrom(
    "values",
    "values",
    "response",
    "embedding",
    "key",
    String.raw`x\"values`,
  );
  const { object } = fc.letrec<{ value: string; object: string }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      array,
      fc.constantFrom("true", "false", "null", '"true"', '"values"', "1", '"é"'),
      tie("object"),
    ),
    object: fc
      .array(fc.tuple(name, tie("value")), { maxLength: 4 })
      .map((members) => `{${members.map(([key, value]) => `"${key}":${value}`).join(",")}}`),
  }));
  return object;
}

/** A byte more, or a few less. */
function damaged(sound: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .tuple(sound, fc.nat(), fc.constantFrom("", ",", "]", "1", '"', "-", "."), fc.nat({ max: 4 }))
    .map(([line, place, more, less]) => {
      const at = place % (line.length + 1);
      return line.slice(0, at) + more + line.slice(at + less);
    });
}

function expected(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

/** With the array as JSON.parse would have made it. */
function plain(value: unknown): unknown {
  if (value instanceof Float64Array) return Array.from(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]));
}
