/**
 * From fingerprints to numbers. Unlike the tables of `key-table.ts` it is exact: all 128 bits of a
 * fingerprint are compared, since a row that was taken for another's like would get its vector.
 * About 27 bytes a fingerprint, and up to 40 after it has grown.
 */
const MAX_LOAD = 0.75;
const GROWTH = 1.5;
const MIN_SLOTS = 16;
const TWO_POW_32 = 2 ** 32;
const HEX_DIGITS_A_WORD = 8;
const WORDS = 4;

type Words = readonly [number, number, number, number];

export class FingerprintTable {
  #words: Uint32Array;
  /** One more than the number, 0 where the slot is empty. */
  #numbers: Uint32Array;
  #size = 0;

  constructor(expected = 0) {
    const slots = Math.max(MIN_SLOTS, Math.ceil(expected / MAX_LOAD));
    this.#words = new Uint32Array(slots * WORDS);
    this.#numbers = new Uint32Array(slots);
  }

  /** Undefined where there is none. */
  get(fingerprint: string): number | undefined {
    const number = this.#numbers[this.#find(wordsOf(fingerprint))] ?? 0;
    return number === 0 ? undefined : number - 1;
  }

  /** The number that the fingerprint has now: the given one, unless it had one. */
  add(fingerprint: string, number: number): number {
    const words = wordsOf(fingerprint);
    const slot = this.#find(words);
    const known = this.#numbers[slot] ?? 0;
    if (known !== 0) return known - 1;
    this.#fill(slot, words, number + 1);
    this.#size += 1;
    if (this.#size > this.#numbers.length * MAX_LOAD) this.#grow();
    return number;
  }

  /** The slot that holds it, or the empty one where it would go. */
  #find([a, b, c, d]: Words): number {
    const words = this.#words;
    const slots = this.#numbers.length;
    let slot = Math.floor((a * slots) / TWO_POW_32);
    while (this.#numbers[slot] !== 0) {
      const at = slot * WORDS;
      const isIt =
        words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d;
      if (isIt) break;
      slot = slot + 1 === slots ? 0 : slot + 1;
    }
    return slot;
  }

  #fill(slot: number, words: Words, number: number): void {
    this.#words.set(words, slot * WORDS);
    this.#numbers[slot] = number;
  }

  #grow(): void {
    const [words, numbers] = [this.#words, this.#numbers];
    const slots = Math.ceil(numbers.length * GROWTH);
    this.#words = new Uint32Array(slots * WORDS);
    this.#numbers = new Uint32Array(slots);
    for (const [slot, number] of numbers.entries()) {
      if (number === 0) continue;
      const word = (index: number) => words[slot * WORDS + index] ?? 0;
      const own: Words = [word(0), word(1), word(2), word(3)];
      this.#fill(this.#find(own), own, number);
    }
  }
}

function wordsOf(fingerprint: string): Words {
  const word = (index: number) => {
    const start = index * HEX_DIGITS_A_WORD;
    return Number.parseInt(fingerprint.slice(start, start + HEX_DIGITS_A_WORD), 16);
  };
  return [word(0), word(1), word(2), word(3)];
}
