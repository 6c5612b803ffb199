import type { FileRecord } from "./job.ts";
import type { RequestFileWriter } from "./request-file.ts";

/** What bounds one job. */
export type JobBounds = Readonly<{ maxRows: number; maxTokens: number; maxBytes: number }>;

/** What a request file holds so far, or what one more line adds. */
export type JobSize = Readonly<{ rows: number; tokens: number; bytes: number }>;

/** A request file that is complete and durable, not yet recorded. */
export type CutFile = Readonly<{ job: string; requests: number; tokens: number; file: FileRecord }>;

type NewFile = Readonly<{ job: string; writer: RequestFileWriter }>;
type OpenFile = NewFile & Readonly<{ bounds: JobBounds }>;

/** A single line always fits an empty job: it cannot be cut. */
function fits(size: JobSize, line: JobSize, bounds: JobBounds): boolean {
  if (size.rows === 0) return true;
  const { rows, tokens, bytes } = plus(size, line);
  return rows <= bounds.maxRows && tokens <= bounds.maxTokens && bytes <= bounds.maxBytes;
}

/** Cuts a stream of request lines into request files within the bounds. */
export class RequestCutter {
  readonly #boundsOfNext: () => JobBounds;
  readonly #openFile: () => Promise<NewFile>;
  #open: OpenFile | undefined;
  #size: JobSize = EMPTY;
  /** Resolves when there is room for more, as the writer said last. */
  #room: Promise<void> = Promise.resolve();

  /** `bounds` as a function: asked for when a file is begun. */
  constructor(bounds: JobBounds | (() => JobBounds), openFile: () => Promise<NewFile>) {
    this.#boundsOfNext = typeof bounds === "function" ? bounds : () => bounds;
    this.#openFile = openFile;
  }

  /**
   * Takes a line without its newline where it fits into the file in hand, and says whether it did;
   * else `add` has to take it. Await `room` now and then: this does not.
   */
  addHere(line: string, tokens: number): boolean {
    const size = { rows: 1, tokens, bytes: Buffer.byteLength(line) + 1 };
    if (this.#open === undefined || !fits(this.#size, size, this.#open.bounds)) return false;
    const room = this.#open.writer.add(line);
    // a write that fails is told by `room`, or by the end of the file
    if (room !== this.#room) room.catch(() => {});
    this.#room = room;
    this.#size = plus(this.#size, size);
    return true;
  }

  /** Throws what a write before it failed with. */
  room(): Promise<void> {
    return this.#room;
  }

  /** Takes a line without its newline; the file before it, when the line did not fit into that. */
  async add(line: string, tokens: number): Promise<CutFile | undefined> {
    const size = { rows: 1, tokens, bytes: Buffer.byteLength(line) + 1 };
    const isFull = this.#open !== undefined && !fits(this.#size, size, this.#open.bounds);
    const done = isFull ? await this.finish() : undefined;
    this.#open ??= { ...(await this.#openFile()), bounds: this.#boundsOfNext() };
    await this.#open.writer.add(line);
    this.#size = plus(this.#size, size);
    return done;
  }

  /**
   * The file in hand, complete; undefined when there is none. It is in hand no more at once: lines
   * for the next one may be added while this one gets durable.
   */
  async finish(): Promise<CutFile | undefined> {
    if (this.#open === undefined) return undefined;
    const { job, writer } = this.#open;
    const { rows, tokens } = this.#size;
    this.#open = undefined;
    this.#size = EMPTY;
    try {
      return { job, requests: rows, tokens: Math.round(tokens), file: await writer.commit() };
    } catch (error) {
      await writer.abandon();
      throw error;
    }
  }

  /** Gives up the file in hand. Harmless when there is none. */
  async abandon(): Promise<void> {
    await this.#open?.writer.abandon();
  }
}

const EMPTY: JobSize = { rows: 0, tokens: 0, bytes: 0 };

function plus(a: JobSize, b: JobSize): JobSize {
  return { rows: a.rows + b.rows, tokens: a.tokens + b.tokens, bytes: a.bytes + b.bytes };
}
