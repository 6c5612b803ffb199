/**
 * First look at a results file, as it comes or from the disk, before anything is written: which rows have more than one line,
 * and whether those lines agree. Two that contradict each other fail the row, since nobody can know
 * which is right, and that must be known before either is written.
 */
import { createHash } from "node:crypto";
import { readBlocks } from "../disk/file-blocks.ts";
import { type Line, LineSplitter, readLines } from "../disk/jsonl.ts";
import {
  parseResultLine,
  readResultKey,
  type ResultLine,
  roomForValues,
} from "../row/result-line/result-line.ts";
import { parseJson } from "../row/json-value.ts";
import type { RequestRows } from "./row-outcomes.ts";

export type ScanSummary = Readonly<{
  lines: number;
  /** Rows that have a line. */
  answered: number;
  /** Lines that are no JSON, and name no row. */
  unreadable: number;
  /** Lines with a key that was not asked for, or with none. */
  foreign: number;
  /** Rows with more than one line. */
  doubled: number;
}>;

const NO_LINES = { lines: 0, answered: 0, unreadable: 0, foreign: 0, doubled: 0 };

/** Of a file that is handed over in chunks, which may be gone afterwards. */
export class ResultsScan {
  readonly rows: RequestRows;
  #splitter = new LineSplitter();
  #summary = { ...NO_LINES };

  constructor(rows: RequestRows) {
    this.rows = rows;
  }

  /** From the start of a file, whatever came before. */
  restart(): void {
    this.#splitter = new LineSplitter();
    this.#summary = { ...NO_LINES };
    this.rows.forgetLines();
  }

  push(chunk: Uint8Array): void {
    const { buffer, byteOffset, byteLength } = chunk;
    for (const line of this.#splitter.push(Buffer.from(buffer, byteOffset, byteLength))) {
      this.#note(line);
    }
  }

  /** `path`: where all of it stands, should lines have to be compared. */
  async end(path: string): Promise<ScanSummary> {
    const last = this.#splitter.end();
    if (last !== undefined) this.#note(last);
    if (this.#summary.doubled > 0) await findConflicts(path, this.rows);
    return this.#summary;
  }

  #note({ bytes, byteLength }: Line): void {
    if (byteLength === 0) return;
    this.#summary.lines += 1;
    const ordinal = ordinalOf(bytes, this.rows);
    if (ordinal !== undefined) {
      const nth = this.rows.noteLine(ordinal);
      if (nth === 1) this.#summary.answered += 1;
      if (nth === 2) this.#summary.doubled += 1;
    } else if (isReadable(bytes)) this.#summary.foreign += 1;
    else this.#summary.unreadable += 1;
  }
}

export type ScannedResults = Readonly<{
  rows: RequestRows;
  summary: ScanSummary;
  /** Of the file. */
  sha256: string;
}>;

/** With the file's SHA-256, for which it need not be read once more. */
export async function scanResults(path: string, rows: RequestRows): Promise<ScannedResults> {
  const scan = new ResultsScan(rows);
  const hash = createHash("sha256");
  for await (const block of readBlocks(path)) {
    hash.update(block);
    scan.push(block);
  }
  return { rows, summary: await scan.end(path), sha256: hash.digest("hex") };
}

/** Of a file that was scanned with them. */
export async function unansweredRows(path: string, rows: RequestRows): Promise<readonly number[]> {
  const room = roomForValues();
  for await (const lines of readLines(path)) {
    for (const { bytes } of lines) {
      const line = bytes === undefined ? undefined : parseResultLine(bytes, room);
      if (line === undefined || line.kind === "malformed") continue;
      const ordinal = rows.ordinalOf(line.key);
      if (ordinal !== undefined) rows.take(ordinal);
    }
  }
  return rows.unanswered();
}

function isReadable(bytes: Buffer | undefined): boolean {
  return bytes !== undefined && parseJson(bytes) !== undefined;
}

function ordinalOf(bytes: Buffer | undefined, rows: RequestRows): number | undefined {
  const key = bytes === undefined ? undefined : readResultKey(bytes);
  return key === undefined ? undefined : rows.ordinalOf(key);
}

/** Compares the lines of every row that has several. A malformed line contradicts nothing. */
async function findConflicts(path: string, rows: RequestRows): Promise<void> {
  const firstSaid = new Map<number, string>();
  for await (const lines of readLines(path)) {
    for (const { bytes } of lines) {
      const ordinal = ordinalOf(bytes, rows);
      if (bytes === undefined || ordinal === undefined || !rows.hasSeveralLines(ordinal)) continue;
      const says = whatItSays(parseResultLine(bytes));
      if (says === undefined) continue;
      const first = firstSaid.get(ordinal);
      if (first === undefined) firstSaid.set(ordinal, says);
      else if (first !== says) rows.noteConflict(ordinal);
    }
  }
}

/** Errors agree with each other whatever their words; vectors when every value is the same. */
function whatItSays(line: ResultLine): string | undefined {
  if (line.kind === "malformed") return undefined;
  if (line.kind === "error") return line.kind;
  return createHash("md5").update(new Float64Array(line.values)).digest("base64");
}
