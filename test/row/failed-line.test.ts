// Does a failed row keep all it needs to be sent again, and may I edit or write such a line myself?
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type FailedLine,
  formatFailedLine,
  parseFailedLine,
  requestOf,
} from "../../src/row/failed-line.ts";
import { LineError } from "../../src/row/json-value.ts";
import { parseRequestLine, type RequestLine } from "../../src/row/request-line.ts";

const request: RequestLine = {
  key: "17@0123456789abcdef0123456789abcdef",
  request: {
    content: { parts: [{ text: "Which river is longest?" }] },
    taskType: "RETRIEVAL_DOCUMENT",
    outputDimensionality: 768,
  },
};
const failed: FailedLine = {
  ...request,
  job: "0001",
  attempt: 1,
  error: { class: "retryable", reason: "service", code: 13, message: "internal error" },
};

describe("a failed line", () => {
  test("is the request line with job, attempt and error behind it", () => {
    expect(formatFailedLine(failed)).toBe(
      JSON.stringify(request).slice(0, -1) +
        `,"job":"0001","attempt":1,"error":{"class":"retryable","reason":"service","code":13,` +
        `"message":"internal error"}}`,
    );
  });

  test("comes back as it was, on one line, whatever stands in it", () => {
    fc.assert(
      fc.property(failedLines(), (line) => {
        const json = formatFailedLine(line);
        expect(json).not.toMatch(/[\n\r]/);
        expect(parseFailedLine(Buffer.from(json))).toEqual(line);
      }),
    );
  });

  test("gives back the request as it was sent, byte for byte", () => {
    fc.assert(
      fc.property(failedLines(), (line) => {
        const sent = JSON.stringify({ key: line.key, request: line.request });
        const again = JSON.stringify(requestOf(parseFailedLine(formatFailedLine(line))));
        expect(again).toBe(sent);
        expect(parseRequestLine(again)).toEqual(requestOf(line));
      }),
    );
  });
});

describe("a line by hand", () => {
  test("may be a bare request line: never submitted, of no job, without an error", () => {
    expect(parseFailedLine(JSON.stringify(request))).toEqual({
      ...request,
      job: undefined,
      attempt: 0,
      error: undefined,
    });
  });

  test("may begin with a byte order mark and end with a CR", () => {
    const bytes = Buffer.from(`\uFEFF${formatFailedLine(failed)}\r`);
    expect(parseFailedLine(bytes)).toEqual(failed);
  });

  test.each([
    ["without a key", { ...failed, key: undefined }, "key is missing"],
    ["with a member of no meaning", { ...failed, atempt: 2 }, '"atempt"'],
    ["with half an attempt", { ...failed, attempt: 0.5 }, "attempt should be a whole number"],
    ["with an attempt below 0", { ...failed, attempt: -1 }, "at least 0"],
    ["with a number as job", { ...failed, job: 1 }, "job should be a string"],
    ["with an error that is a text", { ...failed, error: "bad" }, "error should be an object"],
    ["with a class of another name", error({ class: "maybe" }), "retryable, permanent"],
    ["with a reason of another name", error({ reason: "?" }), "service, missing, malformed"],
    ["with a code that is none", error({ code: "13" }), "error.code should be"],
    ["without a message", error({ message: undefined }), "error.message should be a string"],
  ])("is refused with what is wrong: %s", (_, line, why) => {
    expect(() => parseFailedLine(JSON.stringify(line))).toThrow(LineError);
    expect(() => parseFailedLine(JSON.stringify(line))).toThrow(why);
  });

  function error(change: object): object {
    return { ...failed, error: { ...failed.error, ...change } };
  }
});

function failedLines(): fc.Arbitrary<FailedLine> {
  const codeUnit = fc.oneof(
    fc.nat({ max: 0xffff }).map((code) => String.fromCharCode(code)),
    fc.constantFrom('"', "\\", "\n", "\0", "\u2028", "\uD83D"),
  );
  const text = fc.string({ unit: codeUnit, minLength: 1 });
  const code = fc.oneof(fc.constant({}), fc.record({ code: fc.nat() }));
  const failure = fc
    .record({
      class: fc.constantFrom("retryable", "permanent"),
      reason: fc.constantFrom("service", "missing", "malformed", "conflict", "vector", "batch"),
      message: fc.string({ unit: codeUnit }),
    })
    .chain((some) => code.map((itsCode) => ({ ...some, ...itsCode })));
  return fc.record({
    key: text.map((id) => `${id}@0123456789abcdef0123456789abcdef`),
    request: text.map((it) => ({
      ...request.request,
      content: { parts: [{ text: it.toWellFormed() }] satisfies [{ text: string }] },
    })),
    job: fc.option(text, { nil: undefined }),
    attempt: fc.nat(),
    error: fc.option(failure, { nil: undefined }),
  });
}
