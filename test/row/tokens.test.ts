// Is the estimate near enough to plan with, for prose, for code, and for other scripts?
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { estimateTokens } from "../../src/row/tokens.ts";
import { anyText } from "../any-text.ts";

describe("the estimate", () => {
  test.each([
    ["a digit, which the service counted as 1", "1", 1, 1],
    ["a common word", "river", 1, 1],
    [
      "an English question of 9 words",
      "Which is the longest river in South America, please?",
      9,
      15,
    ],
    ["a German sentence of 7 words", "Welcher Fluss ist der längste in Südamerika?", 8, 16],
    ["a line of code", "for (let i = 0; i < rows.length; i += 1) {", 15, 30],
    ["17 Chinese characters", "世界上最长的河流是哪一条河流呢请问", 8, 17],
    ["a Japanese sentence of 14", "世界で一番長い川はどれですか", 6, 14],
    ["a Russian sentence of 6 words", "Какая река самая длинная в мире?", 7, 16],
    ["ten digits", "1234567890", 10, 10],
    ["an emoji", "🎉", 1, 3],
  ])("of %s is plausible", (_, text, least, most) => {
    expect(estimateTokens(text)).toBeGreaterThanOrEqual(least);
    expect(estimateTokens(text)).toBeLessThanOrEqual(most);
  });

  test("is 0 for the empty text only", () => {
    expect(estimateTokens("")).toBe(0);
    fc.assert(
      fc.property(anyText({ minLength: 1 }), (text) => {
        expect(estimateTokens(text)).toBeGreaterThanOrEqual(1);
      }),
    );
  });

  test("never falls when a text grows, and never passes one token a code unit by much", () => {
    fc.assert(
      fc.property(anyText(), anyText(), (text, more) => {
        expect(estimateTokens(text + more)).toBeGreaterThanOrEqual(estimateTokens(text));
        expect(estimateTokens(text)).toBeLessThanOrEqual(text.length);
      }),
    );
  });
});
