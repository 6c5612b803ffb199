/**
 * From fingerprints to numbers. Unlike the tables of `key-table.ts` it is exact: all 128 bits of a
 * fingerprint are compared, since a row that was taken for another's like would get its vector.
 * About 27 bytes a fingerprint, and up to 54 after it has grown.
 */
const MAX_LOAD = 0.75;
const GROWTH = 2;
const MIN_SLOTS = 16;
const TWO_POW_32 = 2 ** 32;
const HEX_DIGITS_A_WORD = 8;
const BITS_A_HEX_DIGIT = 4;
const WORDS = 4;
/** By the code of a hex digit. */
const HEX_VALUES = Uint8Array.from({ length: 128 }, (_, code) => {
  const value = Number.parseInt(String.fromCharCode(code), 16);
  return Number.isNaN(value) ? 0 : value;
});

export class FingerprintTable {
  #words: Uint32Array;
  /** One more than the number, 0 where the slot is empty. */
  #numbers: Uint32Array;
  #size = 0;
  /** The fingerprint in hand. */
  readonly #sought = new Uint32Array(WORDS);

  constructor(expected = 0) {
    const slots = Math.max(MIN_SLOTS, Math.ceil(expected / MAX_LOAD));
    this.#words = new Uint32Array(slots * WORDS);
    this.#numbers = new Uint32Array(slots);
  }

  /** Undefined where there is none. */
  get(fingerprint: string): number | undefined {
    this.#seek(fingerprint);
    const number = this.#numbers[this.#find()] ?? 0;
    return number === 0 ? undefined : number - 1;
  }

  /** The number that the fingerprint has now: the given one, unless it had one. */
  add(fingerprint: string, number: number): number {
    this.#seek(fingerprint);
    const slot = this.#find();
    const known = this.#numbers[slot] ?? 0;
    if (known !== 0) return known - 1;
    this.#fill(slot, number + 1);
    this.#size += 1;
    if (this.#size > this.#numbers.length * MAX_LOAD) this.#grow();
    return number;
  }

  #seek(fingerprint: string): void {
    for (let index = 0; index < WORDS; index += 1) {
      this.#sought[index] = wordOf(fingerprint, index * HEX_DIGITS_A_WORD);
    }
  }

  /** The slot that holds the fingerprint in hand, or the empty one where it would go. */
  #find(): number {
    const [words, sought] = [this.#words, this.#sought];
    const slots = this.#numbers.length;
    let slot = Math.floor(((sought[0] ?? 0) * slots) / TWO_POW_32);
    while (this.#numbers[slot] !== 0 && !isAt(words, slot * WORDS, sought)) {
      slot = slot + 1 === slots ? 0 : slot + 1;
    }
    return slot;
  }

  #fill(slot: number, number: number): void {
    const at = slot * WORDS;
    for (let index = 0; index < WORDS; index += 1) {
      this.#words[at + index] = this.#sought[index] ?? 0;
    }
    this.#numbers[slot] = number;
  }

  #grow(): void {
    const [words, numbers] = [this.#words, this.#numbers];
    const slots = numbers.length * GROWTH;
    this.#words = new Uint32Array(slots * WORDS);
    this.#numbers = new Uint32Array(slots);
    for (let slot = 0; slot < numbers.length; slot += 1) {
      const number = numbers[slot] ?? 0;
      if (number === 0) continue;
      for (let index = 0; index < WORDS; index += 1) {
        this.#sought[index] = words[slot * WORDS + index] ?? 0;
      }
      this.#fill(this.#find(), number);
    }
  }
}

function wordOf(fingerprint: string, start: number): number {
  let word = 0;
  for (let at = start; at < start + HEX_DIGITS_A_WORD; at += 1) {
    word = (word << BITS_A_HEX_DIGIT) | (HEX_VALUES[fingerprint.charCodeAt(at)] ?? 0);
  }
  return word;
}

function isAt(words: Uint32Array, at: number, sought: Uint32Array): boolean {
  return (
    words[at] === sought[0] &&
    words[at + 1] === sought[1] &&
    words[at + 2] === sought[2] &&
    words[at + 3] === sought[3]
  );
}
