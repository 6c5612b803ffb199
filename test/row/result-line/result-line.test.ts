// Is every shape that Gemini was seen to answer with understood, does no line, however broken, stop
// an import, and is no vector ever given to the wrong row?
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseResultLine, readResultKey } from "../../../src/row/result-line/result-line.ts";
import { sized } from "../../size.ts";

const key = "17@0123456789abcdef0123456789abcdef";
const values = [-0.034119852, 0.0025719088, 0.017325249];

describe("a vector is found", () => {
  test.each([
    // As gemini-embedding-001 answered in 2025: compact, the key last, the count a string.
    [
      "in response.embedding, with tokenCount",
      `{"response":{"tokenCount":"4","embedding":{"values":[${values.join(",")}]}},"key":"${key}"}`,
      { tokens: 4 },
    ],
    // As gemini-embedding-2 answered in 2026.
    [
      "in response.embedding, with usageMetadata",
      json({ key, response: { embedding: { values }, usageMetadata: { promptTokenCount: 25 } } }),
      { tokens: 25 },
    ],
    [
      "with a count that is a number",
      json({ key, response: { tokenCount: 4, embedding: { values } } }),
      { tokens: 4 },
    ],
    ["without a count", json({ key, response: { embedding: { values } } }), {}],
    [
      "with a count that is none",
      json({ key, response: { tokenCount: "many", embedding: { values } } }),
      {},
    ],
    [
      "with counts of its parts",
      json({
        key,
        response: {
          embedding: { values },
          usageMetadata: {
            promptTokenCount: 81,
            promptTokenDetails: [{ modality: "TEXT", tokenCount: 81 }],
          },
        },
      }),
      { tokens: 81 },
    ],
    ["in response.embeddings", json({ key, response: { embeddings: [{ values }] } }), {}],
    ["at the top", json({ key, embedding: { values } }), {}],
    ["at the top, bare", json({ key, embedding: values }), {}],
    ["beside an empty error", json({ key, error: {}, response: { embedding: { values } } }), {}],
    ["beside no error", json({ key, error: null, response: { embedding: { values } } }), {}],
    ["beside an empty status", json({ key, status: "", response: { embedding: { values } } }), {}],
    ["beside a status of OK", json({ key, status: "OK", response: { embedding: { values } } }), {}],
    ["beside a code of 0", json({ key, status: { code: 0 }, embedding: { values } }), {}],
    [
      "beside errors that say nothing",
      json({
        key,
        error: { message: "" },
        response: { error: { status: "" }, embedding: { values } },
      }),
      {},
    ],
    ["with its key in metadata", json({ metadata: { key, hash: "x" }, embedding: { values } }), {}],
    ["with an empty key at the top", json({ metadata: { key }, embedding: values, key: "" }), {}],
    [
      "beside members of no meaning",
      json({
        metadata: { key: "other" },
        key,
        model: "m",
        response: { x: 1, embedding: { values, shape: [3] } },
      }),
      {},
    ],
    [
      "between white space",
      ` \t{ "key" : "${key}" , "embedding" : { "values" : [ ${values.join(" , ")} ] } } \r`,
      {},
    ],
  ])("%s", (_, line, more) => {
    expect(parse(line)).toEqual({ kind: "vector", key, values, ...more });
    expect(readResultKey(Buffer.from(line))).toBe(key);
  });

  test("with what is no number as NaN, and any width: the vector's check refuses these", () => {
    const line = `{"key":"${key}","response":{"embedding":{"values":[1,null,"NaN",[2],1e999]}}}`;
    expect(parse(line)).toMatchObject({ values: [1, NaN, NaN, NaN, Infinity] });
    expect(parse(json({ key, embedding: { values: [] } }))).toMatchObject({
      kind: "vector",
      values: [],
    });
  });

  test("with exactly the numbers that were sent", () => {
    const numbers = fc.array(
      fc.oneof(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.float({ noNaN: true, noDefaultInfinity: true }),
      ),
    );
    fc.assert(
      fc.property(keys(), numbers, (itsKey, sent) => {
        const result = parse(json({ response: { embedding: { values: sent } }, key: itsKey }));
        // JSON knows no -0.
        expect(result).toEqual({
          kind: "vector",
          key: itsKey,
          values: sent.map((value) => value + 0),
        });
      }),
    );
  });
});

describe("an error is found", () => {
  test.each([
    ["at the top", { error: { code: 3, message: "bad text" } }, { code: 3, message: "bad text" }],
    [
      "in the response",
      { response: { error: { code: 13, message: "later" } } },
      { code: 13, message: "later" },
    ],
    [
      "in a status",
      { status: { code: 400, message: "bad text" } },
      { code: 400, message: "bad text" },
    ],
    [
      "in a status by name",
      { status: "UNAVAILABLE", response: {} },
      { code: 14, message: "UNAVAILABLE" },
    ],
    [
      "in a status by name and text",
      { status: "INTERNAL: oh" },
      { code: 13, message: "INTERNAL: oh" },
    ],
    ["in a text", { error: "something else" }, { message: "something else" }],
    [
      "with a code in quotes",
      { error: { code: "8", message: "quota" } },
      { code: 8, message: "quota" },
    ],
    [
      "with a name for its code",
      { error: { status: "RESOURCE_EXHAUSTED", message: "q" } },
      { code: 8, message: "q" },
    ],
    ["with a name of no number", { error: { status: "constructor" } }, { message: "constructor" }],
    [
      "with a code only",
      { error: { code: 5 } },
      { code: 5, message: "the service gave an error without a message" },
    ],
    [
      "whichever place says something",
      { error: { message: "" }, response: { error: { code: 3, message: "m" } } },
      { code: 3, message: "m" },
    ],
    [
      "in two places together",
      { error: { code: 3, message: "" }, status: "it is too long" },
      { code: 3, message: "it is too long" },
    ],
    [
      "with details",
      { error: { code: 3, message: "m", details: [{ a: 1 }] } },
      { code: 3, message: "m" },
    ],
    [
      "beside a vector, which then does not count",
      { error: { code: 3, message: "m" }, response: { embedding: { values } } },
      { code: 3, message: "m" },
    ],
  ])("%s", (_, members, error) => {
    expect(parse(json({ key, ...members }))).toEqual({ kind: "error", key, ...error });
    expect(parse(json({ ...members, key }))).toEqual({ kind: "error", key, ...error });
  });

  test("and a message without end is cut, between characters", () => {
    const result = parse(
      json({ key, error: { code: 3, message: `${"x".repeat(1999)}${"🎉".repeat(9)}` } }),
    );
    expect(result.kind === "error" && result.message.isWellFormed()).toBe(true);
    expect(result.kind === "error" && result.message.length).toBe(2000);
  });
});

describe("a line that cannot be read", () => {
  test.each([
    ["neither a vector nor an error", json({ key, response: {} }), key],
    [
      "two vectors for one row",
      json({ key, response: { embeddings: [{ values }, { values }] } }),
      key,
    ],
    ["a vector without values", json({ key, response: { embedding: {} } }), key],
    ["no key", json({ response: { embedding: { values } } }), undefined],
    ["an empty key", json({ key: "", response: { embedding: { values } } }), undefined],
    ["a key that is a number", json({ key: 17, response: { embedding: { values } } }), undefined],
    ["a key inside only", json({ response: { key, embedding: { values } } }), undefined],
    ["not an object", json([key]), undefined],
    ["nothing", "", undefined],
    [
      "torn at its end, the key first",
      `{"key":"${key}","response":{"embedding":{"values":[0.1,0.`,
      key,
    ],
    ["torn at its beginning, the key last", `0.2]}},"key":"${key}"}`, key],
    ["torn inside the key", `{"response":{},"key":"17@0123`, undefined],
    [
      "two lines in one, one key torn off",
      `{"key":"a@b","response":{"emb{"response":{},"key":"${key}"}`,
      undefined,
    ],
    ["torn, the key in the middle", `{"a":1,"key":"${key}","response":{"emb`, undefined],
    ["the key in an array", `{"response":[{},"key":"${key}"]`, undefined],
    ["an array from the start", `["key":"${key}","response":{}`, undefined],
    ["no colon before what may be the key", `{"response":{},"key","${key}"}`, undefined],
    ["torn, a key in a text", String.raw`{"error":{"message":"\"key\":\"x\"`, undefined],
  ])("costs one row: %s", (_, line, itsKey) => {
    const result = parse(line);
    expect(result.kind).toBe("malformed");
    expect(result.key).toBe(itsKey);
  });

  test("is one with bytes that are not UTF-8", () => {
    const line = Buffer.from(json({ key: "größe", response: { embedding: { values } } }), "latin1");
    expect(parseResultLine(line).kind).toBe("malformed");
  });

  test("never throws, whatever the bytes", () => {
    const good = Buffer.from(json({ key, response: { tokenCount: "4", embedding: { values } } }));
    const damaged = fc
      .tuple(fc.nat({ max: good.length }), fc.uint8Array({ maxLength: 6 }), fc.nat({ max: 20 }))
      .map(([at, bytes, cut]) =>
        Buffer.concat([good.subarray(0, at), bytes, good.subarray(at + cut)]),
      );
    const anything = fc.oneof(
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      fc.json().map((text) => Buffer.from(text)),
      fc
        .array(fc.constantFrom("{", "}", "[", "]", '"', ":", "\\", ",", " ", "key"), {
          maxLength: 30,
        })
        .map((some) => Buffer.from(some.join(""))),
      damaged,
    );
    fc.assert(
      fc.property(anything, (bytes) => {
        expect(parseResultLine(bytes).kind).toMatch(/^(?:vector|error|malformed)$/);
        expect(typeof readResultKey(bytes)).toMatch(/^(?:string|undefined)$/);
      }),
      { numRuns: sized({ quick: 150, full: 500 }) },
    );
    const deep = `{"key":"${key}","error":${"[".repeat(50_000)}${"]".repeat(50_000)}}`;
    expect(parse(deep)).toMatchObject({ kind: "error", key });
  });

  test("does not lend its key to a damaged one: a key that is recovered was whole in the line", () => {
    fc.assert(
      fc.property(keys(), fc.nat(), fc.boolean(), (itsKey, cut, keyFirst) => {
        const response = { embedding: { values } };
        const line = json(keyFirst ? { key: itsKey, response } : { response, key: itsKey });
        const torn = Buffer.from(line).subarray(0, cut % line.length);
        expect([undefined, itsKey]).toContain(parseResultLine(torn).key);
        expect([undefined, itsKey]).toContain(readResultKey(torn));
      }),
    );
  });
});

describe("a line that is like one before it, but for its numbers and its key", () => {
  const members = fc.constantFrom(
    '"tokenCount":"24",',
    '"tokenCount":"25",',
    "",
    '"values":[1.5],',
    '"a":"\\"values\\":",',
    '"x":true,',
    '"error":{"code":3},',
    '"embedding":{"values":[0.5,0.25]},',
    '"é":"\xff",',
  );
  const tails = fc.constantFrom(
    "}}",
    '},"tokenCount":"7"}',
    ',"values":[1.5]}}',
    '}},"key":"x"',
    "}",
  );
  const numbers = fc.constantFrom("[0.5,0.25]", "[1.5]", "[-0.125,3e2]", "[1,null]", "[01]", "7");
  const plainKeys = fc.constantFrom(
    "1@a",
    "2@b",
    "true",
    "k,",
    '\\"',
    "\\\\",
    "ü",
    "",
    '","key":"z',
  );

  test("says what it says by itself", () => {
    const line = fc.tuple(members, members, numbers, tails, plainKeys);
    fc.assert(
      fc.property(fc.array(line, { minLength: 2, maxLength: 4 }), (lines) => {
        const [[first, second, , tail] = ["", "", "", ""]] = lines;
        for (const [, , sent, , itsKey] of lines) {
          const text = `{"response":{${first}"embedding":{${second}"values":${sent}${tail},"key":"${itsKey}"}`;
          const bytes = Buffer.from(text, "latin1");
          expect(plain(parseResultLine(bytes)), text).toEqual(plain(anew(bytes)));
          expect(readResultKey(bytes), text).toBe(readResultKey(Buffer.from(`${text} `, "latin1")));
        }
      }),
      { numRuns: sized({ quick: 700, full: 2_000 }) },
    );
  });
});

describe("the key alone", () => {
  test("is the same as that of the whole line, for any JSON and any way of writing it", () => {
    fc.assert(
      fc.property(documents(), (line) => {
        const bytes = Buffer.from(line);
        expect(readResultKey(bytes)).toBe(parseResultLine(bytes).key);
      }),
      { numRuns: sized({ quick: 1_000, full: 3_000 }) },
    );
  });

  test.each([
    ["a later one of the same name counts", `{"key":"a","x":1,"key":"b"}`, "b"],
    ["also when it stands in the middle", `{"key":"a","key":"b","x":1}`, "b"],
    [
      "also when its name is written with an escape",
      String.raw`{"key":"a","\u006bey":"b","x":1}`,
      "b",
    ],
    ["a key inside another does not", `{"x":{"key":"a"}}`, undefined],
    ["nor does one that ends an inner object", `{"key":"b","x":{"key":"a"}}`, "b"],
    ["nor one within a text", String.raw`{"key":"b","x":"\",\"key\":\"a"}`, "b"],
    ["nor a name that only ends so", String.raw`{"key":"b","x\"key":"a"}`, "b"],
    ["nor the text key as a value", `{"x":"key","y":"key"}`, undefined],
    ["backslashes before the last quote are counted", String.raw`{"x":1,"key":"a\\"}`, "a\\"],
    ["also where it stands first", String.raw`{"key":"a\\","x":1}`, "a\\"],
    ["and before the first", String.raw`{"x":"\\","key":"\"a\\\""}`, String.raw`"a\"`],
    ["escapes are decoded", String.raw`{"key":"\u00e9\n\ud83c\udf89","x":1}`, "é\n🎉"],
  ])("%s", (_, line, itsKey) => {
    expect(readResultKey(Buffer.from(line))).toBe(itsKey);
    expect(parse(line).key).toBe(itsKey);
  });
});

function parse(line: string): ReturnType<typeof parseResultLine> {
  const result = parseResultLine(Buffer.from(line));
  return result.kind === "vector" ? { ...result, values: Array.from(result.values) } : result;
}

/** With anything but `"}` at its end, a line is read without regard to what came before. */
function anew(line: Buffer) {
  return parseResultLine(Buffer.concat([line, Buffer.from(" ")]));
}

function plain(line: ReturnType<typeof parseResultLine>) {
  return line.kind === "vector" ? { ...line, values: [...line.values] } : line;
}

function json(value: unknown): string {
  return JSON.stringify(value);
}

/** Keys with what may confuse a scan: quotes, backslashes, braces, the very word. */
function keys(): fc.Arbitrary<string> {
  const unit = fc.oneof(
    fc.constantFrom('"', "\\", ":", ",", "{", "}", "key", '"key":"', "\n", " ", "\u2028", "\uD800"),
    fc.nat({ max: 0xffff }).map((code) => String.fromCharCode(code)),
  );
  return fc.string({ unit, minLength: 1, maxLength: 12 });
}

/** JSON objects as text: members called `key` at any depth, doubled, in odd spellings and spacing. */
function documents(): fc.Arbitrary<string> {
  const space = fc.constantFrom("", "", " ", "\t ", "\r");
  const name = fc.oneof(fc.constantFrom("key", "key", "response", "error"), keys());
  const { object } = fc.letrec<{ value: string; object: string }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      written(fc.oneof(keys(), fc.constant(""))),
      fc.constantFrom("1", "null", "[]", "{}", '[{"key":"x"}]'),
      tie("object"),
    ),
    object: fc
      .array(fc.tuple(space, written(name), space, space, tie("value"), space), { maxLength: 4 })
      .map(
        (members) =>
          `{${members.map(([a, n, b, c, v, d]) => `${a}${n}${b}:${c}${v}${d}`).join(",")}}`,
      ),
  }));
  return fc.tuple(space, object, space).map((parts) => parts.join(""));
}

function written(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.tuple(text, fc.boolean()).map(([it, escaped]) => (escaped ? escapeAll(it) : json(it)));
}

function escapeAll(text: string): string {
  const units = Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
  return `"${units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("")}"`;
}
