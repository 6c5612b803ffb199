/**
 * Rows that wait in a failed file and are paid for, since their vectors stand in their job's results: the table
 * refused them at their import, or the results were fetched again since. They are written from there, and leave
 * the failed file in the step of the journal that counts them as what they came to. So they are not paid for
 * again, and none counts twice.
 */
import {
  IN_COLUMN,
  isOwn,
  isRefused,
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
import { type RowEnd, type Store, TableRefusal } from "../store/port.ts";
import type { Target } from "../row/target.ts";
import { type AgainServices, offer } from "./again.ts";
import { failureOf } from "./chunk-writer.ts";

export type RefusedRowsServices = Omit<AgainServices, "store"> &
  Readonly<{
    /** The store of a target; a job is always written to its own. */
    storeOf: (target: Target) => Promise<Store>;
    manifest: Manifest;
  }>;

/** By their keys, what became of rows that are paid for. */
type PaidRows = ReadonlyMap<string, RowEnd>;

/**
 * Writes those of the lines that the table had refused, as far as their vectors are at hand and their
 * text is the one that was sent: who edited it wants another vector.
 */
export function writeRefused(
  services: RefusedRowsServices,
  job: Job,
  lines: AsyncIterable<FailedLine>,
): Promise<PaidRows> {
  return write(services, { job, from: job, takes: isRefused }, lines);
}

/**
 * The same for all that wait in the failed file of the job, and of the jobs that were made of its lines,
 * and that its results answer: they may have been fetched again since.
 */
export async function writeWaiting(services: RefusedRowsServices, from: Job): Promise<PaidRows> {
  const { manifest } = services;
  const ends = new Map<string, RowEnd>();
  for (const job of familyOf(manifest, from)) {
    if (job.outstanding.lines === 0) continue;
    const lines = readFailedLines(manifest.files(job.id).failed);
    const written = await write(services, { job, from, takes: isOwn }, lines);
    for (const [key, end] of written) ends.set(key, end);
  }
  return ends;
}

function familyOf(manifest: Manifest, job: Job): Job[] {
  return [job, ...job.children.flatMap((child) => familyOf(manifest, manifest.job(child)))];
}

type Waiting = Readonly<{
  /** In whose failed file they wait. */
  job: Job;
  /** In whose results their vectors may be. */
  from: Job;
  takes: (line: FailedLine, job: Job) => boolean;
}>;

async function write(
  services: RefusedRowsServices,
  waiting: Waiting,
  lines: AsyncIterable<FailedLine>,
): Promise<PaidRows> {
  const wanted = await unchanged(services.manifest, waiting, lines);
  if (wanted.size === 0) return new Map();
  const store = await services.storeOf(waiting.job.target);
  const ends = await offer({ ...services, store }, waiting.from, (chunk) =>
    chunk.filter((row) => wanted.has(formatKey(row))),
  );
  await takeOut(services.manifest, waiting, ends);
  return ends;
}

/** The keys of the lines that are taken and whose text is the one that was sent. */
async function unchanged(
  manifest: Manifest,
  { job, from, takes }: Waiting,
  lines: AsyncIterable<FailedLine>,
): Promise<ReadonlySet<string>> {
  const files = manifest.files(from.id);
  const { failed } = manifest.files(job.id);
  const wanted = new Set<string>();
  if (!wasImported(from) || !(await exists(files.requests)) || !(await exists(failed)))
    return wanted;
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
async function takeOut(manifest: Manifest, waiting: Waiting, ends: PaidRows): Promise<void> {
  const { job } = waiting;
  const settled = [...ends.values()].filter(isSettled);
  if (settled.length === 0) return;
  const files = manifest.files(job.id);
  const prepared = await prepareReplacement(files, staying(waiting, files.failed, ends), IN_COLUMN);
  const sums = job.sums && { ...job.sums, failed: job.sums.failed - settled.length };
  for (const outcome of settled) if (sums !== undefined) sums[outcome] += 1;
  await manifest.recordResubmitted(job.id, { children: [], ...prepared, sums });
  await takeReplacement(files, prepared);
}

function isSettled(end: RowEnd): end is RowOutcome {
  return !(end instanceof TableRefusal);
}

async function* staying(
  { job, takes }: Waiting,
  path: string,
  ends: PaidRows,
): AsyncGenerator<FailedLine> {
  for await (const line of readFailedLines(path)) {
    const end = takes(line, job) ? ends.get(line.key) : undefined;
    if (end === undefined) yield line;
    else if (end instanceof TableRefusal) yield { ...line, error: failureOf(end) };
  }
}

function textOf({ request }: Pick<FailedLine, "request">): string {
  return request.content.parts[0].text;
}

const ANY = { class: "permanent", reason: "table", message: "" } as const;
