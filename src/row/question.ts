/**
 * A question is one row of the target table. Its key, `<id>@<fingerprint>`, names the row and the
 * exact text that was sent. The fingerprint is the start of the text's SHA-256, computed by the
 * database. Jobs of earlier versions have the md5 instead, for which two texts can be made to meet;
 * a row is still known by either, since no text can be found whose md5 is a given SHA-256.
 */
import { hash } from "node:crypto";

/**
 * A row whose embedding is NULL, as the store reads it. A text of more characters than MAX_TEXT_CHARS
 * comes cut, to one more than that; the fingerprint is that of the whole.
 */
export type PendingQuestion = Readonly<{ id: string; text: string; fingerprint: string }>;

/** Of a text in memory. No model takes nearly as much, and a page holds thousands of texts. */
export const MAX_TEXT_CHARS = 100_000;

/** A row with its checked vector: finite, of the target's width, of unit length. */
export type EmbeddedQuestion = Readonly<{ id: string; fingerprint: string; vector: Float32Array }>;

/** What became of a row that was offered to the store. */
export type RowOutcome = "written" | "stale" | "filled" | "gone";

export type QuestionKey = Readonly<{ id: string; fingerprint: string }>;

const FINGERPRINT = /^[0-9a-f]{32}$/;
/** Lowercase hex digits; of an md5 they are all. */
export const FINGERPRINT_CHARS = 32;

/** As the database computes it. */
export function fingerprintOf(text: string): string {
  return hash("sha256", text, "hex").slice(0, FINGERPRINT_CHARS);
}

/** Whether a key's fingerprint, of either kind, is that of the text. */
export function isFingerprintOf(fingerprint: string, text: string): boolean {
  return fingerprint === fingerprintOf(text) || fingerprint === hash("md5", text, "hex");
}

export function formatKey(question: QuestionKey): string {
  return `${question.id}@${question.fingerprint}`;
}

/** Undefined when the text is no key. An id may itself contain `@`: the last one separates. */
export function parseKey(key: string): QuestionKey | undefined {
  const at = key.length - FINGERPRINT_CHARS - 1;
  if (key[at] !== "@") return undefined;
  const fingerprint = key.slice(at + 1);
  return FINGERPRINT.test(fingerprint) ? { id: key.slice(0, at), fingerprint } : undefined;
}

/** The key's row; what is no key stands for itself. */
export function rowIdOf(key: string): string {
  return parseKey(key)?.id ?? key;
}

/**
 * Rows whose text is another one than their vector was made of, where a trigger tells: `fingerprint` has recorded
 * the texts, `reset` leaves no such row.
 */
export type ChangedTexts = Readonly<{
  by: "fingerprint" | "reset";
  rows: number;
  /** Of these, the first ones. */
  ids: readonly string[];
  /** Rows with a vector that is older than the record. */
  unknown: number;
}>;
