/**
 * A stand-in for the service's tokenizer, which is not public. Selectable, because a client that
 * estimates tokens must live with estimates that are off in either direction.
 */
export const TOKENIZERS = ["words", "characters", "bytes"] as const;
export type Tokenizer = (typeof TOKENIZERS)[number];

const LETTERS_PER_TOKEN = 6;
const DIGITS_PER_TOKEN = 1;
const CHARACTERS_PER_TOKEN = 4;
const BYTES_PER_TOKEN = 2;

/** Han characters, other words, digits one by one, and every other visible mark. */
const PIECE = /\p{Script=Han}|[\p{L}\p{M}]+|\p{N}|[^\s\p{L}\p{N}]/gu;

export function countTokens(text: string, tokenizer: Tokenizer): number {
  if (tokenizer === "characters") return Math.ceil(text.length / CHARACTERS_PER_TOKEN);
  if (tokenizer === "bytes") return Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
  return countPieces(text, Infinity).tokens;
}

/** The start of the text that fits the limit; the service cuts silently. Whole when it all fits. */
export function truncateToTokens(text: string, limit: number, tokenizer: Tokenizer): string {
  if (text.length * BYTES_PER_TOKEN <= limit) return text;
  const tokens = countTokens(text, tokenizer);
  if (tokens <= limit) return text;
  if (tokenizer === "words") return text.slice(0, countPieces(text, limit).end);
  return text.slice(0, Math.floor((text.length * limit) / tokens));
}

function countPieces(text: string, limit: number): { tokens: number; end: number } {
  let tokens = 0;
  let end = 0;
  for (const match of text.matchAll(PIECE)) {
    const [piece] = match;
    const cost = Math.ceil(
      piece.length / (/\d/.test(piece) ? DIGITS_PER_TOKEN : LETTERS_PER_TOKEN),
    );
    if (tokens + cost > limit) break;
    tokens += cost;
    end = match.index + piece.length;
  }
  return { tokens, end };
}
