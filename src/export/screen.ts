import { type UserError, usageError } from "../errors.ts";
import { MODELS, textPrefix } from "../row/models.ts";
import { formatKey, MAX_TEXT_CHARS, type PendingQuestion } from "../row/question.ts";
import type { SkipReason } from "../row/skipped.ts";
import type { Target } from "../row/target.ts";
import { isEmptyText } from "../row/recipe.ts";
import { estimateTokens } from "../row/tokens.ts";
import { hasFailedBefore, isInFlight, type TakenRows } from "../jobs-folder/taken-rows.ts";

export type OnTooLong = "fail" | "skip" | "truncate";

/** `take` is the question with the text that is sent: another one only where it was truncated. */
export type Accepted = Readonly<{ take: PendingQuestion; tokens: number; tooLong: boolean }>;

/** What is to be done with a pending row; `tokens` is the corrected estimate for what would be sent. */
export type Verdict = Accepted | Readonly<{ skip: SkipReason; tokens: number }>;

/** Of rows that wait, by their keys, those that are paid for. */
export type AskPaid = (keys: readonly string[]) => Promise<ReadonlySet<string>>;

/** Of a page; only rows that would be sent are asked for. */
export async function paidOf(
  page: readonly PendingQuestion[],
  target: Target,
  taken: TakenRows,
  ask: AskPaid | undefined,
): Promise<ReadonlySet<string>> {
  if (ask === undefined) return NONE_PAID;
  const rows = page.filter(({ text }) => !isEmptyText(text, target.text)).map(formatKey);
  return ask(rows.filter((key) => !isInFlight(taken, key) && !hasFailedBefore(taken, key)));
}

const NONE_PAID: ReadonlySet<string> = new Set();

/** Decides on one pending row, or throws a UserError where one that is too long is to end it all. A text is only ever cut where the user asked for `truncate`. */
export function screen(
  question: PendingQuestion,
  target: Target,
  taken: TakenRows,
  onTooLong: OnTooLong,
  /** Of the service's tokens to estimated ones. */
  ratio: number,
  paid = NONE_PAID,
): Verdict {
  const isCut = question.text.length > MAX_TEXT_CHARS;
  if (isEmptyText(question.text, target.text) && !isCut) return { skip: "empty", tokens: 0 };
  const key = formatKey(question);
  if (isInFlight(taken, key)) return { skip: "inFlight", tokens: 0 };
  if (hasFailedBefore(taken, key)) return { skip: "failedBefore", tokens: 0 };
  if (paid.has(key)) return { skip: "paidBefore", tokens: 0 };

  const model = MODELS[target.model];
  const prefixTokens = estimateTokens(textPrefix(model, target.taskType)) * ratio;
  const tokensLeft = model.inputTokenLimit - prefixTokens;
  const tokens = estimateTokens(question.text) * ratio;
  if (tokens <= tokensLeft && !isCut)
    return { take: question, tokens: tokens + prefixTokens, tooLong: false };
  if (onTooLong === "fail") throw tooLong(question, tokens + prefixTokens);
  const text = onTooLong === "truncate" ? truncate(question.text, tokensLeft / ratio) : "";
  // a start of nothing but white space says nothing about the row
  if (isBlank(text)) return { skip: "tooLong", tokens: tokens + prefixTokens };
  return { take: { ...question, text }, tokens: model.inputTokenLimit, tooLong: true };
}

function isBlank(text: string): boolean {
  return !/\S/.test(text);
}

/** The longest start of the text, in whole characters, whose estimate is within the limit. */
export function truncate(text: string, maxTokens: number): string {
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (estimateTokens(text.slice(0, middle)) <= maxTokens) low = middle;
    else high = middle - 1;
  }
  return wholeCharacters(text, low);
}

/** Never ends between the two halves of a character outside the basic plane. */
function wholeCharacters(text: string, end: number): string {
  const last = text.charCodeAt(end - 1);
  const isHighSurrogate = last >= 0xd800 && last <= 0xdbff;
  return text.slice(0, isHighSurrogate ? end - 1 : end);
}

function tooLong(question: PendingQuestion, tokens: number): UserError {
  return usageError(
    `The text of row ${question.id} has about ${Math.round(tokens)} tokens, more than the model takes.`,
    "Shorten it, or use --on-too-long skip or --on-too-long truncate. Jobs already exported stay.",
  );
}
