import { MAX_BYTES_A_UNIT } from "../disk/durable-file.ts";
import type { Copies, FileRecord } from "../manifest/job.ts";
import type { RequestFileWriter } from "./request-file.ts";

/** What bounds one job: its rows, and the tokens and bytes of what is sent. */
export type JobBounds = Readonly<{ maxRows: number; maxTokens: number; maxBytes: number }>;

/** What a job holds so far, or what one more row adds. */
export type JobSize = Readonly<{ rows: number; tokens: number; bytes: number }>;

/** `digest`: of the text that is sent, where an edited line no longer has the fingerprint's; else that itself. */
export type SizedText = Readonly<{ fingerprint: string; digest: string; tokens: number }>;

/** A row with its request line, without its newline. */
export type CutRow = SizedText & Readonly<{ line: string }>;

/** A request file that is complete and durable, with its copies, not yet recorded. */
export type CutFile = Readonly<{
  job: string;
  /** Rows: lines and copies. */
  requests: number;
  tokens: number;
  file: FileRecord;
  copies: Copies | undefined;
}>;

export function plus(a: JobSize, b: JobSize): JobSize {
  return { rows: a.rows + b.rows, tokens: a.tokens + b.tokens, bytes: a.bytes + b.bytes };
}

/** How many jobs of full size that is. */
export function fillings({ rows, tokens, bytes }: JobSize, bounds: JobBounds): number {
  return Math.max(rows / bounds.maxRows, tokens / bounds.maxTokens, bytes / bounds.maxBytes);
}

const LINE_ROOM_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

type NewFile = Readonly<{ job: string; writer: RequestFileWriter }>;
type OpenFile = NewFile & Readonly<{ content: JobContent }>;

/**
 * What one job takes. A row whose text has a line in the job already is a copy of that line: it is
 * not sent, and gets the same vector. Always, however few there are: all that a copy costs is its
 * place in a file that is there only where texts repeat. Only the first line with a fingerprint is what
 * others may be copies of: so the fingerprint alone links them, for whoever reads the files.
 */
export class JobContent {
  readonly #bounds: JobBounds;
  /** By fingerprint: what the first line with it asks for. */
  readonly #digests = new Map<string, string>();
  #rows = 0;
  #tokens = 0;
  #bytes = 0;

  constructor(bounds: JobBounds) {
    this.#bounds = bounds;
  }

  get size(): JobSize {
    return { rows: this.#rows, tokens: this.#tokens, bytes: this.#bytes };
  }

  /**
   * What the row adds, where it fits: nothing but itself where it is a copy, which is not sent. `bytes`
   * is what its line takes in the file.
   */
  take(row: SizedText, bytes: number): "line" | "copy" | undefined {
    const fitsAsLine = this.#hasRoom(row.tokens, bytes);
    const first = this.#digests.get(row.fingerprint);
    const isCopy = first === row.digest;
    if (!fitsAsLine && !(isCopy && this.#hasRoom(0, 0))) return undefined;
    this.#rows += 1;
    if (isCopy) return "copy";
    if (first === undefined) this.#digests.set(row.fingerprint, row.digest);
    this.#tokens += row.tokens;
    this.#bytes += bytes;
    return "line";
  }

  /** A single line always fits an empty job: it cannot be cut. */
  #hasRoom(tokens: number, bytes: number): boolean {
    const { maxRows, maxTokens, maxBytes } = this.#bounds;
    if (this.#rows === 0) return true;
    return (
      this.#rows < maxRows && this.#tokens + tokens <= maxTokens && this.#bytes + bytes <= maxBytes
    );
  }
}

/** Cuts a stream of rows into request files within the bounds. */
export class RequestCutter {
  readonly #boundsOfNext: () => JobBounds;
  readonly #openFile: () => Promise<NewFile>;
  readonly #lineRoom = Buffer.allocUnsafe(LINE_ROOM_BYTES);
  #open: OpenFile | undefined;
  /** Resolve when there is room for more, as the writer said last. */
  #room: Promise<void> = Promise.resolve();
  #copyRoom: Promise<void> = Promise.resolve();

  /** `bounds` as a function: asked for when a file is begun. */
  constructor(bounds: JobBounds | (() => JobBounds), openFile: () => Promise<NewFile>) {
    this.#boundsOfNext = typeof bounds === "function" ? bounds : () => bounds;
    this.#openFile = openFile;
  }

  /**
   * Takes a row where it fits into the file in hand, and says whether it did; else `add` has to take
   * it. Await `room` now and then: this does not.
   */
  addAtOnce(row: CutRow): boolean {
    if (this.#open === undefined) return false;
    const line = this.#encoded(row.line);
    const part = this.#open.content.take(row, line.length);
    if (part === undefined) return false;
    this.#write(this.#open.writer, line, part);
    return true;
  }

  /** Throws what a write before it failed with. */
  async room(): Promise<void> {
    await this.#room;
    await this.#copyRoom;
  }

  /** Takes a row; the file before it, when the row did not fit into that. */
  async add(row: CutRow): Promise<CutFile | undefined> {
    const isTaken = this.addAtOnce(row);
    const done = isTaken ? undefined : await this.finish();
    this.#open ??= { ...(await this.#openFile()), content: new JobContent(this.#boundsOfNext()) };
    if (!isTaken && !this.addAtOnce(row)) throw new Error("a row does not fit into an empty job");
    await this.room();
    return done;
  }

  /** With its newline, in memory that is used again for the next one. */
  #encoded(line: string): Uint8Array {
    if ((line.length + 1) * MAX_BYTES_A_UNIT > this.#lineRoom.length)
      return Buffer.from(`${line}\n`);
    const end = this.#lineRoom.write(line);
    this.#lineRoom[end] = NEWLINE;
    return this.#lineRoom.subarray(0, end + 1);
  }

  /** A write that fails is told by `room`, or by the end of the file. */
  #write(writer: RequestFileWriter, line: Uint8Array, part: "line" | "copy"): void {
    if (part === "copy") {
      this.#copyRoom = writer.addCopy(line);
      this.#copyRoom.catch(() => {});
      return;
    }
    const room = writer.add(line);
    if (room !== this.#room) room.catch(() => {});
    this.#room = room;
  }

  /**
   * The file in hand, complete; undefined when there is none. It is in hand no more at once: lines
   * for the next one may be added while this one gets durable.
   */
  async finish(): Promise<CutFile | undefined> {
    if (this.#open === undefined) return undefined;
    const { job, writer, content } = this.#open;
    const { rows, tokens } = content.size;
    this.#open = undefined;
    try {
      return { job, requests: rows, tokens: Math.round(tokens), ...(await writer.commit()) };
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
