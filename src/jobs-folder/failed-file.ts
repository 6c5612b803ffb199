/**
 * `<job>.failed.jsonl`: the rows of a job that wait for a person or for `run` to send them again,
 * and the same as CSV. A line is taken out of it only together with the journal's event that gives
 * it to a new job: the file without it is complete beside the old one before the event, and takes
 * its place after it. `finishReplacedFailedFiles` does the second half where a crash prevented it.
 */
import { createHash } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { csvLine } from "../disk/csv.ts";
import { exists } from "../disk/presence.ts";
import { createDurableFile, hashFile, replaceFile, syncFolder } from "../disk/durable-file.ts";
import { UserError } from "../errors.ts";
import { type FailedLine, formatFailedLine, parseFailedLine } from "../row/failed-line.ts";
import { readLines } from "../disk/jsonl.ts";
import { MODELS, textPrefix } from "../row/models.ts";
import { isFingerprintOf, parseKey } from "../row/question.ts";
import { sameTarget, type Target } from "../row/target.ts";
import { jobFiles, type JobFiles } from "../manifest/file-names.ts";
import type { FileRecord, Job, Outstanding } from "../manifest/job.ts";

export type FailedFile = Readonly<{ failedFile: FileRecord | undefined; outstanding: Outstanding }>;

/** Where lines went that made no new job: their vectors were at hand. Only ever of lines that were recorded. */
export const IN_COLUMN = "column";

type FailedLines = AsyncIterable<FailedLine> | Iterable<FailedLine>;

/** Writes the lines and their CSV; with no line at all there is no file. */
export async function writeFailedFile(files: JobFiles, lines: FailedLines): Promise<FailedFile> {
  return writeFailedLines(files.failed, files.failedCsv, lines);
}

/**
 * Writes what is to replace the failed file, beside it. `takeReplacement` puts it in its place. Where
 * nothing is to stay, the name of the first new job is written there instead: it tells the file that
 * this resubmission used up from one that a person puts back later. `into`: that job, or `IN_COLUMN`.
 */
export async function prepareReplacement(
  files: JobFiles,
  lines: FailedLines,
  into: string,
): Promise<FailedFile> {
  const next = nextName(files.failed);
  const prepared = await writeFailedLines(next, nextName(files.failedCsv), lines);
  if (prepared.failedFile === undefined) await replaceFile(next, usedUpBy(into));
  return prepared;
}

/** To be called once the journal says that the prepared file is the one that counts. */
export async function takeReplacement(files: JobFiles, prepared: FailedFile): Promise<void> {
  if (prepared.failedFile === undefined) {
    await rm(files.failed, { force: true });
    await rm(files.failedCsv, { force: true });
    await syncFolder(join(files.failed, ".."));
    await rm(nextName(files.failed), { force: true });
    return;
  }
  await rename(nextName(files.failedCsv), files.failedCsv);
  await rename(nextName(files.failed), files.failed);
  await syncFolder(join(files.failed, ".."));
}

/** Of a failed file that came without its CSV; none where there is no such file. */
export async function writeFailedCsv({ failed, failedCsv }: JobFiles): Promise<void> {
  if (await exists(failed)) await writeCsv(failedCsv, readFailedLines(failed));
  else await rm(failedCsv, { force: true });
}

/** What the lines of a failed file come to, whoever wrote them. */
export async function countFailedLines(path: string): Promise<Outstanding> {
  const outstanding = { lines: 0, retryable: 0 };
  for await (const { error } of readFailedLines(path)) {
    outstanding.lines += 1;
    if (error?.class === "retryable") outstanding.retryable += 1;
  }
  return outstanding;
}

/** Every line of a failed-lines file, of ours or by hand. Throws a UserError at a broken line. */
export async function* readFailedLines(path: string): AsyncGenerator<FailedLine> {
  for await (const lines of readLines(path)) {
    for (const line of lines) {
      if (line.bytes === undefined) throw brokenLine(path, line.number, "it is far too long");
      if (line.byteLength > 0) yield parsed(path, line.number, line.bytes);
    }
  }
}

const LINES_AT_ONCE = 1000;

/** Many at once. */
export async function* lineChunks(lines: AsyncIterable<FailedLine>): AsyncGenerator<FailedLine[]> {
  let chunk: FailedLine[] = [];
  for await (const line of lines) {
    chunk.push(line);
    if (chunk.length < LINES_AT_ONCE) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}

/** Those lines of a job's own failed file whose rows its table has refused: their vectors are still needed. */
export async function* refusedLines(job: Job, { failed }: JobFiles): AsyncGenerator<FailedLine> {
  if (job.outstanding.lines === 0 || !(await exists(failed))) return;
  for await (const line of readFailedLines(failed)) if (isRefused(line, job)) yield line;
}

export function isRefused(line: FailedLine, job: Job): boolean {
  return line.error?.reason === "table" && isOwn(line, job);
}

/** It failed for good, and its text is still the row's that was sent. */
export function isUnmended({ key, error, request }: FailedLine, { target }: Job): boolean {
  if (error?.class !== "permanent" || error.reason === "table") return false;
  const prefix = textPrefix(MODELS[target.model], target.taskType);
  const { text } = request.content.parts[0];
  const sent = text.startsWith(prefix) ? text.slice(prefix.length) : text;
  return isFingerprintOf(parseKey(key)?.fingerprint ?? "", sent);
}

/** Lines of another job that were pasted into the file are none of this one's. */
export function isOwn(line: FailedLine, { id }: Job): boolean {
  return (line.job ?? id) === id;
}

/** So many are enough to find others beside them. */
const MAX_REFUSED_IDS = 10_000;

/** Ids of rows of the target that the table has refused, each for a reason of its own. */
export async function refusedIds(
  manifest: Readonly<{ jobs(): readonly Job[]; bring(job: Job): Promise<JobFiles> }>,
  target: Target,
): Promise<string[]> {
  const ids: string[] = [];
  for (const job of manifest.jobs().filter((each) => sameTarget(each.target, target))) {
    for await (const { key } of refusedLines(job, await manifest.bring(job))) {
      if (ids.length < MAX_REFUSED_IDS) ids.push(parseKey(key)?.id ?? key);
    }
  }
  return ids;
}

/** After a crash: puts prepared files in their place where the journal counts on them. */
export async function finishReplacedFailedFiles(
  folder: string,
  jobs: readonly Job[],
): Promise<void> {
  const names = new Set(await readdir(folder));
  for (const job of jobs) {
    if (!names.has(`${job.id}.failed.jsonl.next`)) continue;
    const files = jobFiles(folder, job.id);
    if (job.failedFile !== undefined) await finish(files, job.failedFile);
    else if (await wasUsedUp(files, job)) await takeReplacement(files, NOTHING);
  }
  const unused = (await readdir(folder)).filter((name) => name.endsWith(NEXT));
  for (const name of unused) await rm(join(folder, name), { force: true });
}

const NEXT = ".next";
const NOTHING: FailedFile = { failedFile: undefined, outstanding: { lines: 0, retryable: 0 } };

function nextName(path: string): string {
  return `${path}${NEXT}`;
}

function usedUpBy(into: string): string {
  return `${into}\n`;
}

async function wasUsedUp(files: JobFiles, { children }: Job): Promise<boolean> {
  const { sha256 } = await hashFile(nextName(files.failed));
  return [...children, IN_COLUMN].some((into) => hashOf(usedUpBy(into)) === sha256);
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function finish(files: JobFiles, counted: FileRecord): Promise<void> {
  const { sha256 } = await hashFile(nextName(files.failed));
  if (sha256 !== counted.sha256) return;
  await writeCsv(nextName(files.failedCsv), readFailedLines(nextName(files.failed)));
  await takeReplacement(files, { ...NOTHING, failedFile: counted });
}

async function writeFailedLines(
  path: string,
  csvPath: string,
  lines: FailedLines,
): Promise<FailedFile> {
  const file = await createDurableFile(path);
  const outstanding = { lines: 0, retryable: 0 };
  try {
    for await (const line of lines) {
      await file.write(`${formatFailedLine(line)}\n`);
      outstanding.lines += 1;
      if (line.error?.class === "retryable") outstanding.retryable += 1;
    }
    if (outstanding.lines === 0) {
      await rm(path, { force: true });
      await rm(csvPath, { force: true });
      return NOTHING;
    }
    const failedFile = await file.commit();
    await writeCsv(csvPath, readFailedLines(path));
    return { failedFile, outstanding };
  } finally {
    await file.abandon();
  }
}

async function writeCsv(path: string, lines: FailedLines): Promise<void> {
  const file = await createDurableFile(path);
  try {
    await file.write(csvLine(["id", "class", "code", "message"]));
    for await (const { key, error } of lines) {
      const id = parseKey(key)?.id ?? key;
      await file.write(csvLine([id, error?.class, error?.code, error?.message]));
    }
    await file.commit();
  } finally {
    await file.abandon();
  }
}

function parsed(path: string, number: number, bytes: Buffer): FailedLine {
  try {
    return parseFailedLine(bytes);
  } catch (error) {
    throw brokenLine(path, number, error instanceof Error ? error.message : String(error), error);
  }
}

function brokenLine(path: string, number: number, why: string, cause?: unknown): UserError {
  return new UserError(`Line ${number} of ${path} is no failed line: ${why}.`, {
    hint: "Mend or delete that line and run the same command again; nothing was submitted.",
    exit: "usage",
    cause,
  });
}
