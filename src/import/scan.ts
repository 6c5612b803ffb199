/**
 * First reading of a results file, before anything is written: which rows have more than one line,
 * and whether those lines agree. Two that contradict each other fail the row, since nobody can know
 * which is right, and that must be known before either is written.
 */
import { createHash } from "node:crypto";
import { readLines } from "../disk/jsonl.ts";
import {
  parseResultLine,
  readResultKey,
  type ResultLine,
  roomForValues,
} from "../result-line/result-line.ts";
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

export async function scanResults(path: string, rows: RequestRows): Promise<ScanSummary> {
  let [lineCount, answered, unreadable, foreign, doubled] = [0, 0, 0, 0, 0];
  for await (const lines of readLines(path)) {
    for (const { bytes, byteLength } of lines) {
      if (byteLength === 0) continue;
      lineCount += 1;
      const ordinal = ordinalOf(bytes, rows);
      if (ordinal !== undefined) {
        const nth = rows.noteLine(ordinal);
        if (nth === 1) answered += 1;
        if (nth === 2) doubled += 1;
      } else if (isReadable(bytes)) foreign += 1;
      else unreadable += 1;
    }
  }
  if (doubled > 0) await findConflicts(path, rows);
  return { lines: lineCount, answered, unreadable, foreign, doubled };
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
