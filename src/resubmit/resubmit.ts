/**
 * Resubmit: failed lines become new jobs, those of many jobs few. The lines taken leave their failed
 * files in the same step of the journal that makes the new jobs known, so a row is never in both and
 * never in neither.
 */
import { resolve } from "node:path";
import { UserError, usageError } from "../errors.ts";
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
import { hasTextKeys, type Job, type NewJob } from "../manifest/job.ts";
import type { Manifest, Parent } from "../manifest/manifest.ts";
import { learnedBounds } from "../quota/learned-bounds.ts";
import { deleteRequestFiles, openRequestFile } from "../jobs-folder/request-file.ts";
import { readTakenIds } from "../jobs-folder/taken-rows.ts";
import { checkVectorSpace } from "../gates/vector-space.ts";
import { KeySet } from "../row/key-table.ts";
import { fingerprintOf, parseKey, rowIdOf } from "../row/question.ts";
import type { Report } from "../progress.ts";
import { requireTarget } from "../row/request-line.ts";
import { tableName, type Target } from "../row/target.ts";
import { estimateTokens } from "../row/tokens.ts";
import { type Pool, Pools } from "./pool.ts";

export type ResubmitServices = Readonly<{
  manifest: Manifest;
  report: Report;
  /** Throws where the table takes no vectors, whatever the row. */
  tryTable?: (target: Target) => Promise<void>;
  /** Writes those of the lines whose vectors are at hand, and tells for which nobody need pay again. */
  writePaid?: (job: Job, lines: () => AsyncIterable<FailedLine>) => Promise<PaidFor>;
  /** Told of each line that goes into a new job, and of the job it failed in. */
  onTaken?: (line: FailedLine, job: Job) => void;
}>;

type PaidFor = Readonly<{ has(key: string): boolean }>;

/** Which of a job's failed lines are taken. */
export type TakeLine = (line: FailedLine) => boolean;

export const everyLine: TakeLine = () => true;

/** What `run` sends again by itself: what may succeed. */
export const retryableLine: TakeLine = (line) => line.error?.class === "retryable";

/**
 * New jobs from the lines that wait in the jobs' own failed files, where nobody deleted them. Lines of
 * another job that were pasted into one wait in that job's file too, and are left out.
 */
export async function resubmitJobs(
  services: ResubmitServices,
  jobs: readonly Job[],
  bounds: JobBounds,
  take: TakeLine,
): Promise<readonly Job[]> {
  const made: Job[] = [];
  for (const pool of new Pools(jobs).take()) {
    const given = () => ownLines(services.manifest, pool, take);
    made.push(...(await resubmitPool(services, pool, bounds, given)));
  }
  return made;
}

/**
 * New jobs from a file of failed lines, perhaps edited by hand. A line that names its job is taken
 * only while it waits in that job's failed file, so that no row is sent twice. `target`: of the others; undefined: it
 * may be one of several.
 */
export async function resubmitFile(
  services: ResubmitServices,
  path: string,
  bounds: JobBounds,
  target: Target | undefined,
): Promise<readonly Job[]> {
  if (!(await exists(path))) throw noSuchFile(path);
  const own = services.manifest
    .jobs()
    .find((job) => resolve(services.manifest.files(job.id).failed) === resolve(path));
  // what stands there is fetched anew, and what was edited would be lost
  if (own !== undefined && services.manifest.isShared) throw inScratch(path);
  const parents = [...(await readParents(path, own?.id))];
  const hasOthers = parents.includes(undefined);
  if (hasOthers && target === undefined) throw ofNoTarget(path);
  const jobs = parents.filter((id) => id !== undefined).map((id) => services.manifest.job(id));
  const made: Job[] = [];
  for (const pool of new Pools(jobs).take()) {
    const given = () => givenLines(path, own?.id, (parent = "") => pool.jobs.has(parent));
    made.push(...(await resubmitPool(services, pool, bounds, given)));
  }
  if (!hasOthers || target === undefined) return made;
  const given = givenLines(path, own?.id, (parent) => parent === undefined);
  return [...made, ...(await exportLines(services, path, given, { target, bounds }))];
}

/** For a dry run: lines of a file that is no job's own. Fewer may be taken, where rows are on their way. */
export async function countLines(path: string): Promise<number> {
  if (!(await exists(path))) throw noSuchFile(path);
  let lines = 0;
  for await (const _ of readFailedLines(path)) lines += 1;
  return lines;
}

/** A line, where it stands, and the job in whose failed file it waits, if in any. */
type Given = Readonly<{ path: string; line: FailedLine; parent: string | undefined }>;

/** Where two texts of a row wait in two jobs, they go in two turns: no job asks for both. */
async function resubmitPool(
  services: ResubmitServices,
  pool: Pool,
  bounds: JobBounds,
  given: () => AsyncIterable<Given>,
): Promise<readonly Job[]> {
  checkVectorSpace(services.manifest.jobs(), pool.first.target);
  const isPaid = await writtenOf(services, pool, given);
  const made: Job[] = [];
  for (;;) {
    const unpaid = only(given(), (line) => !isPaid(line));
    const more = await resubmitLines(services, pool, bounds, unpaid);
    if (more.length === 0) return made;
    made.push(...more);
  }
}

/** Which of the lines nobody need pay for again: their vectors were at hand, and were offered to the table. */
async function writtenOf(
  { writePaid }: ResubmitServices,
  { jobs }: Pool,
  given: () => AsyncIterable<Given>,
): Promise<(line: Given) => boolean> {
  const paid = new Map<string | undefined, PaidFor | undefined>();
  for (const job of jobs.values()) {
    paid.set(job.id, await writePaid?.(job, () => linesOfJob(given(), job.id)));
  }
  return ({ parent, line }) => paid.get(parent)?.has(line.key) === true;
}

async function* linesOfJob(given: AsyncIterable<Given>, job: string): AsyncGenerator<FailedLine> {
  for await (const { parent, line } of given) if (parent === job) yield line;
}

async function resubmitLines(
  { manifest, report, tryTable, onTaken }: ResubmitServices,
  { first: { target }, jobs }: Pool,
  bounds: JobBounds,
  given: AsyncIterable<Given>,
): Promise<readonly Job[]> {
  const inHand = [...jobs.keys()].map((id) => manifest.job(id));
  const waiting = await placesIn(manifest, jobs.keys());
  const taken = new KeySet();
  let attempt = 1;
  const wanted = only(given, ({ parent, line }) => waiting.has(lineKey(parent, line)));
  const tried = after(wanted, async () => tryTable?.(target));
  const cuts = await cutLines(manifest, tried, { target, bounds }, ({ parent, line }) => {
    taken.add(lineKey(parent, line));
    attempt = Math.max(attempt, line.attempt + 1);
    const job = jobs.get(parent ?? "");
    if (job !== undefined) onTaken?.(line, job);
  });
  const left = await prepareFailedFiles(manifest, inHand, cuts, taken);
  const [first, ...others] = left;
  if (first === undefined) return [];
  const digest = [...jobs.values()].every(hasTextKeys) ? "sha256" : undefined;
  const children = cuts.map((cut) => ({ ...cut, target, attempt, digest }) as const);
  const made = await manifest.recordResubmitted(children, [first, ...others]);
  for (const { job, ...prepared } of left) await takeReplacement(manifest.files(job.id), prepared);
  const into = made.map((job) => job.id);
  const from = left.map(({ job }) => job.id);
  report({ type: "resubmitted", job: first.job.id, jobs: from, into, requests: taken.size });
  return made;
}

/** What is to stay of each failed file from which lines were taken, beside it. */
async function prepareFailedFiles(
  manifest: Manifest,
  inHand: readonly Job[],
  cuts: readonly Cut[],
  taken: KeySet,
): Promise<Parent[]> {
  const firstChild = new Map<string, string>();
  for (const { job, parents } of cuts) {
    for (const parent of parents) firstChild.set(parent, firstChild.get(parent) ?? job);
  }
  const left: Parent[] = [];
  for (const job of inHand) {
    const child = firstChild.get(job.id);
    if (child === undefined) continue;
    const files = await manifest.bring(job);
    const staying = linesWithout(files.failed, job.id, taken);
    left.push({ job, ...(await prepareReplacement(files, staying, child)) });
  }
  return left;
}

/** Lines written by hand, without a job they came from: recorded as an export is, and as guarded. */
async function exportLines(
  { manifest, report, tryTable }: ResubmitServices,
  path: string,
  given: AsyncIterable<Given>,
  sizing: Sizing,
): Promise<Job[]> {
  const { target } = sizing;
  checkVectorSpace(manifest.jobs(), target);
  await tryTable?.(target);
  // before what is taken is read: whoever selects rows meanwhile may have these
  const selections = manifest.selections(target);
  // by id: the key of such a line may be an earlier version's
  const taken = await readTakenIds(manifest, target);
  const isFree = ({ line }: Given) => !taken.has(rowIdOf(line.key));
  const cuts = await cutLines(manifest, only(given, isFree), sizing);
  if (cuts.length > 0) warnOfTarget(report, path, target);
  const made: Job[] = [];
  for (const cut of cuts) {
    const isAlone = () => manifest.selections(target) === selections + made.length;
    made.push(await manifest.recordExported({ ...cut, target, attempt: 1 }, isAlone));
  }
  return made;
}

function ofNoTarget(path: string): UserError {
  return usageError(
    `Lines of ${path} name no job, and the config file has several targets.`,
    "Say whose rows they are, with --target and its name.",
  );
}

/** Nothing in such a line says whose row it is: of another table it would be paid for in vain. */
function warnOfTarget(report: Report, path: string, target: Target): void {
  report({
    type: "warning",
    message: `Lines of ${path} name no job: they are taken for rows of ${tableName(target)}.`,
    hint: "If they are of another table, cancel the new jobs, and set VECFILL_TABLE or the config file.",
  });
}

type Sizing = Readonly<{ target: Target; bounds: JobBounds }>;
type Cut = Omit<NewJob, "target" | "attempt" | "digest">;

/** `taken` is told of each line that went into a file. */
async function cutLines(
  manifest: Manifest,
  given: AsyncIterable<Given>,
  { target, bounds }: Sizing,
  taken: (line: Given) => void = () => {},
): Promise<Cut[]> {
  const { ratio } = correctionBy(manifest.billed(target), manifest.counted(target));
  const boundsOfNext = () => learnedBounds(bounds, manifest.quotas(target.model));
  const cutter = new RequestCutter(boundsOfNext, () => openRequestFile(manifest));
  const cuts: Cut[] = [];
  const parents = new Set<string>();
  const finished = (cut: CutFile | undefined) => {
    if (cut === undefined) return;
    cuts.push({ ...cut, parents: [...parents], uncorrected: uncorrected(cut.tokens, ratio) });
    parents.clear();
  };
  const rows = new KeySet();
  const rowsOfParents = new KeySet();
  try {
    for await (const each of given) {
      const { path, line, parent } = each;
      checkLine(path, line, target);
      if (!rowsOfParents.add(`${parent} ${rowIdOf(line.key)}`))
        throw doubled(path, rowIdOf(line.key));
      if (!rows.add(rowIdOf(line.key))) continue;
      finished(await cutter.add(rowOf(line, ratio)));
      if (parent !== undefined) parents.add(parent);
      taken(each);
    }
    finished(await cutter.finish());
    return cuts;
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
  const digest = fingerprintOf(text);
  return { line: JSON.stringify(requestOf(line)), fingerprint, digest, tokens };
}

async function* ownLines(
  manifest: Manifest,
  { jobs }: Pool,
  take: TakeLine,
): AsyncGenerator<Given> {
  for (const id of jobs.keys()) {
    const { failed } = await manifest.bring(manifest.job(id));
    const lines = givenLines(failed, id, (parent) => parent === id);
    yield* only(lines, ({ line }) => take(line));
  }
}

/** None where the file is gone. `own`: the job whose failed file this is. */
async function* givenLines(
  path: string,
  own: string | undefined,
  isOf: (parent: string | undefined) => boolean,
): AsyncGenerator<Given> {
  if (!(await exists(path))) return;
  for await (const line of readFailedLines(path)) {
    const parent = line.job ?? own;
    if (isOf(parent)) yield { path, line, parent };
  }
}

async function* only(
  given: AsyncIterable<Given>,
  holds: (line: Given) => boolean,
): AsyncGenerator<Given> {
  for await (const each of given) if (holds(each)) yield each;
}

/** Where there is any, not before that is done. */
async function* after(
  given: AsyncIterable<Given>,
  done: () => Promise<void>,
): AsyncGenerator<Given> {
  let isDone = false;
  for await (const each of given) {
    if (!isDone) await done();
    isDone = true;
    yield each;
  }
}

/** Which line of which failed file: another text of the row may wait in another one. */
function lineKey(job: string | undefined, { key }: FailedLine): string {
  return `${job} ${key}`;
}

async function placesIn(manifest: Manifest, jobs: Iterable<string>): Promise<KeySet> {
  const places = new KeySet();
  for (const job of jobs) {
    const { failed } = await manifest.bring(manifest.job(job));
    if (!(await exists(failed))) continue;
    for await (const line of readFailedLines(failed)) places.add(lineKey(job, line));
  }
  return places;
}

async function* linesWithout(path: string, job: string, taken: KeySet): AsyncGenerator<FailedLine> {
  for await (const line of readFailedLines(path)) if (!taken.has(lineKey(job, line))) yield line;
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
  return usageError(
    `The row ${id} stands twice in ${path}.`,
    "Delete one of the two lines and run the same command again; nothing was submitted.",
  );
}

function inScratch(path: string): UserError {
  return usageError(
    `${path} is a copy of what the shared manifest has, and is fetched from there each time.`,
    "`vecfill resubmit` without a file sends it as it is. To edit it, copy it to another place, and name that file.",
  );
}

function noSuchFile(path: string): UserError {
  return usageError(
    `There is no file ${path}.`,
    "`vecfill jobs` shows which jobs have failed lines; a file is gone once all of them were resubmitted.",
  );
}
