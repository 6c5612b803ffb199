import type { EmbeddedQuestion } from "../row/question.ts";
import type { Store } from "../store/port.ts";
import type { Pacer } from "./pace.ts";
import type { RequestRows } from "./row-outcomes.ts";

/** Rows in one UPDATE. Measured: larger chunks gain nothing and hold their locks for longer. */
export const CHUNK_ROWS = 500;
/** Chunks written at once. Measured: a third connection gains nothing. */
const MAX_WRITES_AT_ONCE = 2;
/** One more waits for its turn, so that a connection that gets free has something to do at once. */
const MAX_CHUNKS_UNDER_WAY = MAX_WRITES_AT_ONCE + 1;

/** Rows that go to the store together, and the memory that their vectors are made in. */
type Chunk = Readonly<{
  ordinals: number[];
  questions: EmbeddedQuestion[];
  vectors: Float32Array;
}>;

export type ChunkWriterOptions = Readonly<{
  store: Store;
  rows: RequestRows;
  dimensions: number;
  pacer: Pacer;
  /** Once it is aborted, nothing waits for its turn. */
  signal: AbortSignal;
}>;

/** Hands checked vectors to the store in chunks, a few at a time, and notes each row's outcome. */
export class ChunkWriter {
  readonly #store: Store;
  readonly #rows: RequestRows;
  readonly #dimensions: number;
  readonly #pacer: Pacer;
  readonly #signal: AbortSignal;
  readonly #underWay = new Set<Promise<void>>();
  /** Of chunks that are written: new memory for every chunk costs more than what is done with it. */
  readonly #spare: Float32Array[] = [];
  #chunk: Chunk;
  #settled = 0;

  constructor({ store, rows, dimensions, pacer, signal }: ChunkWriterOptions) {
    this.#store = store;
    this.#rows = rows;
    this.#dimensions = dimensions;
    this.#pacer = pacer;
    this.#signal = signal;
    this.#chunk = this.#newChunk();
  }

  /** Rows whose outcome is known. */
  get settled(): number {
    return this.#settled;
  }

  /** Where the vector of the next row is to be made. It is free again if that row is not added. */
  roomForVector(): Float32Array {
    const { questions, vectors } = this.#chunk;
    const start = questions.length * this.#dimensions;
    return vectors.subarray(start, start + this.#dimensions);
  }

  add(ordinal: number, question: EmbeddedQuestion): void {
    this.#chunk.ordinals.push(ordinal);
    this.#chunk.questions.push(question);
  }

  /** A full chunk has to be sent before the next row is added. */
  isFull(): boolean {
    return this.#chunk.questions.length >= Math.min(CHUNK_ROWS, this.#pacer.maxRows);
  }

  /** Waits while enough is under way. Throws what a write before it failed with. */
  async send(): Promise<void> {
    while (this.#underWay.size >= MAX_CHUNKS_UNDER_WAY) await Promise.race(this.#underWay);
    this.#start();
  }

  /** Resolves when every row added has its outcome. */
  async finish(): Promise<void> {
    if (this.#chunk.questions.length > 0) this.#start();
    await Promise.all(this.#underWay);
  }

  #newChunk(): Chunk {
    const vectors = this.#spare.pop() ?? new Float32Array(CHUNK_ROWS * this.#dimensions);
    return { ordinals: [], questions: [], vectors };
  }

  #start(): void {
    const writing = this.#write(this.#chunk, [...this.#underWay]);
    this.#chunk = this.#newChunk();
    this.#underWay.add(writing);
    // a failed write stays in the set, so that the next `add` or `finish` throws it
    writing.then(
      () => this.#underWay.delete(writing),
      () => {},
    );
  }

  /** In its turn: when fewer than may be are left of those that were under way before. */
  async #write(
    { ordinals, questions, vectors }: Chunk,
    before: readonly Promise<void>[],
  ): Promise<void> {
    if (before.length >= MAX_WRITES_AT_ONCE) await Promise.race(before);
    const write = () => this.#store.apply(questions);
    const outcomes = await this.#pacer.paced(questions.length, this.#signal, write);
    for (const [index, outcome] of outcomes.entries()) {
      const ordinal = ordinals[index];
      if (ordinal === undefined) throw new Error("the store told more outcomes than rows");
      this.#rows.settle(ordinal, outcome);
    }
    this.#settled += outcomes.length;
    this.#spare.push(vectors);
  }
}
