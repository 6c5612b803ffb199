// Gemini failed a row with a code. Is it the text, or worth paying for another try? And how often?
import { expect, test } from "vitest";
import { classify, ERROR_CODES } from "../../src/row/error-code.ts";

const GOOGLE_RPC = Array.from({ length: 17 }, (_, code) => code);

test("a code that says nothing of the text is worth another try, each time", () => {
  const codes = [1, 2, 4, 8, 10, 13, 14, 408, 425, 429, 499, 500, 502, 503, 504, 599, undefined];
  for (const code of codes) {
    expect([classify(code, 1), classify(code, 9)], `${code}`).toEqual(["retryable", "retryable"]);
  }
});

test("a code that says that the text is not taken is for good", () => {
  for (const code of [3, 11, 12, 400, 411, 413, 415, 422]) {
    expect(classify(code, 1), `${code}`).toBe("permanent");
  }
});

test("a code that says nothing that is known is worth one more try, and then no other", () => {
  for (const code of [0, 5, 6, 7, 9, 15, 16, 77, 401, 403, 404, 409, 418, 600]) {
    expect([classify(code, 1), classify(code, 2)], `${code}`).toEqual(["retryable", "permanent"]);
  }
});

test("every judgement has its reason, which names what google.rpc or HTTP call the code", () => {
  for (const [code, [, because]] of Object.entries(ERROR_CODES)) {
    const name = GOOGLE_RPC.includes(Number(code)) ? /^[A-Z_]+: ./ : /^(?:[A-Z][a-z]+ ?)+: ./;
    expect(because, code).toMatch(name);
  }
});
