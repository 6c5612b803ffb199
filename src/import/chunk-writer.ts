import type { Failure } from "../row/failed-line.ts";
import type { EmbeddedQuestion, RowOutcome } from "../row/question.ts";
import { type Hold, type RowEnd, type Store, TableRefusal } from "../store/port.ts";
import type { Pacer } from "./pace.ts";
import type { RequestRows } from "./row-outcomes.ts";

/** Rows in one UPDATE. Measured: larger chunks gain nothing and hold their locks for longer. */
export const CHUNK_ROWS = 500;
/** Chunks written at once. Measured: a third connection gains nothing. */
const MAX_WRITES_AT_ONCE = 2;
/** One more waits for its turn, so that a connection that gets free has something to do at once. */
const MAX_CHUNKS_UNDER_WAY = MAX_WRITES_AT_ONCE + 1;

/** Where more than half of a job's first rows are refused, it is the table. */
const FIRST_ROWS = 100;

/** Rows that go to the store together, and the memory that their vectors are made in. */
type Chunk = Readonly<{ ordinals: number[]; questions: EmbeddedQuestion[]; vectors: Float32Array }>;

export type ChunkWriterOptions = Readonly<{
  store: Store;
  rows: RequestRows;
  dimensions: number;
  hold: Hold | undefined;
  pacer: Pacer;
  /** Once it is aborted, nothing waits for its turn. */
  signal: AbortSignal;
}>;

/** Hands checked vectors to the store in chunks, a few at a time, and notes each row's outcome. */
export class ChunkWriter {
  readonly #options: ChunkWriterOptions;
  readonly #underWay = new Set<Promise<void>>();
  /** Of chunks that are written: new memory for every chunk costs more than what is done with it. */
  readonly #spare: Float32Array[] = [];
  #chunk: Chunk;
  #started = 0;
  #settled = 0;
  #written = 0;
  /** Of the first rows. */
  #refusedOfFirst = 0;

  constructor(options: ChunkWriterOptions) {
    this.#options = options;
    this.#chunk = this.#newChunk();
  }

  /** Rows whose outcome is known. */
  get settled(): number {
    return this.#settled;
  }

  /** Of these, rows that have their vector. */
  get written(): number {
    return this.#written;
  }

  /** Where the vector of the next row is to be made. It is free again if that row is not added. */
  roomForVector(): Float32Array {
    const { questions, vectors } = this.#chunk;
    const { dimensions } = this.#options;
    const start = questions.length * dimensions;
    return vectors.subarray(start, start + dimensions);
  }

  add(ordinal: number, question: EmbeddedQuestion): void {
    this.#chunk.ordinals.push(ordinal);
    this.#chunk.questions.push(question);
  }

  /** A full chunk has to be sent before the next row is added. */
  isFull(): boolean {
    return this.#chunk.questions.length >= Math.min(CHUNK_ROWS, this.#options.pacer.maxRows);
  }

  /** Waits while enough is under way. Throws what a write before it failed with. */
  async send(): Promise<void> {
    while (this.#underWay.size >= MAX_CHUNKS_UNDER_WAY) await Promise.race(this.#underWay);
    this.#start();
  }

  /** Resolves when every row added has its outcome. */
  async finish(): Promise<void> {
    if (this.#chunk.questions.length > 0) this.#start();
    const ends = await Promise.allSettled(this.#underWay);
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  #newChunk(): Chunk {
    const vectors = this.#spare.pop() ?? new Float32Array(CHUNK_ROWS * this.#options.dimensions);
    return { ordinals: [], questions: [], vectors };
  }

  #start(): void {
    const writing = this.#write(this.#chunk, this.#started, [...this.#underWay]);
    this.#started += this.#chunk.questions.length;
    this.#chunk = this.#newChunk();
    this.#underWay.add(writing);
    // a failed write stays in the set, so that the next `send` or `finish` throws it
    writing.then(
      () => this.#underWay.delete(writing),
      () => {},
    );
  }

  /** In its turn: when fewer than may be are left of those that were under way before. */
  async #write(
    { ordinals, questions, vectors }: Chunk,
    first: number,
    before: readonly Promise<void>[],
  ): Promise<void> {
    if (before.length >= MAX_WRITES_AT_ONCE) await Promise.race(before);
    const { store, rows, hold, pacer, signal } = this.#options;
    const write = (part: readonly EmbeddedQuestion[]) =>
      pacer.paced(part.length, signal, () => store.apply(part, hold));
    await writeAround(questions, write, (place, end) => {
      const ordinal = ordinals[place];
      if (ordinal === undefined) throw new Error("the store told more outcomes than rows");
      this.#settled += 1;
      if (end === "written") this.#written += 1;
      if (end instanceof TableRefusal) this.#refuse(ordinal, first + place, end);
      else rows.settle(ordinal, end);
    });
    this.#spare.push(vectors);
  }

  /** `place`: among all that were added. */
  #refuse(ordinal: number, place: number, error: TableRefusal): void {
    const { rows } = this.#options;
    rows.failRow(ordinal, failureOf(error));
    const ofFirst = Math.min(FIRST_ROWS, rows.size);
    if (place < ofFirst) this.#refusedOfFirst += 1;
    // thrown at each refusal from then on, so that chunks under way end as well
    if (this.#refusedOfFirst * 2 > ofFirst) throw refusesMost(error, this.#refusedOfFirst, ofFirst);
  }
}

/**
 * Where the table refuses a row, what was written with it is halved down to it, so that it costs no
 * other row. `end` is called for each row by its place, as soon as it is known.
 */
export async function writeAround(
  rows: readonly EmbeddedQuestion[],
  write: (rows: readonly EmbeddedQuestion[]) => Promise<readonly RowOutcome[]>,
  end: (place: number, end: RowEnd) => void,
): Promise<void> {
  if (rows.length === 0) return;
  try {
    const outcomes = await write(rows);
    if (outcomes.length !== rows.length) throw new Error("the store told not one outcome a row");
    for (const [place, outcome] of outcomes.entries()) end(place, outcome);
  } catch (error) {
    if (!(error instanceof TableRefusal) || !error.isOfARow) throw error;
    if (rows.length === 1) return end(0, error);
    const half = Math.ceil(rows.length / 2);
    await writeAround(rows.slice(0, half), write, end);
    await writeAround(rows.slice(half), write, (place, each) => end(half + place, each));
  }
}

/** What is refused is paid for: its vector stands in the job's results. */
export function failureOf({ message }: TableRefusal): Failure {
  return { class: "permanent", reason: "table", message };
}

function refusesMost(error: TableRefusal, refused: number, rows: number): TableRefusal {
  const which = rows === refused ? `all ${rows} rows` : `${refused} of the first ${rows} rows`;
  const message = `${error.message} So it is with ${which}, and the others were not tried.`;
  return new TableRefusal(message, { hint: error.hint, cause: error });
}
