/**
 * Files of one JSON value a line, as bytes. Lines end at LF and nowhere else: `readline` and others
 * also break at U+2028, which JSON allows within a string. A CR before the LF stays: for JSON it is
 * white space.
 */
import { readBlocks } from "./file-blocks.ts";

export type Line = Readonly<{
  /** Counts from 1; empty lines count too. */
  number: number;
  /** Of the line's first byte in the source. */
  offset: number;
  /** Without the LF. */
  byteLength: number;
  /** Undefined when the line is longer than allowed; it was counted, not kept. */
  bytes: Buffer | undefined;
  /** False only for a last line that has no LF: perhaps torn. */
  terminated: boolean;
}>;

export type LineOptions = Readonly<{ maxLineBytes: number }>;

/** A vector of 3072 values takes about 40 kB; the rest is room for long texts. */
const DEFAULT_MAX_LINE_BYTES = 16 * 1024 * 1024;

const LF = 0x0a;

/**
 * As `splitLines`, from a file. The bytes of lines hold until the next lines are asked for. Rejects
 * with the system's error when the file cannot be read.
 */
export function readLines(path: string, options?: LineOptions): AsyncGenerator<Line[]> {
  return splitLines(readBlocks(path), options);
}

/**
 * The lines that end within a chunk, for each chunk that ends one. Lines share memory with their
 * chunk, and hold as long as it does. Memory is bounded by a chunk and `maxLineBytes`.
 */
export async function* splitLines(
  source: AsyncIterable<Uint8Array>,
  options: LineOptions = { maxLineBytes: DEFAULT_MAX_LINE_BYTES },
): AsyncGenerator<Line[]> {
  const splitter = new LineSplitter(options.maxLineBytes);
  for await (const chunk of source) {
    const lines = splitter.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    if (lines.length > 0) yield lines;
  }
  const last = splitter.end();
  if (last !== undefined) yield [last];
}

/** Lines that follow each other, and as they stand in the file; or what is wrong with the next one. */
export type TextLines =
  | Readonly<{ texts: readonly string[]; bytes: Buffer }>
  | Readonly<{ texts: "torn"; tail: string }>
  | Readonly<{ texts: "too long" }>;

/**
 * Whole lines without their LF, those of a block at once: decoded line by line, a file of many short
 * ones takes three times as long. `torn`: the file ends without an LF, after `tail` (or what of it is kept). Nothing
 * comes after a line that is too long. `start`: where the first line begins.
 */
export async function* readTextLines(path: string, start = 0): AsyncGenerator<TextLines> {
  let carried = Buffer.alloc(0);
  for await (const block of readBlocks(path, start)) {
    const end = block.lastIndexOf(LF) + 1;
    if (end > 0 && carried.length > DEFAULT_MAX_LINE_BYTES) {
      yield { texts: "too long" };
      return;
    }
    if (end > 0) {
      const bytes = Buffer.concat([carried, block.subarray(0, end)]);
      yield { texts: bytes.toString("utf8", 0, bytes.length - 1).split("\n"), bytes };
      carried = Buffer.from(block.subarray(end));
    } else if (carried.length <= DEFAULT_MAX_LINE_BYTES) {
      // what has become too long is kept no more, and still waits for its end: it may be torn
      carried = Buffer.concat([carried, block]);
    }
  }
  if (carried.length > 0) yield { texts: "torn", tail: carried.toString("utf8") };
}

/** Counts the lines of chunks that follow each other; empty ones do not count. */
export class LineCounter {
  #ended = 0;
  #isWithinLine = false;

  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let end = bytes.indexOf(LF); end !== -1; end = bytes.indexOf(LF, start)) {
      if (end > start || this.#isWithinLine) this.#ended += 1;
      this.#isWithinLine = false;
      start = end + 1;
    }
    if (start < bytes.length) this.#isWithinLine = true;
  }

  /** A last one that has no LF counts too. */
  get lines(): number {
    return this.#isWithinLine ? this.#ended + 1 : this.#ended;
  }
}

/** Lines share memory with the chunk that ends them. */
export class LineSplitter {
  readonly #maxLineBytes: number;
  /** The start of a line whose end has not come yet; empty once it is too long. */
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #number = 1;
  #offset = 0;

  constructor(maxLineBytes = DEFAULT_MAX_LINE_BYTES) {
    this.#maxLineBytes = maxLineBytes;
  }

  push(chunk: Buffer): Line[] {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, start)) {
      lines.push(this.#finish(chunk.subarray(start, end), true));
      start = end + 1;
    }
    if (start < chunk.length) this.#carry(chunk.subarray(start));
    return lines;
  }

  end(): Line | undefined {
    return this.#pieceBytes === 0 ? undefined : this.#finish(Buffer.alloc(0), false);
  }

  #carry(piece: Buffer): void {
    this.#pieceBytes += piece.length;
    if (this.#pieceBytes > this.#maxLineBytes) this.#pieces = [];
    else this.#pieces.push(Buffer.from(piece));
  }

  #finish(piece: Buffer, terminated: boolean): Line {
    const byteLength = this.#pieceBytes + piece.length;
    const line: Line = {
      number: this.#number,
      offset: this.#offset,
      byteLength,
      bytes: byteLength > this.#maxLineBytes ? undefined : this.#join(piece),
      terminated,
    };
    this.#number += 1;
    this.#offset += byteLength + 1;
    this.#pieces = [];
    this.#pieceBytes = 0;
    return line;
  }

  #join(piece: Buffer): Buffer {
    return this.#pieces.length === 0 ? piece : Buffer.concat([...this.#pieces, piece]);
  }
}
