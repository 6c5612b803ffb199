// Gemini said no. What do I read, what do I do next, and what does a script that calls us see?
import { expect, test } from "vitest";

import { EXIT_CODES, type UserError } from "../../src/errors.ts";
import { explain } from "../../src/words/explain.ts";
import { GeminiError, type GeminiErrorKind } from "../../src/gemini/port.ts";

const cases: [GeminiErrorKind, hint: string, exit: number][] = [
  ["key", "GEMINI_API_KEY", 3],
  ["unreachable", "GOOGLE_GEMINI_BASE_URL", 3],
  ["quota", "later", 4],
  ["uncertain", "same command again", 4],
  ["notFound", "project", 3],
  ["refused", "vecfill doctor", 3],
];

test.each(cases)("%s", (kind, hint, exit) => {
  const cause = new GeminiError(kind, "Gemini answered 418: no");
  const error: UserError = explain(cause, "uploading job 0003");
  expect(error.message).toBe("Uploading job 0003 failed: Gemini answered 418: no");
  expect(error.hint).toContain(hint);
  expect(EXIT_CODES[error.exit]).toBe(exit);
  expect(error.cause).toBe(cause);
});
