/** Import: downloads what has ended and writes it into the column, job by job. */
import { JobBlocked, UserError } from "../errors.ts";
import { findRows, jobsWithoutRows, lacksRows } from "../jobs-folder/found-rows.ts";
import { copiesOf, type Job } from "../manifest/job.ts";
import type { Store } from "../store/port.ts";
import { addSums, NO_ROWS, type Sums } from "../row/sums.ts";
import { sameTarget, type Target } from "../row/target.ts";
import { downloadResults, type DownloadServices, fetchBetter } from "./download.ts";
import { importJob, type ImportJobServices } from "./import-job.ts";
import { type IndexSummary, NO_INDEXES } from "./index-keeper.ts";
import { isBack, isImported, needs } from "../manifest/states.ts";

/** `storeOf`: of a target; a job is always written to its own. */
export type ImportServices = DownloadServices &
  Omit<ImportJobServices, "store"> &
  Readonly<{ storeOf: (target: Target) => Promise<Store> }>;

export type ImportSummary = Sums &
  Readonly<{
    imported: readonly string[];
    /** Of the requests, rows that were embedded with another row of the same text. */
    copies: number;
    /** Files that hold this import's failed lines, also those of jobs whose results were gone. */
    failedFiles: readonly string[];
    indexes: IndexSummary;
  }>;

/** With an index keeper, the indexes stand again at its end, also where there was nothing to import. */
export async function importAll(
  services: ImportServices,
  takes: (job: Job) => boolean = () => true,
): Promise<ImportSummary> {
  const work = () => fetchingFirst(services, () => importJobs(services, takes));
  const { blocked, ...summary } = await (services.indexes?.around(work, () => true) ?? work());
  if (blocked !== undefined) throw blocked;
  return { ...summary, indexes: services.indexes?.summary ?? NO_INDEXES };
}

type ImportedJobs = Omit<ImportSummary, "indexes"> & Readonly<{ blocked: JobBlocked | undefined }>;

async function importJobs(
  services: ImportServices,
  takes: (job: Job) => boolean,
): Promise<ImportedJobs> {
  const { manifest, signal } = services;
  let sums = NO_ROWS;
  const ended: Job[] = [];
  let blocked: JobBlocked | undefined;
  for (const { id } of manifest.jobs().filter((each) => isBack(each) && takes(each))) {
    if (signal.aborted) break;
    try {
      // it may have been fetched with another one
      const job = manifest.job(id);
      const done = isBack(job) ? await importResults(services, job) : job;
      if (done === undefined) break;
      sums = addSums(sums, done.sums ?? NO_ROWS);
      ended.push(done);
    } catch (error) {
      // said once the others are in the column, and the indexes stand again
      if (!(error instanceof JobBlocked)) throw error;
      blocked ??= error;
    }
  }
  const imported = ended.filter(isImported);
  const failedFiles = ended
    .filter((job) => job.failedFile !== undefined)
    .map((job) => manifest.files(job.id).failed);
  const ids = imported.map((job) => job.id);
  return { ...sums, imported: ids, copies: copiesOf(ended), failedFiles, blocked };
}

/**
 * Where the work fails, what has ended and is not here yet is fetched first, unless a signal stops it:
 * it is paid for, and not kept at Gemini for ever.
 */
export async function fetchingFirst<T>(
  services: DownloadServices,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await downloadEnded(services);
    throw error;
  }
}

/** What goes wrong with one is told when it is imported. */
async function downloadEnded(services: DownloadServices): Promise<void> {
  const { manifest, signal } = services;
  for (const job of manifest.needing("fetch")) {
    if (signal.aborted) return;
    try {
      await downloadResults(services, job);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      // where Gemini is away, the next would wait as long for nothing
      if (!(error instanceof JobBlocked)) return;
    }
  }
}

/** The job once imported, or failed when its results are gone; undefined when interrupted. */
export async function importResults(services: ImportServices, job: Job): Promise<Job | undefined> {
  const { job: downloaded, scanned, isAll = false } = await downloadResults(services, job);
  if (needs(downloaded) !== "write") return downloaded;
  const store = await services.storeOf(downloaded.target);
  const known = await withRows(services, store, downloaded);
  const better: ImportJobServices["fetchBetter"] = (...given) => fetchBetter(services, ...given);
  const all = isAll ? { ...services, store } : { ...services, store, fetchBetter: better };
  return importJob(all, known, known === downloaded ? scanned : undefined);
}

/** Where there is no request file, its rows are found; with those of others, for one reading of the table. */
async function withRows(services: ImportServices, store: Store, job: Job): Promise<Job> {
  const { manifest } = services;
  if (!(await lacksRows(manifest.files(job.id), job))) return job;
  await downloadEnded(services);
  const jobs = await jobsWithoutRows(manifest, job.target);
  const isReady = (each: Job) => needs(each) === "write" && sameTarget(each.target, job.target);
  await findRows({ store, manifest }, jobs.filter(isReady));
  return manifest.job(job.id);
}
