import type { EmbeddedQuestion } from "../question.ts";
import type { Store } from "../store/port.ts";
import type { RequestRows } from "./rows.ts";

/** Rows in one UPDATE. Measured: larger chunks gain nothing and hold their locks for longer. */
const CHUNK_ROWS = 500;
/** Chunks under way at once. Measured: a third connection gains nothing. */
const MAX_WRITES_UNDER_WAY = 2;

/** Hands checked vectors to the store in chunks, a few at a time, and notes each row's outcome. */
export class ChunkWriter {
  readonly #store: Store;
  readonly #rows: RequestRows;
  readonly #underWay = new Set<Promise<void>>();
  #ordinals: number[] = [];
  #questions: EmbeddedQuestion[] = [];
  #settled = 0;

  constructor(store: Store, rows: RequestRows) {
    this.#store = store;
    this.#rows = rows;
  }

  /** Rows whose outcome is known. */
  get settled(): number {
    return this.#settled;
  }

  /** Waits while enough is under way. Throws what a write before it failed with. */
  async add(ordinal: number, question: EmbeddedQuestion): Promise<void> {
    this.#ordinals.push(ordinal);
    this.#questions.push(question);
    if (this.#questions.length < CHUNK_ROWS) return;
    while (this.#underWay.size >= MAX_WRITES_UNDER_WAY) await Promise.race(this.#underWay);
    this.#send();
  }

  /** Resolves when every row added has its outcome. */
  async finish(): Promise<void> {
    this.#send();
    await Promise.all(this.#underWay);
  }

  #send(): void {
    if (this.#questions.length === 0) return;
    const writing = this.#write(this.#ordinals, this.#questions);
    this.#ordinals = [];
    this.#questions = [];
    this.#underWay.add(writing);
    // a failed write stays in the set, so that the next `add` or `finish` throws it
    writing.then(
      () => this.#underWay.delete(writing),
      () => {},
    );
  }

  async #write(ordinals: readonly number[], questions: readonly EmbeddedQuestion[]): Promise<void> {
    const outcomes = await this.#store.apply(questions);
    for (const [index, outcome] of outcomes.entries()) {
      const ordinal = ordinals[index];
      if (ordinal === undefined) throw new Error("the store told more outcomes than rows");
      this.#rows.settle(ordinal, outcome);
    }
    this.#settled += outcomes.length;
  }
}
