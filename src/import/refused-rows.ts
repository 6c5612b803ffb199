/**
 * Rows that the table refused at their import: what was paid for them stands in the job's results.
 * Where it takes them by now they are written from there, and leave the failed file in the step of the
 * journal that counts them as what they came to. So they are not paid for again, and none counts twice.
 */
import {
  hasRefused,
  IN_COLUMN,
  prepareReplacement,
  readFailedLines,
  takeReplacement,
} from "../jobs-folder/failed-file.ts";
import { exists } from "../disk/presence.ts";
import { failedRequests } from "../jobs-folder/request-file.ts";
import { hasResults } from "../jobs-folder/results-file.ts";
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { wasImported } from "../manifest/states.ts";
import type { FailedLine } from "../row/failed-line.ts";
import { formatKey, type RowOutcome } from "../row/question.ts";
import type { PaidRowsTold, Sums } from "../row/sums.ts";
import type { Target } from "../row/target.ts";
import { type Store, TableRefusal } from "../store/port.ts";
import { type RowEnd, writeAround } from "./around-refusals.ts";
import { CHUNK_ROWS, failureOf } from "./chunk-writer.ts";
import { type Pacer, UNPACED } from "./pace.ts";
import { writableRows } from "./written-rows.ts";

export type RefusedRowsServices = Readonly<{
  /** The store of a target; a job is always written to its own. */
  storeOf: (target: Target) => Promise<Store>;
  manifest: Manifest;
  signal: AbortSignal;
  /** Without one, as fast as can be. */
  pacer?: Pacer;
}>;

/** Of rows that are paid for: by their keys, what became of them, or why they are refused still. */
export type PaidRows = ReadonlyMap<string, RowEnd>;

/**
 * Writes those of the lines that the table had refused, as far as their vectors are at hand and their
 * text is the one that was sent: who edited it wants another vector.
 */
export async function writeRefused(
  services: RefusedRowsServices,
  job: Job,
  lines: AsyncIterable<FailedLine>,
): Promise<PaidRows> {
  const files = services.manifest.files(job.id);
  if (!(await hasVectors(services, job))) return new Map();
  const texts = new Map<string, string>();
  const waiting = await refusedKeys(job, readFailedLines(files.failed));
  for await (const line of lines) if (waiting.has(line.key)) texts.set(line.key, textOf(line));
  if (texts.size === 0) return new Map();
  for await (const sent of failedRequests(files, job, () => ANY)) {
    if (texts.has(sent.key) && texts.get(sent.key) !== textOf(sent)) texts.delete(sent.key);
  }
  const ends = await offer(services, job, texts);
  const settled = [...ends.values()].filter(isOutcome);
  if (settled.length > 0) await takeOut(services, job, ends);
  return ends;
}

export function tellOf(all: readonly PaidRows[]): PaidRowsTold {
  const ends = all.flatMap((rows) => [...rows.values()]);
  const outcomes = ends.filter(isOutcome);
  const written = outcomes.filter((outcome) => outcome === "written").length;
  return {
    written,
    refused: ends.length - outcomes.length,
    unneeded: outcomes.length - written,
    why: ends.find((end) => end instanceof TableRefusal)?.refusal.message,
  };
}

async function hasVectors({ manifest }: RefusedRowsServices, job: Job): Promise<boolean> {
  const { failed, requests } = manifest.files(job.id);
  if (!wasImported(job) || job.outstanding.lines === 0) return false;
  return (
    (await hasRefused(failed)) &&
    (await exists(requests)) &&
    hasResults(manifest.files(job.id), job)
  );
}

/** Lines of another job that were pasted into the file are none of this one's. */
async function refusedKeys(
  { id }: Job,
  lines: AsyncIterable<FailedLine>,
): Promise<ReadonlySet<string>> {
  const keys = new Set<string>();
  for await (const { key, job, error } of lines) {
    if (error?.reason === "table" && (job ?? id) === id) keys.add(key);
  }
  return keys;
}

async function offer(
  { storeOf, manifest, signal, pacer = UNPACED }: RefusedRowsServices,
  job: Job,
  wanted: ReadonlyMap<string, string>,
): Promise<PaidRows> {
  const store = await storeOf(job.target);
  const ends = new Map<string, RowEnd>();
  const chunkRows = Math.min(CHUNK_ROWS, pacer.maxRows);
  for await (const chunk of writableRows(manifest.files(job.id), job, chunkRows)) {
    if (signal.aborted) break;
    const rows = chunk.filter((row) => wanted.has(formatKey(row)));
    const keys = rows.map(formatKey);
    await writeAround(
      rows,
      (part) => pacer.paced(part.length, signal, () => store.apply(part)),
      (place, end) => ends.set(keys[place] ?? "", end),
    );
  }
  return ends;
}

/** In one step of the journal with the sums, as rows that are sent again leave their file. */
async function takeOut({ manifest }: RefusedRowsServices, job: Job, ends: PaidRows): Promise<void> {
  const files = manifest.files(job.id);
  const settled = [...ends.values()].filter(isOutcome);
  const prepared = await prepareReplacement(files, staying(job, files.failed, ends), IN_COLUMN);
  const sums = job.sums && withSettled(job.sums, settled);
  await manifest.recordResubmitted(job.id, { children: [], ...prepared, sums });
  await takeReplacement(files, prepared);
}

async function* staying({ id }: Job, path: string, ends: PaidRows): AsyncGenerator<FailedLine> {
  for await (const line of readFailedLines(path)) {
    const isOwn = line.error?.reason === "table" && (line.job ?? id) === id;
    const end = isOwn ? ends.get(line.key) : undefined;
    if (end === undefined) yield line;
    else if (end instanceof TableRefusal) yield { ...line, error: failureOf(end) };
  }
}

function withSettled(sums: Sums, settled: readonly RowOutcome[]): Sums {
  const came = (to: RowOutcome) => settled.filter((outcome) => outcome === to).length;
  return {
    ...sums,
    failed: sums.failed - settled.length,
    written: sums.written + came("written"),
    stale: sums.stale + came("stale"),
    filled: sums.filled + came("filled"),
    gone: sums.gone + came("gone"),
  };
}

function isOutcome(end: RowEnd): end is RowOutcome {
  return !(end instanceof TableRefusal);
}

function textOf({ request }: Pick<FailedLine, "request">): string {
  return request.content.parts[0].text;
}

const ANY = { class: "permanent", reason: "table", message: "" } as const;
