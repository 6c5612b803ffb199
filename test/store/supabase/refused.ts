import { type Answer, refusal } from "./answer.ts";

/** Ends the transaction with an answer. */
export class Refused extends Error {
  readonly answer: Answer;

  constructor(answer: Answer) {
    super("refused");
    this.answer = answer;
  }
}

/** Half of a pair of surrogates is no text to its parser. */
const LONE_SURROGATE =
  /\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f][0-9a-f]{2})|(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f][0-9a-f]{2}/i;

// oxlint-disable-next-line typescript/no-explicit-any -- a body is whatever was sent
export function parseBody(body: string): any {
  try {
    if (!LONE_SURROGATE.test(body)) return JSON.parse(body);
  } catch {
    // answered in the same way
  }
  throw new Refused(refusal(400, { code: "PGRST102", message: "Empty or invalid json" }));
}
