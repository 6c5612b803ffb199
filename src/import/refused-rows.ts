/**
 * Rows that the table refused at their import: what was paid for them stands in the job's results.
 * Where it takes them by now they are written from there, and leave the failed file in the step of the
 * journal that counts them as what they came to. So they are not paid for again, and none counts twice.
 */
import {
  IN_COLUMN,
  isRefused,
  prepareReplacement,
  readFailedLines,
  refusedLines,
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
export async function writeRefused(
  services: RefusedRowsServices,
  job: Job,
  lines: AsyncIterable<FailedLine>,
): Promise<PaidRows> {
  const wanted = await unchanged(services.manifest, job, lines);
  if (wanted.size === 0) return new Map();
  const store = await services.storeOf(job.target);
  const ends = await offer({ ...services, store }, job, (chunk) =>
    chunk.filter((row) => wanted.has(formatKey(row))),
  );
  await takeOut(services.manifest, job, ends);
  return ends;
}

/** The keys of refused rows among the lines whose text is the one that was sent. */
async function unchanged(
  manifest: Manifest,
  job: Job,
  lines: AsyncIterable<FailedLine>,
): Promise<ReadonlySet<string>> {
  const files = manifest.files(job.id);
  const wanted = new Set<string>();
  if (!wasImported(job) || !(await exists(files.requests))) return wanted;
  for await (const { key } of refusedLines(job, files)) wanted.add(key);
  if (wanted.size === 0 || !(await hasResults(files, job))) return new Set();
  const texts = new Map<string, string>();
  for await (const line of lines) if (wanted.has(line.key)) texts.set(line.key, textOf(line));
  for await (const sent of failedRequests(files, job, () => ANY)) {
    if (texts.get(sent.key) !== textOf(sent)) wanted.delete(sent.key);
  }
  return wanted;
}

/** In one step of the journal with the sums, as rows that are sent again leave their file. */
async function takeOut(manifest: Manifest, job: Job, ends: PaidRows): Promise<void> {
  const settled = [...ends.values()].filter(isSettled);
  if (settled.length === 0) return;
  const files = manifest.files(job.id);
  const prepared = await prepareReplacement(files, staying(job, files.failed, ends), IN_COLUMN);
  const sums = job.sums && { ...job.sums, failed: job.sums.failed - settled.length };
  for (const outcome of settled) if (sums !== undefined) sums[outcome] += 1;
  await manifest.recordResubmitted(job.id, { children: [], ...prepared, sums });
  await takeReplacement(files, prepared);
}

function isSettled(end: RowEnd): end is RowOutcome {
  return !(end instanceof TableRefusal);
}

async function* staying(job: Job, path: string, ends: PaidRows): AsyncGenerator<FailedLine> {
  for await (const line of readFailedLines(path)) {
    const end = isRefused(line, job) ? ends.get(line.key) : undefined;
    if (end === undefined) yield line;
    else if (end instanceof TableRefusal) yield { ...line, error: failureOf(end) };
  }
}

function textOf({ request }: Pick<FailedLine, "request">): string {
  return request.content.parts[0].text;
}

const ANY = { class: "permanent", reason: "table", message: "" } as const;
