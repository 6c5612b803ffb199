import { FingerprintTable } from "../row/fingerprint-table.ts";
import { parseKey, type QuestionKey } from "../row/question.ts";

const MIN_ID_BYTES = 4096;
const GROWTH = 1.5;

/** A row that is embedded with another one: its place after the requests, and its id. */
export type Copy = Readonly<{ place: number; id: string }>;

/**
 * The rows of a job that are not sent, each linked to the request whose vector it gets: the first of
 * the request file that has its fingerprint. In memory stand 12 bytes and the id for each, 4 bytes a
 * request, and, until the last of them is linked, about 27 for a request's fingerprint.
 */
export class CopyLinks {
  #requests: FingerprintTable | undefined;
  /** By request: one more than the place of the last copy linked; 0 where there is none. */
  readonly #heads: Uint32Array;
  /** By copy: the same of the one linked before it. */
  readonly #next: Uint32Array;
  /** By copy: where its id ends. */
  readonly #ends: Float64Array;
  #ids: Buffer = Buffer.alloc(MIN_ID_BYTES);
  #size = 0;

  constructor(requests: number, copies: number) {
    this.#requests = new FingerprintTable(requests);
    this.#heads = new Uint32Array(requests);
    this.#next = new Uint32Array(copies);
    this.#ends = new Float64Array(copies);
  }

  /** All requests come before the first copy. */
  addRequest(key: string, ordinal: number): void {
    this.#requests?.add(questionKey(key).fingerprint, ordinal);
  }

  addCopy(key: string): void {
    const { id, fingerprint } = questionKey(key);
    const request = this.#requests?.get(fingerprint);
    if (request === undefined) throw new Error(`no request has the text of the copy ${key}`);
    this.#next[this.#size] = this.#heads[request] ?? 0;
    this.#keepId(id);
    this.#size += 1;
    this.#heads[request] = this.#size;
    if (this.#size === this.#next.length) this.#requests = undefined;
  }

  has(request: number): boolean {
    return (this.#heads[request] ?? 0) !== 0;
  }

  *of(request: number): Generator<Copy> {
    for (let at = this.#heads[request] ?? 0; at !== 0; at = this.#next[at - 1] ?? 0) {
      yield { place: at - 1, id: this.#id(at - 1) };
    }
  }

  #keepId(id: string): void {
    const start = this.#ends[this.#size - 1] ?? 0;
    const end = start + Buffer.byteLength(id);
    if (end > this.#ids.length) {
      const grown = Buffer.alloc(Math.ceil(end * GROWTH));
      this.#ids.copy(grown);
      this.#ids = grown;
    }
    this.#ids.write(id, start);
    this.#ends[this.#size] = end;
  }

  #id(place: number): string {
    return this.#ids.toString("utf8", this.#ends[place - 1] ?? 0, this.#ends[place]);
  }
}

function questionKey(key: string): QuestionKey {
  const parsed = parseKey(key);
  if (parsed === undefined) throw new Error(`the key ${key} was written and is none`);
  return parsed;
}
