// What exactly is sent for a row, and what happens to a line that somebody edited badly?
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LineError } from "../../src/row/json-value.ts";
import { formatKey, type PendingQuestion } from "../../src/row/question.ts";
import {
  parseRequestLine,
  requestLine,
  requestLineFormat,
  requireTarget,
} from "../../src/row/request-line.ts";
import type { Target } from "../../src/row/target.ts";

const target: Target = {
  schema: "public",
  table: "questions",
  id: "id",
  text: "question_text",
  embedding: "embedding",
  model: "gemini-embedding-001",
  dimensions: 768,
  taskType: "RETRIEVAL_DOCUMENT",
};
const second: Target = { ...target, model: "gemini-embedding-2" };
const fingerprint = "0123456789abcdef0123456789abcdef";
const question: PendingQuestion = { id: "17", text: "Which river is longest?", fingerprint };
const key = `17@${fingerprint}`;

describe("the line that is sent", () => {
  test("tells gemini-embedding-001 its task in a field", () => {
    expect(requestLineFormat(target)(question)).toBe(
      `{"key":"${key}","request":{"content":{"parts":[{"text":"Which river is longest?"}]},` +
        `"taskType":"RETRIEVAL_DOCUMENT","outputDimensionality":768}}`,
    );
  });

  test("tells gemini-embedding-2 its task before the text, and sends no field for it", () => {
    expect(requestLineFormat(second)(question)).toBe(
      `{"key":"${key}","request":{"content":{"parts":[{"text":` +
        `"title: none | text: Which river is longest?"}]},"outputDimensionality":768}}`,
    );
  });

  test("is one line, and holds exactly the text, for any text and id", () => {
    fc.assert(
      fc.property(questions(), fc.constantFrom(target, second), (row, where) => {
        const json = requestLineFormat(where)(row);
        expect(json).toBe(JSON.stringify(requestLine(row, where)));
        expect(json).not.toMatch(/[\n\r]/);
        const line = parseRequestLine(Buffer.from(json));
        expect(line).toEqual(requestLine(row, where));
        expect(line.key).toBe(formatKey(row));
        expect(line.request.content.parts[0].text.endsWith(row.text)).toBe(true);
      }),
    );
  });
});

describe("a line that was edited", () => {
  const sound = requestLine(question, target);

  test("is read as it stands when it is sound, in any order, with a byte order mark or not", () => {
    const turned = { request: sound.request, key: sound.key };
    expect(parseRequestLine(JSON.stringify(turned))).toEqual(sound);
    expect(parseRequestLine(Buffer.from(`\uFEFF${JSON.stringify(sound)}\r`))).toEqual(sound);
  });

  test.each([
    ["cut off", JSON.stringify(sound).slice(0, -1), "not valid JSON"],
    ["an array", "[]", "not a JSON object"],
    ["null", "null", "not a JSON object"],
    ["without a key", edited({ key: undefined }), "key is missing; it should be a string"],
    ["with a number as key", edited({ key: 17 }), "key should be a string"],
    ["with a key of another make", edited({ key: "17" }), "key should be <id>@<fingerprint>"],
    ["without a request", edited({ request: undefined }), "request is missing"],
    ["with its dimensions in the wrong place", edited({ outputDimensionality: 3 }), '"outputDi'],
    ["in snake case", request({ task_type: "RETRIEVAL_QUERY" }), '"task_type"'],
    ["without dimensions", request({ outputDimensionality: undefined }), "outputDimensionality is"],
    ["with half a dimension", request({ outputDimensionality: 1.5 }), "whole number, at least 1"],
    ["with dimensions as text", request({ outputDimensionality: "768" }), "a whole number"],
    ["with a task that is no text", request({ taskType: 1 }), "request.taskType should be"],
    ["without content", request({ content: undefined }), "request.content is missing"],
    ["without parts", request({ content: {} }), "an array of one part"],
    ["with two parts, which would be fused", parts({ text: "a" }, { text: "b" }), "one part"],
    ["with an empty text", parts({ text: "" }), "request.content.parts[0].text is empty"],
    ["with a text that is none", parts({ text: null }), "text should be a string"],
    ["with an image beside the text", parts({ text: "a", inlineData: {} }), '"inlineData"'],
  ])("is refused: %s", (_, json, why) => {
    expect(() => parseRequestLine(json)).toThrow(LineError);
    expect(() => parseRequestLine(json)).toThrow(why);
  });

  test("is refused when it was saved in another encoding than UTF-8", () => {
    const json = requestLineFormat(target)({ ...question, text: "Größe" });
    expect(() => parseRequestLine(Buffer.from(json, "latin1"))).toThrow("not valid UTF-8");
  });

  function edited(change: object): string {
    return JSON.stringify({ ...sound, ...change });
  }
  function request(change: object): string {
    return edited({ request: { ...sound.request, ...change } });
  }
  function parts(...some: object[]): string {
    return request({ content: { parts: some } });
  }
});

describe("a line for another column", () => {
  test("is refused, one for this column is not", () => {
    for (const where of [target, second]) requireTarget(requestLine(question, where), where);
    const query = { ...target, taskType: "RETRIEVAL_QUERY" };
    const refusals: [Target, Target, string][] = [
      [{ ...target, dimensions: 1536 }, target, "the column takes 768"],
      [query, target, "request.taskType is RETRIEVAL_QUERY"],
      [second, target, "request.taskType is missing"],
      [target, second, "takes none"],
      [{ ...second, taskType: "RETRIEVAL_QUERY" }, second, 'start with "title: none | text: "'],
    ];
    for (const [made, wanted, why] of refusals) {
      expect(() => requireTarget(requestLine(question, made), wanted)).toThrow(LineError);
      expect(() => requireTarget(requestLine(question, made), wanted)).toThrow(why);
    }
  });
});

/** Texts and ids of any code units: quotes, controls, U+2028, lone halves of pairs. */
function questions(): fc.Arbitrary<PendingQuestion> {
  const codeUnit = fc.oneof(
    fc.nat({ max: 0xffff }).map((code) => String.fromCharCode(code)),
    fc.constantFrom('"', "\\", "\n", "\r", "\0", "\u2028", "\u2029", "\uD800", "\uDC00", "@", "👩‍🚀"),
  );
  const text = fc.string({ unit: codeUnit, minLength: 1 });
  return fc.record({ id: text, text, fingerprint: fc.constant(fingerprint) });
}
