/**
 * The results of one job into the column. The results file is whole on disk before the first row is
 * written; every row comes to exactly one outcome; the failed file is durable before the job is
 * called imported. Repeating it is harmless: the store finds rows that already hold their vector.
 */
import { JobBlocked, UserError } from "../errors.ts";
import type { Failure } from "../row/failed-line.ts";
import { classify } from "../row/error-code.ts";
import { writeFailedFile } from "../jobs-folder/failed-file.ts";
import type { JobFiles } from "../manifest/file-names.ts";
import { type Job, linesOf } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { keysIn, lacksRows } from "../jobs-folder/found-rows.ts";
import { checkRequestFile, failedRequests, readRequestKeys } from "../jobs-folder/request-file.ts";
import { readLines } from "../disk/jsonl.ts";
import { type EmbeddedQuestion, parseKey } from "../row/question.ts";
import type { Report } from "../progress.ts";
import { parseResultLine, type ResultLine, roomForValues } from "../row/result-line/result-line.ts";
import { type Store, TableRefusal } from "../store/port.ts";
import { checkTarget } from "../row/target-check.ts";
import { checkVector } from "../row/vector.ts";
import { failedAgain } from "./failed-again.ts";
import type { IndexKeeper } from "./index-keeper.ts";
import { type Pacer, UNPACED } from "./pace.ts";
import { RequestRows } from "./row-outcomes.ts";
import { type ScannedResults, scanResults, type ScanSummary } from "./scan.ts";
import { ChunkWriter } from "./chunk-writer.ts";

export type ImportJobServices = Readonly<{
  /** The store of the job's own target. */
  store: Store;
  manifest: Manifest;
  report: Report;
  signal: AbortSignal;
  /** Without one, the service's words go into the failed file as they are. */
  redact?: (text: string) => string;
  /** Without one, as fast as can be. */
  pacer?: Pacer;
  /** Without one, the indexes are no matter. */
  indexes?: IndexKeeper;
  /** Fetches the results once more: the job, where the new file answers some of these rows and loses none. */
  fetchBetter?: ((job: Job, unanswered: readonly number[]) => Promise<Job | undefined>) | undefined;
}>;

/**
 * Undefined when the signal was aborted first: what was written stays, and is found again. `scanned`
 * where the results file was read just now.
 */
export async function importJob(
  services: ImportJobServices,
  job: Job,
  scanned?: ScannedResults,
): Promise<Job | undefined> {
  const { store, manifest, report } = services;
  const files = await manifest.bring(job);
  // that the database is away is not about this job alone
  const description = await blockedBy(job, () => store.describe(), TableRefusal);
  await blockedBy(job, async () => checkTarget(job.target, description));
  const { rows, summary } = scanned ?? (await scanJob(files, job));
  await services.indexes?.beforeWriting(store, job, description);
  warnOfStrayLines(report, job, summary);
  const writeAll = () => writeVectors(services, job, files.results, rows);
  const counted = await blockedBy(job, writeAll, TableRefusal);
  if (services.signal.aborted) return undefined;
  const unanswered = rows.unanswered();
  const better = unanswered.length > 0 && (await services.fetchBetter?.(job, unanswered));
  if (better) return importJob({ ...services, fetchBetter: undefined }, better);
  // a row without a line may have been billed all the same
  const tokens = rows.failTheRest() === 0 ? counted : undefined;
  const failures =
    job.rowsFile === undefined
      ? failedRequests(files, job, (place) => rows.failureOf(place))
      : await failedAgain({ store, manifest }, job, rows);
  const sums = rows.sums();
  const failed = await writeFailedFile(files, sums.failed === 0 ? [] : failures);
  const end = { type: "imported", job: job.id, tokens, sums, ...failed } as const;
  const imported = await manifest.record(end, job);
  report({ type: "imported", job: job.id, ...sums });
  return imported;
}

/** `path`: of the results, or of what may become them. */
export async function scanJob(
  files: JobFiles,
  job: Job,
  path = files.results,
): Promise<ScannedResults> {
  const rows = await blockedBy(job, () => readRows(files, job, path));
  return scanResults(path, rows);
}

/** Its rows, where they are known without its results. */
export async function knownRows(files: JobFiles, job: Job): Promise<RequestRows | undefined> {
  if (await lacksRows(files, job)) return undefined;
  return blockedBy(job, () => readRequestRows(files, job));
}

/** What does not fit about this job keeps no other from being imported. */
async function blockedBy<T>(
  job: Job,
  work: () => Promise<T>,
  what: typeof TableRefusal | typeof UserError = UserError,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof what)) throw error;
    const isGone = error instanceof TableRefusal && error.isGone;
    const end = ` If it was dropped: \`vecfill cancel ${job.id} --give-up\` counts the rows as gone.`;
    throw new JobBlocked(job.id, error, `${error.hint}${isGone ? end : ""}`);
  }
}

/**
 * By what was recorded of them; else by the keys in the results at `path`. Throws a UserError where the request
 * file is not the one recorded.
 */
export async function readRows(files: JobFiles, job: Job, path: string): Promise<RequestRows> {
  if (!(await lacksRows(files, job))) return readRequestRows(files, job);
  const keys = await keysIn(path);
  const rows = new RequestRows(keys.length);
  for (const key of keys) rows.add(key);
  return rows;
}

async function readRequestRows(files: JobFiles, job: Job): Promise<RequestRows> {
  await checkRequestFile(files, job);
  const rows = new RequestRows(linesOf(job), job.copies?.rows);
  for await (const keys of readRequestKeys(files, job)) for (const key of keys) rows.add(key);
  if (rows.size !== job.requests) {
    throw new Error(`job ${job.id} has ${rows.size} keys for ${job.requests} requests`);
  }
  return rows;
}

/** Second reading: checks each line and writes its vector. The tokens billed, where told for each vector. */
async function writeVectors(
  { store, manifest, report, signal, pacer = UNPACED, redact = String }: ImportJobServices,
  job: Job,
  path: string,
  rows: RequestRows,
): Promise<number | undefined> {
  const { dimensions } = job.target;
  const hold = manifest.holdOf(job);
  const writer = new ChunkWriter({ store, rows, dimensions, hold, pacer, signal });
  const tokens = new TokenCount();
  const reading: Reading = { job, rows, writer, tokens, redact, room: roomForValues() };
  for await (const lines of readLines(path)) {
    for (const { bytes } of lines) {
      const added = bytes === undefined ? undefined : readRow(bytes, reading);
      if (added !== undefined && rows.hasCopies(added.ordinal)) {
        await addCopies(added, reading, signal);
      }
      if (writer.isFull()) await writer.send();
    }
    const { settled: settledRows, written } = writer;
    report({ type: "importing", job: job.id, rows: settledRows, written, requests: job.requests });
    if (signal.aborted) break;
  }
  await writer.finish();
  return reading.tokens.total;
}

type Reading = Readonly<{
  job: Job;
  rows: RequestRows;
  writer: ChunkWriter;
  tokens: TokenCount;
  redact: (text: string) => string;
  /** For the values of the line in hand. */
  room: Float64Array;
}>;

/** A row whose vector went to the writer. */
type Added = Readonly<{ ordinal: number; question: EmbeddedQuestion }>;

/**
 * Hands the vector to the writer for every row with the same text. There may be more of them than a
 * chunk takes: memory of a chunk that is written may then be filled again, but with this very vector.
 */
async function addCopies(
  { ordinal, question }: Added,
  { rows, writer }: Reading,
  signal: AbortSignal,
): Promise<void> {
  for (const copy of rows.copiesOf(ordinal)) {
    if (writer.isFull()) await writer.send();
    if (signal.aborted) return;
    const vector = writer.roomForVector();
    vector.set(question.vector);
    writer.add(copy.ordinal, { id: copy.id, fingerprint: question.fingerprint, vector });
  }
}

/** Hands the row's vector to the writer, or notes what else the line came to. */
function readRow(bytes: Buffer, reading: Reading): Added | undefined {
  const { rows, room, tokens } = reading;
  const line = parseResultLine(bytes, room);
  const ordinal = line.key === undefined ? undefined : rows.ordinalOf(line.key);
  if (ordinal === undefined) return undefined;
  if (line.kind === "malformed") rows.noteMalformedLine(ordinal);
  if (line.kind === "malformed" || !rows.take(ordinal)) return undefined;
  const isDoubtful = rows.hasConflict(ordinal);
  // an error without a code may be an answer that could not be used, and was paid for
  if (isDoubtful || (line.kind === "error" && line.code === undefined)) tokens.add(undefined);
  const failure = isDoubtful ? CONFLICT : failureIn(line, reading);
  if (failure !== undefined) rows.fail(ordinal, failure);
  if (failure !== undefined || line.kind !== "vector") return undefined;
  return readVector(line, ordinal, reading);
}

const CONFLICT: Failure = {
  class: "retryable",
  reason: "conflict",
  message: "the results have lines for this row that contradict each other",
};

function failureIn(line: ResultLine, { job, redact }: Reading): Failure | undefined {
  if (line.kind !== "error") return undefined;
  const { code } = line;
  const message = redact(line.message);
  const told = code === undefined ? { message } : { code, message };
  return { class: classify(code, job.attempt), reason: "service", ...told };
}

function readVector(
  line: Extract<ResultLine, { kind: "vector" }>,
  ordinal: number,
  { job, rows, writer, tokens }: Reading,
): Added | undefined {
  tokens.add(line.tokens);
  const key = parseKey(line.key);
  if (key === undefined) throw new Error(`the key ${line.key} was sent and is none`);
  const checked = checkVector(line.values, job.target.dimensions, writer.roomForVector());
  if (!checked.ok) {
    const { class: failureClass, message } = checked;
    rows.fail(ordinal, { class: failureClass, reason: "vector", message });
    return undefined;
  }
  const question = { ...key, vector: checked.vector };
  writer.add(ordinal, question);
  return { ordinal, question };
}

/** Adds up what the service tells; one line without a count makes the sum unknown. */
class TokenCount {
  #sum = 0;
  #known = true;

  add(tokens: number | undefined): void {
    if (tokens === undefined) this.#known = false;
    else this.#sum += tokens;
  }

  get total(): number | undefined {
    return this.#known ? this.#sum : undefined;
  }
}

function warnOfStrayLines(report: Report, job: Job, { unreadable, foreign }: ScanSummary): void {
  const unattributable = unreadable + foreign;
  if (unattributable === 0) return;
  report({
    type: "warning",
    message: `${unattributable} result lines of job ${job.id} belong to no row that was asked for; they are left out.`,
    hint: undefined,
  });
}
