/** Shuffles a stream in bounded memory: each item waits among others and leaves at random. */
const WINDOW_ITEMS = 4096;

export class ShuffleWindow<T> {
  readonly #waiting: T[] = [];
  readonly #random: (i: number) => number;
  #drawn = 0;

  /** `random` gives a number in [0, 1) for each draw. */
  constructor(random: (i: number) => number) {
    this.#random = random;
  }

  /** Takes items in, lets about as many out. */
  exchange(items: readonly T[]): T[] {
    this.#waiting.push(...items);
    return this.#leave(this.#waiting.length - WINDOW_ITEMS);
  }

  drain(): T[] {
    return this.#leave(this.#waiting.length);
  }

  #leave(count: number): T[] {
    const leaving: T[] = [];
    for (let i = 0; i < count; i++) {
      const last = this.#waiting.pop();
      if (last === undefined) break;
      const at = Math.floor(this.#random(this.#drawn++) * (this.#waiting.length + 1));
      leaving.push(this.#waiting[at] ?? last);
      if (at < this.#waiting.length) this.#waiting[at] = last;
    }
    return leaving;
  }
}
