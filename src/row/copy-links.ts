import { parseKey, type QuestionKey } from "./question.ts";

/** A row that is embedded with another one: its place after the requests, and its id. */
export type Copy = Readonly<{ place: number; id: string }>;

/**
 * The rows of a job that are not sent, each linked to the request whose vector it gets: the first of
 * the request file that has its fingerprint.
 */
export class CopyLinks {
  readonly #requests = new Map<string, number>();
  readonly #copies = new Map<number, Copy[]>();
  #size = 0;

  /** All requests come before the first copy. */
  addRequest(key: string, ordinal: number): void {
    const { fingerprint } = questionKey(key);
    if (!this.#requests.has(fingerprint)) this.#requests.set(fingerprint, ordinal);
  }

  addCopy(key: string): void {
    const { id, fingerprint } = questionKey(key);
    const request = this.#requests.get(fingerprint);
    if (request === undefined) throw new Error(`no request has the text of the copy ${key}`);
    const copies = this.#copies.get(request) ?? [];
    copies.push({ place: this.#size, id });
    this.#copies.set(request, copies);
    this.#size += 1;
  }

  has(request: number): boolean {
    return this.#copies.has(request);
  }

  of(request: number): readonly Copy[] {
    return this.#copies.get(request) ?? [];
  }
}

function questionKey(key: string): QuestionKey {
  const parsed = parseKey(key);
  if (parsed === undefined) throw new Error(`the key ${key} was written and is none`);
  return parsed;
}
