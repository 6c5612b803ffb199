/**
 * Which texts a job in hand asks for already. Rows have the same text when their fingerprints are
 * equal and a second hash of the text that is sent is too: md5 alone can be made to meet, and a line
 * edited by hand still has the fingerprint of the row's own text. That hash is drawn at random by
 * each process, so nobody can choose texts for which it meets, see `secret-hash.ts`.
 *
 * Only the first row with a fingerprint is what others may be copies of: so the fingerprint alone
 * links them, for whoever reads the files.
 */
import { secretHash } from "./secret-hash.ts";

export type RowText = Readonly<{ fingerprint: string; text: string }>;

export class SameTexts {
  /** By fingerprint: the hash of the first text that had it. */
  readonly #first = new Map<string, number>();

  has({ fingerprint, text }: RowText): boolean {
    return this.#first.get(fingerprint) === secretHash(text);
  }

  /** False where the text was there already. */
  add({ fingerprint, text }: RowText): boolean {
    const hashed = secretHash(text);
    const first = this.#first.get(fingerprint);
    if (first === undefined) this.#first.set(fingerprint, hashed);
    return first !== hashed;
  }
}
