/**
 * A sample of the texts that are to be sent, for the service to count. It is spread over all of them
 * although nobody knows beforehand how many there will be, and bounded however long they are.
 */
import { type Gemini, GeminiError } from "../gemini/port.ts";
import type { ModelName } from "../row/models.ts";
import type { Report } from "../progress.ts";

/** More gains nothing: the ratio of a thousand texts that differ as texts do is within a percent. */
const SAMPLE_ROWS = 1_000;
/** Of all texts of the sample together, in a handful of calls. */
const SAMPLE_CHARS = 1_000_000;
const CALL_ROWS = 250;
const CALL_CHARS = 250_000;

type Sampled = Readonly<{ text: string; tokens: number }>;

/** As a sample of a table's rows was estimated, and as the service counted it. */
export type SampleCount = Readonly<{ rows: number; estimated: number; counted: number }>;

/** Every text that was offered is in the sample with the same probability. */
export class TokenSample {
  readonly #kept: Sampled[] = [];
  #offered = 0;

  offer(text: string, tokens: number): void {
    this.#offered += 1;
    const place =
      this.#kept.length < SAMPLE_ROWS
        ? this.#kept.length
        : Math.floor(Math.random() * this.#offered);
    if (place < SAMPLE_ROWS) this.#kept[place] = { text, tokens };
  }

  get isFull(): boolean {
    return this.#offered >= SAMPLE_ROWS;
  }

  /** In calls of bounded size. Which texts are left out where all are too long is left to chance. */
  calls(): readonly (readonly Sampled[])[] {
    const calls: Sampled[][] = [];
    let chars = 0;
    let callChars = CALL_CHARS;
    for (const one of shuffled(this.#kept)) {
      chars += one.text.length;
      if (chars > SAMPLE_CHARS && calls.length > 0) break;
      callChars += one.text.length;
      if (callChars > CALL_CHARS || (calls.at(-1)?.length ?? 0) >= CALL_ROWS) {
        calls.push([]);
        callChars = one.text.length;
      }
      calls.at(-1)?.push(one);
    }
    return calls;
  }
}

/** Undefined where there is nothing to count, or the service does not; then a warning says so. */
export async function countSample(
  gemini: Pick<Gemini, "countTokens">,
  model: ModelName,
  sample: TokenSample,
  report: Report,
): Promise<SampleCount | undefined> {
  let [rows, estimated, counted] = [0, 0, 0];
  try {
    for (const texts of sample.calls()) {
      counted += await gemini.countTokens(
        model,
        texts.map(({ text }) => text),
      );
      rows += texts.length;
      estimated += texts.reduce((sum, { tokens }) => sum + tokens, 0);
    }
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error;
    report({
      type: "warning",
      message: `Gemini did not count a sample of the texts (${error.message}): tokens are estimated without it.`,
      hint: undefined,
    });
    return undefined;
  }
  return rows === 0 ? undefined : { rows, estimated: Math.round(estimated), counted };
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
