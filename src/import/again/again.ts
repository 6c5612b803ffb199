/**
 * Writes once more what a database has lost after it was imported: it was restored from a backup, or
 * the server that took over had not got the last commits. The results are paid for and on disk. Of a
 * job's rows those are written that are NULL and still have their text; to the sums they have been
 * written all along, so the journal only notes it, and it can be repeated. A row in a child job that is open
 * stays the child's. Rows that wait in a failed file, since the table refused them or the results were fetched
 * again since, leave it as they are written, in the step of the journal that counts them as what they came to:
 * so they are not paid for again, and none counts twice.
 */
import { exists } from "../../disk/presence.ts";
import {
  IN_COLUMN,
  isOwn,
  isRefused,
  prepareReplacement,
  readFailedLines,
  takeReplacement,
} from "../../jobs-folder/failed-file.ts";
import { lacksRows } from "../../jobs-folder/found-rows.ts";
import { heldLines } from "../../jobs-folder/holdings.ts";
import { failedRequests, readRequestKeys } from "../../jobs-folder/request-file.ts";
import { KeySet } from "../../row/key-table.ts";
import { hasResults } from "../../jobs-folder/results-file.ts";
import type { Job } from "../../manifest/job.ts";
import type { Manifest, ManifestView } from "../../manifest/manifest.ts";
import { isOpen, wasImported } from "../../manifest/states.ts";
import type { Report } from "../../progress.ts";
import type { FailedLine } from "../../row/failed-line.ts";
import { type EmbeddedQuestion, formatKey, type RowOutcome } from "../../row/question.ts";
import { columnName, type Target } from "../../row/target.ts";
import { type Holding, type RowEnd, type Store, TableRefusal } from "../../store/port.ts";
import { CHUNK_ROWS, failureOf, writeAround } from "../chunk-writer.ts";
import { type Pacer, UNPACED } from "../pace.ts";
import { writableRows } from "../written-rows.ts";

export type AgainServices = Readonly<{
  /** The store of the job's own target. */
  store: Store;
  manifest: Manifest;
  report: Report;
  signal: AbortSignal;
  /** Without one, as fast as can be. */
  pacer?: Pacer;
}>;

/** Its results file is there, as it was imported. */
export function canBeWrittenAgain(manifest: ManifestView, job: Job): Promise<boolean> {
  return hasResults(manifest.files(job.id), job);
}

/** How many of the job's rows would be written that are not `counted`, as they are afterwards. */
export async function countEmpty(
  { store, manifest }: Readonly<{ store: Store; manifest: ManifestView }>,
  job: Job,
  counted: KeySet,
): Promise<number> {
  const sent = await keysOnTheirWay(manifest, job);
  let empty = 0;
  for await (const chunk of writableRows(await manifest.bring(job), job, CHUNK_ROWS)) {
    const rows = await emptyOf(store, chunk);
    const free = rows.map(formatKey).filter((key) => !sent.has(key));
    empty += free.filter((key) => counted.add(`${columnName(job.target)} ${key}`)).length;
  }
  return empty;
}

/**
 * Of an imported job, `rows` that had lost their vectors and have them again, and what came of those that failed
 * or were refused. First of those that wait in failed files, since of them the sums change.
 */
export async function writeLostRows(
  services: RefusedRowsServices & AgainServices,
  job: Job,
): Promise<Readonly<{ rows: number; ends: readonly RowEnd[] }>> {
  const paid = await writeWaiting(services, job);
  const again = await writeAgain(services, job, { known: paid });
  const refusals = again.filter((end) => end instanceof TableRefusal);
  return { rows: writtenOf(again), ends: [...paid.values(), ...refusals] };
}

/** What came of the job's rows that are NULL, not among those `known`, and, where some are named, among these. */
export async function writeAgain(
  services: AgainServices,
  job: Job,
  { known = new Map(), named }: Readonly<{ known?: PaidRows; named?: KeySet }> = {},
): Promise<readonly RowEnd[]> {
  const { store, manifest } = services;
  const sent = await keysOnTheirWay(manifest, job);
  const isWanted = (key: string) =>
    !known.has(key) && !sent.has(key) && (named === undefined || named.has(key));
  const ends = await offer(services, job, (chunk) =>
    emptyOf(
      store,
      chunk.filter((row) => isWanted(formatKey(row))),
    ),
  );
  const rows = writtenOf(ends.values());
  if (rows > 0) await manifest.record({ type: "writtenAgain", job: job.id, rows });
  return [...ends.values()];
}

function writtenOf(ends: Iterable<RowEnd>): number {
  let rows = 0;
  for (const end of ends) if (end === "written") rows += 1;
  return rows;
}

/** Of the job's rows, those that open jobs made of its failed lines are under way with. */
async function keysOnTheirWay(manifest: ManifestView, job: Job): Promise<KeySet> {
  const sent = new KeySet();
  for (const child of familyOf(manifest, job).filter(isOpen)) {
    const files = await manifest.bring(child);
    if (await lacksRows(files, child)) continue;
    for await (const keys of readRequestKeys(files, child)) keys.forEach((key) => sent.add(key));
  }
  return sent;
}

export async function emptyOf(store: Pick<Store, "compare">, rows: readonly EmbeddedQuestion[]) {
  const holdings = await store.compare(rows);
  return rows.filter((_, place) => holdings[place] === "empty");
}

type Rows = readonly EmbeddedQuestion[];

/**
 * Offers rows of the job's results to its table once more, and says by their keys what came of them,
 * until the end or until the signal was aborted. `choose`: of a chunk.
 */
async function offer(
  { store, manifest, report, signal, pacer = UNPACED }: AgainServices,
  job: Job,
  choose: (chunk: Rows) => Rows | Promise<Rows>,
): Promise<Map<string, RowEnd>> {
  const ends = new Map<string, RowEnd>();
  const chunkRows = Math.min(CHUNK_ROWS, pacer.maxRows);
  let looked = 0;
  for await (const chunk of writableRows(await manifest.bring(job), job, chunkRows)) {
    if (signal.aborted) break;
    const rows = await choose(chunk);
    const keys = rows.map(formatKey);
    await writeAround(
      rows,
      (part) => pacer.paced(part.length, signal, () => store.apply(part, manifest.holdOf(job))),
      (place, end) => ends.set(keys[place] ?? "", end),
    );
    looked += chunk.length;
    const written = writtenOf(ends.values());
    report({ type: "importing", job: job.id, rows: looked, written, requests: job.requests });
  }
  return ends;
}

export type RefusedRowsServices = Omit<AgainServices, "store"> &
  Readonly<{ storeOf: (target: Target) => Promise<Store>; manifest: Manifest }>;

/** By their keys, what became of rows that are paid for. */
type PaidRows = ReadonlyMap<string, RowEnd>;

/**
 * Writes those of the lines in the job's failed file that the table had refused, as far as their vectors are at
 * hand, in the results of the job or of that one it was made `from`, and their text is the one that was sent:
 * who edited it wants another vector.
 */
export async function writeRefused(
  services: RefusedRowsServices,
  job: Job,
  lines: AsyncIterable<FailedLine>,
  { from = job, takes = isRefused }: Choice = {},
): Promise<PaidRows> {
  const wanted = await unchanged(services.manifest, job, lines, { from, takes });
  if (wanted.size === 0) return new Map();
  const store = await services.storeOf(job.target);
  const ends = await offer({ ...services, store }, from, (chunk) =>
    chunk.filter((row) => wanted.has(formatKey(row))),
  );
  await takeOut(services.manifest, job, ends, takes);
  return ends;
}

/** What came of those of the lines that need not be sent: no row waits for them, or their vectors are at hand. */
export async function settleUnsent(
  services: RefusedRowsServices,
  job: Job,
  lines: () => AsyncIterable<FailedLine>,
): Promise<PaidRows> {
  const unneeded = await dropUnneeded(services, job, lines());
  const offered = await writeRefused(services, services.manifest.job(job.id), lines());
  return new Map([...unneeded, ...offered]);
}

/**
 * Takes those of the lines out of the job's failed file for which no row waits: it has a vector or another text by now,
 * or is gone. What they came to is counted, and nobody pays for them.
 */
async function dropUnneeded(
  { manifest, storeOf }: Pick<RefusedRowsServices, "manifest" | "storeOf">,
  job: Job,
  lines: AsyncIterable<FailedLine>,
): Promise<PaidRows> {
  const ends = new Map<string, RowOutcome>();
  const store = await storeOf(job.target);
  for await (const [{ key }, holding] of heldLines(store, job, lines)) {
    const end = UNNEEDED[holding];
    if (end !== undefined) ends.set(key, end);
  }
  await takeOut(manifest, job, ends, isOwn);
  return ends;
}

const UNNEEDED: Readonly<Record<Holding, RowOutcome | undefined>> = {
  same: "filled",
  other: "filled",
  changed: "stale",
  gone: "gone",
  empty: undefined,
};

type Choice = Readonly<{ from?: Job; takes?: (line: FailedLine, job: Job) => boolean }>;

/** The same for any that wait, also in jobs made of its lines: its results may have been fetched again since. */
async function writeWaiting(services: RefusedRowsServices, from: Job): Promise<PaidRows> {
  const ends = new Map<string, RowEnd>();
  for (const job of familyOf(services.manifest, from)) {
    const lines = readFailedLines((await services.manifest.bring(job)).failed);
    const written = await writeRefused(services, job, lines, { from, takes: isOwn });
    for (const [key, end] of written) ends.set(key, end);
  }
  return ends;
}

function familyOf(manifest: ManifestView, job: Job): Job[] {
  return [job, ...job.children.flatMap((child) => familyOf(manifest, manifest.job(child)))];
}

/** The keys of the lines that are taken and whose text is the one that was sent. */
async function unchanged(
  manifest: Manifest,
  job: Job,
  lines: AsyncIterable<FailedLine>,
  { from, takes }: Required<Choice>,
): Promise<ReadonlySet<string>> {
  const files = await manifest.bring(from);
  const { failed } = await manifest.bring(job);
  const wanted = new Set<string>();
  if (!wasImported(from) || job.outstanding.lines === 0) return wanted;
  const hasTexts = from.rowsFile === undefined && (await exists(files.requests));
  if (!hasTexts || !(await exists(failed))) return wanted;
  for await (const line of readFailedLines(failed)) if (takes(line, job)) wanted.add(line.key);
  if (wanted.size === 0 || !(await hasResults(files, from))) return new Set();
  const texts = new Map<string, string>();
  for await (const line of lines) if (wanted.has(line.key)) texts.set(line.key, textOf(line));
  for await (const sent of failedRequests(files, from, () => ANY)) {
    if (texts.get(sent.key) !== textOf(sent)) wanted.delete(sent.key);
  }
  return wanted;
}

/** In one step of the journal with the sums, as rows that are sent again leave their file. */
async function takeOut(
  manifest: Manifest,
  job: Job,
  ends: PaidRows,
  takes: Required<Choice>["takes"],
): Promise<void> {
  const settled = [...ends.values()].filter(isSettled);
  if (settled.length === 0) return;
  const files = await manifest.bring(job);
  const lines = staying(readFailedLines(files.failed), ends, (line) => takes(line, job));
  const prepared = await prepareReplacement(files, lines, IN_COLUMN);
  const sums = job.sums && { ...job.sums, failed: job.sums.failed - settled.length };
  for (const outcome of settled) if (sums !== undefined) sums[outcome] += 1;
  await manifest.recordResubmitted([], [{ job, ...prepared, sums }]);
  await takeReplacement(files, prepared);
}

function isSettled(end: RowEnd): end is RowOutcome {
  return !(end instanceof TableRefusal);
}

async function* staying(
  lines: AsyncIterable<FailedLine>,
  ends: PaidRows,
  isTaken: (line: FailedLine) => boolean,
): AsyncGenerator<FailedLine> {
  for await (const line of lines) {
    const end = isTaken(line) ? ends.get(line.key) : undefined;
    if (end === undefined) yield line;
    else if (end instanceof TableRefusal) yield { ...line, error: failureOf(end) };
  }
}

function textOf({ request }: Pick<FailedLine, "request">): string {
  return request.content.parts[0].text;
}

const ANY = { class: "permanent", reason: "table", message: "" } as const;
