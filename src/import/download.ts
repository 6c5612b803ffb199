import { missingKeyHint, withKeyOf } from "../gates/keys.ts";
import { seesProjectOf } from "../gates/markers.ts";
import type { StageServices } from "../jobs-folder/stage-services.ts";
import { explain } from "../words/explain.ts";
import { GeminiError, isOutage, type ResultsOptions } from "../gemini/port.ts";
import type { FileDigest } from "../disk/durable-file.ts";
import { ANY_PREFIX } from "../jobs-folder/batch-names.ts";
import { batchAgeMs, RESULTS_KEPT_MS } from "../jobs-folder/batch-age.ts";
import { lacksRows } from "../jobs-folder/found-rows.ts";
import { recordDeadBatch } from "../jobs-folder/dead-batch.ts";
import { type Job, linesOf } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { isImported } from "../manifest/states.ts";
import type { JobFiles } from "../manifest/file-names.ts";
import { exists } from "../disk/presence.ts";
import { hasResults } from "../jobs-folder/results-file.ts";
import {
  doubtfulSince,
  dropIncoming,
  keepDoubtful,
  takeIncoming,
} from "../jobs-folder/incoming-results.ts";
import { JobBlocked, UserError } from "../errors.ts";
import { doubted } from "./doubted.ts";
import { knownRows, scanJob } from "./import-job.ts";
import { ResultsScan, type ScannedResults, unansweredRows } from "./scan.ts";

export type DownloadServices = StageServices &
  Readonly<{
    /** Over so long the same file must come before it counts, where it has fewer lines than Gemini counts. */
    resultsGraceMs: number;
  }>;

/** `scanned` where the file was read for it; `isAll` where it came by each way, and is all that Gemini has. */
export type DownloadedJob = Readonly<{
  job: Job;
  scanned?: ScannedResults;
  isAll?: boolean | undefined;
}>;

/**
 * Makes sure that the job's results file is whole on disk. The job comes back `downloaded`, or
 * `failed` when the service no longer has its results. Throws ResultsDoubted where what comes does not
 * prove to be them.
 */
export async function downloadResults(
  services: DownloadServices,
  job: Job,
): Promise<DownloadedJob> {
  const { manifest } = services;
  const files = await manifest.bring(job);
  const here = await foundHere(files, job);
  if (here !== undefined) return here;
  if (job.lane === "sync") throw new JobBlocked(job.id, lostForGood(files.results, job));
  const its = withKeyOf(services, job);
  try {
    const fetched = await fetchBelieved(its, job);
    const { scanned, isAll } = fetched;
    return { job: await take(services, job, fetched), scanned, isAll };
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error;
    if (await isGoneForGood(its, job, error))
      return { job: await recordGone(services, job, error) };
    throw notFetched(its, job, { error, doing: `downloading the results of job ${job.id}` });
  }
}

/** Read once, for its checksum and its lines. */
async function foundHere(files: JobFiles, job: Job): Promise<DownloadedJob | undefined> {
  if (job.resultsFile === undefined || !(await exists(files.results))) return undefined;
  if (await lacksRows(files, job)) return (await hasResults(files, job)) ? { job } : undefined;
  const scanned = await scanJob(files, job);
  return scanned.sha256 === job.resultsFile.sha256 ? { job, scanned } : undefined;
}

/**
 * The file at hand has no line that can be used for these rows. It is fetched once more, by the other
 * route first: what garbled it on its way, or took from it, may not do so again. The job comes back where
 * the file that came answers more rows, and all that were answered before: that is its results file now.
 * Undefined where nothing better is to be had.
 */
export async function fetchBetter(
  given: DownloadServices,
  job: Job,
  unanswered: readonly number[],
): Promise<Job | undefined> {
  const { manifest, clock } = given;
  const files = await manifest.bring(job);
  return unlessGone(given, job, async (services) => {
    for (const way of WAYS_AGAIN) {
      const fetched = await fetchOnce(services, job, way);
      const isSame = fetched.file.sha256 === job.resultsFile?.sha256;
      if (isSame) return dropIncoming(files);
      if (await isBetter(services, job, fetched, unanswered)) return take(services, job, fetched);
      await keepDoubtful(files, fetched.file, clock.now());
    }
    return undefined;
  });
}

/**
 * The results of an imported job as Gemini has them, at no cost: in the place of a file that is not there
 * any more or was changed, or of one that answers fewer rows. Undefined where Gemini has none.
 */
export async function refetchResults(given: DownloadServices, job: Job): Promise<Job | undefined> {
  const files = await given.manifest.bring(job);
  return unlessGone(given, job, async (services) => {
    if (!(await hasResults(files, job))) {
      return take(services, job, await fetchBelieved(services, job));
    }
    const { rows } = await scanJob(files, job);
    const better = await fetchBetter(services, job, await unansweredRows(files.results, rows));
    return better ?? job;
  });
}

async function unlessGone<T>(
  given: DownloadServices,
  job: Job,
  fetch: (services: DownloadServices) => Promise<T>,
): Promise<T | undefined> {
  if (!mayBeAtGemini(job, given.clock.now())) return undefined;
  const services = withKeyOf(given, job);
  try {
    return await fetch(services);
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error;
    if (error.kind === "notFound" && job.keyId === services.keyId) return undefined;
    const doing = `fetching the results of job ${job.id} again`;
    throw notFetched(services, job, { error, doing });
  }
}

/** Unless Gemini is away, it stands against this job alone. */
function notFetched(
  { keyId }: DownloadServices,
  job: Job,
  { error, doing }: Readonly<{ error: GeminiError; doing: string }>,
): UserError {
  const failure = explain(error, doing);
  const { message, exit } = failure;
  const isHidden = error.kind === "notFound" && job.keyId !== keyId;
  const told = isHidden ? new UserError(message, { hint: missingKeyHint(job), exit }) : failure;
  return isOutage(error) ? failure : new JobBlocked(job.id, told);
}

/** What was embedded at once never was; without its requests nobody could tell whose results these are. */
function mayBeAtGemini(job: Job, now: Date): boolean {
  const isOfBatch = job.lane === "batch" && job.resultsName !== undefined;
  return isOfBatch && !job.cleaned.includes("requests") && batchAgeMs(job, now) <= RESULTS_KEPT_MS;
}

/** How a file is fetched again: a cache between may have another one, or a part of it. */
const WAYS_AGAIN: readonly ResultsOptions[] = [{ route: "other", noCache: true }, {}];
const PAUSE_MS = 1_000;

type Fetched = Readonly<{ file: FileDigest; scanned: ScannedResults; isAll?: boolean }>;

/** What is not believed is kept aside. */
async function fetchBelieved(services: DownloadServices, job: Job): Promise<Fetched> {
  const { manifest, clock, signal } = services;
  const files = manifest.files(job.id);
  let fetched = await fetchOnce(services, job, {});
  const seen = new Set([fetched.file.sha256]);
  for (const way of WAYS_AGAIN) {
    if (await isWhole(services, job, fetched)) return fetched;
    await keepDoubtful(files, fetched.file, clock.now());
    await clock.sleep(PAUSE_MS, signal);
    fetched = await fetchOnce(services, job, way);
    seen.add(fetched.file.sha256);
  }
  if (await isWhole(services, job, fetched)) return fetched;
  if (seen.size === 1 && (await isAllThereIs(services, job, fetched))) {
    return { ...fetched, isAll: true };
  }
  await keepDoubtful(files, fetched.file, clock.now());
  throw await doubted(files, job, fetched.scanned.summary);
}

async function fetchOnce(
  { gemini, manifest, report, signal }: DownloadServices,
  job: Job,
  way: ResultsOptions,
): Promise<Fetched> {
  if (job.resultsName === undefined) throw new Error(`job ${job.id} has no results to download`);
  const files = manifest.files(job.id);
  const onBytes = (bytes: number) => report({ type: "downloading", job: job.id, bytes });
  const rows = await knownRows(files, job);
  const scan = rows && new ResultsScan(rows);
  const options = { ...way, onBytes, reader: scan, signal };
  const { file } = await gemini.downloadResults(job.resultsName, files.incoming, options);
  const summary = await scan?.end(files.incoming);
  // where nothing was shown, the file itself is looked at
  return scan !== undefined && summary !== undefined && summary.lines > 0
    ? { file, scanned: { rows: scan.rows, summary, sha256: file.sha256 } }
    : { file, scanned: await scanJob(files, job, files.incoming) };
}

async function take({ manifest, report }: DownloadServices, job: Job, { file }: Fetched) {
  await takeIncoming(manifest.files(job.id), file);
  if (isImported(job)) await recordOther(manifest, job, file);
  else await manifest.record({ type: "downloaded", job: job.id, file }, job);
  report({ type: "downloaded", job: job.id, bytes: file.bytes });
  return manifest.job(job.id);
}

/** Its rows have their outcomes; what this file answers now is another step. */
async function recordOther(manifest: Manifest, job: Job, results: FileDigest): Promise<void> {
  if (results.sha256 === job.resultsFile?.sha256) return;
  const { outstanding, failedFile } = job;
  await manifest.recordResubmitted([], [{ job, outstanding, failedFile, results }]);
}

/** It answers more rows, and none that was answered before is not. */
async function isBetter(
  services: DownloadServices,
  job: Job,
  fetched: Fetched,
  before: readonly number[],
): Promise<boolean> {
  if (!(await isWhole(services, job, fetched))) return false;
  const { incoming } = services.manifest.files(job.id);
  const still = await unansweredRows(incoming, fetched.scanned.rows);
  const were = new Set(before);
  return still.length < before.length && still.every((ordinal) => were.has(ordinal));
}

/**
 * As many rows of the job as the batch itself counts, for which its own word is asked only where it is
 * not all of them. A line that cannot be read may be any row's.
 */
async function isWhole(
  { gemini, manifest, signal }: DownloadServices,
  job: Job,
  { file, scanned: { summary } }: Fetched,
): Promise<boolean> {
  if (job.resultsFile?.sha256 === file.sha256) return true;
  if (summary.answered === 0) return false;
  const found = summary.answered + summary.unreadable;
  // where the file itself tells which rows there are, it is no proof of them
  const isKnown = !(await lacksRows(manifest.files(job.id), job));
  if (isKnown && found >= linesOf(job)) return true;
  const counts =
    job.batch === undefined ? undefined : (await gemini.getBatch(job.batch, signal))?.counts;
  const counted = (counts?.successful ?? 0) + (counts?.failed ?? 0);
  return found >= (counted || linesOf(job));
}

/** For a file that came each time, by both routes: long enough, and told by nobody to be another one. */
async function isAllThereIs(
  { gemini, manifest, clock, resultsGraceMs, signal }: DownloadServices,
  { id, resultsName = "" }: Job,
  { file, scanned }: Fetched,
): Promise<boolean> {
  if (scanned.summary.answered === 0) return false;
  const sinceMs = await doubtfulSince(manifest.files(id), file, clock.now());
  if (clock.now().getTime() - sinceMs < resultsGraceMs) return false;
  return !(await gemini.isOtherFile(resultsName, file, signal));
}

/** What was embedded at once is kept nowhere else: to pay for it again is a person's decision. */
function lostForGood(path: string, { id }: Job): UserError {
  return new UserError(
    `The results file ${path} is missing or has been changed, and Gemini keeps no copy of what it embedded at once.`,
    {
      hint: `Restore it from a backup, or give the job up with \`vecfill cancel ${id} --give-up\`: its rows are exported and paid for again.`,
    },
  );
}

/**
 * Giving results up pays for every row again. One refusal is not enough: a project may be denied for
 * an hour, a file not be visible yet. Only a key of its project counts, and the batch itself
 * must be gone too, or be older than results are kept.
 */
async function isGoneForGood(
  services: DownloadServices,
  job: Job,
  error: GeminiError,
): Promise<boolean> {
  const { gemini, clock, keyId, signal } = services;
  if (error.kind !== "notFound" || job.batch === undefined) return false;
  const batch = await gemini.getBatch(job.batch, signal);
  if (batch?.resultsFile !== undefined) return batchAgeMs(job, clock.now()) > RESULTS_KEPT_MS;
  if (batch !== undefined || job.keyId === keyId) return true;
  return seesProjectOf(services, job.keyId, await gemini.findBatches(ANY_PREFIX, signal));
}

async function recordGone(
  { manifest, report }: DownloadServices,
  job: Job,
  error: GeminiError,
): Promise<Job> {
  const message = `the results are no longer at Gemini: ${error.message}`;
  const ended = await recordDeadBatch(manifest, job, "failed", { message });
  report({ type: "ended", job: job.id, state: ended.state, message });
  return ended;
}
