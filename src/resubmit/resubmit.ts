/**
 * Resubmit: failed lines become new jobs. The lines taken leave the failed file in the same step of
 * the journal that makes the new jobs known, so a row is never in both and never in neither.
 */
import { resolve } from "node:path";
import { UserError } from "../errors.ts";
import type { FailedLine } from "../row/failed-line.ts";
import { requestOf } from "../row/failed-line.ts";
import { type CutFile, type CutRow, type JobBounds, RequestCutter } from "../jobs-folder/cut.ts";
import { correctionBy, uncorrected } from "../cost/correction.ts";
import {
  prepareReplacement,
  readFailedLines,
  takeReplacement,
} from "../jobs-folder/failed-file.ts";
import { exists } from "../disk/presence.ts";
import type { Job, NewJob } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { learnedBounds } from "../quota/learned-bounds.ts";
import { deleteRequestFiles, openRequestFile } from "../jobs-folder/request-file.ts";
import { isInFlight, readTakenRows } from "../jobs-folder/taken-rows.ts";
import { checkVectorSpace } from "../manifest/vector-space.ts";
import { KeySet } from "../row/key-table.ts";
import { parseKey } from "../row/question.ts";
import type { Report } from "../progress.ts";
import { requireTarget } from "../row/request-line.ts";
import { tableName, type Target } from "../row/target.ts";
import { estimateTokens } from "../row/tokens.ts";

export type ResubmitServices = Readonly<{
  manifest: Manifest;
  report: Report;
  /** Throws where the table takes no vectors, whatever the row. */
  tryTable?: (target: Target) => Promise<void>;
  /** Writes those of the lines whose vectors are at hand, and tells for which nobody need pay again. */
  writePaid?: (
    job: Job,
    lines: AsyncIterable<FailedLine>,
  ) => Promise<Readonly<{ has(key: string): boolean }>>;
}>;

/** Which of a job's failed lines are taken. */
export type TakeLine = (line: FailedLine) => boolean;

export const everyLine: TakeLine = () => true;

/** What `run` sends again by itself: what may succeed, until it has been tried often enough. */
export function retryableBelow(maxAttempts: number): TakeLine {
  return (line) => line.error?.class === "retryable" && line.attempt < maxAttempts;
}

/**
 * New jobs from the lines that wait in the job's own failed file; none where somebody deleted it.
 * Lines of another job that were pasted into it wait in that job's file too, and are left out.
 */
export async function resubmitJob(
  services: ResubmitServices,
  job: Job,
  bounds: JobBounds,
  take: TakeLine,
): Promise<readonly Job[]> {
  const path = services.manifest.files(job.id).failed;
  if (!(await exists(path))) return [];
  const takeOwn: TakeLine = (line) => (line.job ?? job.id) === job.id && take(line);
  return resubmitFrom(services, path, job, bounds, takeOwn);
}

/**
 * New jobs from a file of failed lines, perhaps edited by hand. A line that names its job is taken
 * only while it waits in that job's failed file, so that no row is sent twice.
 */
export async function resubmitFile(
  services: ResubmitServices,
  path: string,
  bounds: JobBounds,
  target: Target,
): Promise<readonly Job[]> {
  if (!(await exists(path))) throw noSuchFile(path);
  const own = services.manifest
    .jobs()
    .find((job) => resolve(services.manifest.files(job.id).failed) === resolve(path));
  const parents = [...(await readParents(path, own?.id))].map((id) =>
    id === undefined ? undefined : services.manifest.job(id),
  );
  const made: Job[] = [];
  for (const parent of parents) {
    const take: TakeLine = (line) => (line.job ?? own?.id) === parent?.id;
    const jobs =
      parent === undefined
        ? await exportLines(services, path, target, bounds, take)
        : await resubmitFrom(services, path, parent, bounds, take);
    made.push(...jobs);
  }
  return made;
}

/** For a dry run: lines of a file that is no job's own. Fewer may be taken, where rows are on their way. */
export async function countLines(path: string): Promise<number> {
  if (!(await exists(path))) throw noSuchFile(path);
  let lines = 0;
  for await (const _ of readFailedLines(path)) lines += 1;
  return lines;
}

async function resubmitFrom(
  { manifest, report, tryTable, writePaid }: ResubmitServices,
  path: string,
  parent: Job,
  bounds: JobBounds,
  take: TakeLine,
): Promise<readonly Job[]> {
  checkVectorSpace(manifest.jobs(), parent.target);
  const files = manifest.files(parent.id);
  const paid = await writePaid?.(parent, readFailedLines(path));
  // a file of which nothing is left is gone
  if (!(await exists(path))) return [];
  await tryTable?.(parent.target);
  const waiting = await keysOf(files.failed);
  const taken = new KeySet();
  const attempt = { highest: 0 };
  const cuts = await cutLines({ manifest, path, target: parent.target, bounds }, (line) => {
    if (!take(line) || !waiting.has(line.key) || paid?.has(line.key) === true) return false;
    taken.add(line.key);
    attempt.highest = Math.max(attempt.highest, line.attempt);
    return true;
  });
  const [first] = cuts;
  if (first === undefined) return [];
  const staying = linesWithout(files.failed, taken);
  const prepared = await prepareReplacement(files, staying, first.job);
  const children = cuts.map((cut) => ({
    ...cut,
    target: parent.target,
    parent: parent.id,
    attempt: attempt.highest + 1,
  }));
  const made = await manifest.recordResubmitted(parent.id, { children, ...prepared });
  await takeReplacement(files, prepared);
  const into = made.map((job) => job.id);
  report({ type: "resubmitted", job: parent.id, into, requests: taken.size });
  return made;
}

/** Lines written by hand, without a job they came from: recorded as an export is, and as guarded. */
async function exportLines(
  { manifest, report, tryTable }: ResubmitServices,
  path: string,
  target: Target,
  bounds: JobBounds,
  take: TakeLine,
): Promise<Job[]> {
  checkVectorSpace(manifest.jobs(), target);
  await tryTable?.(target);
  const taken = await readTakenRows(manifest, target);
  const cuts = await cutLines(
    { manifest, path, target, bounds },
    (line) => take(line) && !isInFlight(taken, line.key) && !taken.failedBefore.has(line.key),
  );
  if (cuts.length > 0) warnOfTarget(report, path, target);
  const made: Job[] = [];
  for (const cut of cuts) {
    made.push(await manifest.recordExported({ ...cut, target, parent: undefined, attempt: 1 }));
  }
  return made;
}

/** Nothing in such a line says whose row it is: of another table it would be paid for in vain. */
function warnOfTarget(report: Report, path: string, target: Target): void {
  report({
    type: "warning",
    message: `Lines of ${path} name no job: they are taken for rows of ${tableName(target)}.`,
    hint: "If they are of another table, cancel the new jobs, and set VECFILL_TABLE or the config file.",
  });
}

type Cutting = Readonly<{ manifest: Manifest; path: string; target: Target; bounds: JobBounds }>;

async function cutLines(
  { manifest, path, target, bounds }: Cutting,
  take: TakeLine,
): Promise<(CutFile & Pick<NewJob, "uncorrected">)[]> {
  const { ratio } = correctionBy(manifest.billed(target), manifest.counted(target));
  const boundsOfNext = () => learnedBounds(bounds, manifest.quota(target.model));
  const cutter = new RequestCutter(boundsOfNext, () => openRequestFile(manifest));
  const cuts: CutFile[] = [];
  const rows = new KeySet();
  try {
    for await (const line of readFailedLines(path)) {
      if (!take(line)) continue;
      checkLine(path, line, target);
      if (!rows.add(rowId(line))) throw doubled(path, rowId(line));
      const full = await cutter.add(rowOf(line, ratio));
      if (full !== undefined) cuts.push(full);
    }
    const last = await cutter.finish();
    const all = last === undefined ? cuts : [...cuts, last];
    return all.map((cut) => ({ ...cut, uncorrected: uncorrected(cut.tokens, ratio) }));
  } catch (error) {
    for (const { job } of cuts) await deleteRequestFiles(manifest.files(job));
    throw error;
  } finally {
    await cutter.abandon();
  }
}

/** The text may have been edited: then it is no longer that of the fingerprint. */
function rowOf(line: FailedLine, ratio: number): CutRow {
  const { text } = line.request.content.parts[0];
  const fingerprint = parseKey(line.key)?.fingerprint ?? "";
  const tokens = estimateTokens(text) * ratio;
  return { line: JSON.stringify(requestOf(line)), fingerprint, text, tokens };
}

/** A job asks for each row once, even where two lines have different texts for it. */
function rowId({ key }: FailedLine): string {
  return parseKey(key)?.id ?? key;
}

async function* linesWithout(path: string, taken: KeySet): AsyncGenerator<FailedLine> {
  for await (const line of readFailedLines(path)) if (!taken.has(line.key)) yield line;
}

async function keysOf(path: string): Promise<KeySet> {
  const keys = new KeySet();
  if (!(await exists(path))) return keys;
  for await (const line of readFailedLines(path)) keys.add(line.key);
  return keys;
}

/**
 * The jobs that the file's lines name. A line that names none belongs to the job whose failed file
 * this is; undefined stands for those that belong to none.
 */
async function readParents(
  path: string,
  own: string | undefined,
): Promise<Set<string | undefined>> {
  const parents = new Set<string | undefined>();
  for await (const line of readFailedLines(path)) parents.add(line.job ?? own);
  return parents;
}

function checkLine(path: string, line: FailedLine, target: Target): void {
  try {
    requireTarget(line, target);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(`The row ${line.key} in ${path} does not fit its column: ${why}.`, {
      hint: "Mend or delete that line and run the same command again; nothing was submitted.",
      exit: "usage",
      cause: error,
    });
  }
}

function doubled(path: string, id: string): UserError {
  return new UserError(`The row ${id} stands twice in ${path}.`, {
    hint: "Delete one of the two lines and run the same command again; nothing was submitted.",
    exit: "usage",
  });
}

function noSuchFile(path: string): UserError {
  return new UserError(`There is no file ${path}.`, {
    hint: "`vecfill jobs` shows which jobs have failed lines; a file is gone once all of them were resubmitted.",
    exit: "usage",
  });
}
