/**
 * Sets and maps of millions of keys in little memory: not the keys are kept, but 64 bits of hash
 * for each, in typed arrays with open addressing.
 *
 * Two different keys with the same hash are taken for one. Among 10 million keys that happens with
 * a chance of n²/2^65, about 1 in 370,000; among the 50,000 of a job with 1 in 15 thousand million.
 * No wrong vector can come of it as long as vectors are written by the full key, id and fingerprint,
 * and never by what stands here: `add` then says that the key is there already. A row taken to be
 * in flight waits for a later export, and a job in which two rows look like one is refused aloud.
 *
 * Memory: 8 bytes a slot for a set and 12 for a map, with at most three slots in four filled. Made
 * for the right number of keys, that is 10.7 and 16 bytes a key. A table that outgrows its size
 * grows by half, so it takes up to 16 and 24; while it moves, old and new stand side by side.
 */

const MAX_LOAD = 0.75;
const GROWTH = 1.5;
const MIN_SLOTS = 16;
const TWO_POW_32 = 2 ** 32;

type Hash = Readonly<{ high: number; low: number }>;

/** A slot whose two halves are 0 is empty; no hash is 0 in both. */
class HashSlots {
  readonly #hasOrdinals: boolean;
  #high: Uint32Array;
  #low: Uint32Array;
  #ordinals: Uint32Array;
  #size = 0;

  constructor(hasOrdinals: boolean, expectedKeys = 0) {
    this.#hasOrdinals = hasOrdinals;
    const slots = Math.max(MIN_SLOTS, Math.ceil(expectedKeys / MAX_LOAD));
    this.#high = new Uint32Array(slots);
    this.#low = new Uint32Array(slots);
    this.#ordinals = new Uint32Array(hasOrdinals ? slots : 0);
  }

  get size(): number {
    return this.#size;
  }

  /** Memory taken by the arrays. */
  get bytes(): number {
    return this.#high.byteLength + this.#low.byteLength + this.#ordinals.byteLength;
  }

  protected holds(key: string): boolean {
    // nearly always: then there is no need for the hash
    if (this.#size === 0) return false;
    return this.#isFilled(this.#find(hashKey(key)));
  }

  protected ordinalOf(key: string): number | undefined {
    const slot = this.#find(hashKey(key));
    return this.#isFilled(slot) ? this.#ordinals[slot] : undefined;
  }

  protected put(key: string, ordinal: number): boolean {
    const hash = hashKey(key);
    const slot = this.#find(hash);
    if (this.#isFilled(slot)) return false;
    if (this.#size + 1 > this.#high.length * MAX_LOAD) {
      this.#grow();
      this.#fill(this.#find(hash), hash, ordinal);
    } else {
      this.#fill(slot, hash, ordinal);
    }
    this.#size += 1;
    return true;
  }

  /** The slot that holds the hash, or the empty one where it would go. */
  #find({ high, low }: Hash): number {
    const slots = this.#high.length;
    // The high half as a fraction of the table: slots are nearly in hash order, any size will do.
    let slot = Math.floor((high * slots) / TWO_POW_32);
    while (this.#isFilled(slot) && (this.#high[slot] !== high || this.#low[slot] !== low)) {
      slot = slot + 1 === slots ? 0 : slot + 1;
    }
    return slot;
  }

  #isFilled(slot: number): boolean {
    return this.#high[slot] !== 0 || this.#low[slot] !== 0;
  }

  #fill(slot: number, { high, low }: Hash, ordinal: number): void {
    this.#high[slot] = high;
    this.#low[slot] = low;
    if (this.#hasOrdinals) this.#ordinals[slot] = ordinal;
  }

  #grow(): void {
    const [oldHigh, oldLow, oldOrdinals] = [this.#high, this.#low, this.#ordinals];
    const slots = Math.ceil(oldHigh.length * GROWTH);
    this.#high = new Uint32Array(slots);
    this.#low = new Uint32Array(slots);
    this.#ordinals = new Uint32Array(this.#hasOrdinals ? slots : 0);
    for (let slot = 0; slot < oldHigh.length; slot += 1) {
      const hash = { high: oldHigh[slot] ?? 0, low: oldLow[slot] ?? 0 };
      if (hash.high === 0 && hash.low === 0) continue;
      this.#fill(this.#find(hash), hash, oldOrdinals[slot] ?? 0);
    }
  }
}

/** A set of keys. `expectedKeys` is a hint that saves growing. */
export class KeySet extends HashSlots {
  constructor(expectedKeys?: number) {
    super(false, expectedKeys);
  }

  /** False when the key was there already. */
  add(key: string): boolean {
    return this.put(key, 0);
  }

  has(key: string): boolean {
    return this.holds(key);
  }
}

/** From keys to ordinals, whole numbers from 0 to 2^32 - 1. `expectedKeys` saves growing. */
export class KeyTable extends HashSlots {
  constructor(expectedKeys?: number) {
    super(true, expectedKeys);
  }

  /** False when the key was there already; it keeps its ordinal. */
  add(key: string, ordinal: number): boolean {
    return this.put(key, ordinal);
  }

  /** Undefined when the key is not there. */
  get(key: string): number | undefined {
    return this.ordinalOf(key);
  }
}

/** Two MurmurHash3-like 32-bit hashes with constants of their own; keys need no secrecy. */
function hashKey(key: string): Hash {
  const high = murmur(key, 0x9747b28c, 0xcc9e2d51, 0x1b873593);
  const low = murmur(key, 0x3c6ef372, 0x239b961b, 0xab0e9789);
  return { high, low: high === 0 && low === 0 ? 1 : low };
}

/** MurmurHash3 (x86, 32 bits) with a UTF-16 code unit as its block. */
function murmur(key: string, seed: number, first: number, second: number): number {
  let hash = seed;
  for (let at = 0; at < key.length; at += 1) {
    const block = Math.imul(rotate(Math.imul(key.charCodeAt(at), first), 15), second);
    hash = (Math.imul(rotate(hash ^ block, 13), 5) + 0xe6546b64) | 0;
  }
  return avalanche(hash ^ key.length);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function avalanche(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
