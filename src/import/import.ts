/** The results of a job, from Gemini into the column. */
import { JobBlocked, UserError } from "../errors.ts";
import { findRows, jobsWithoutRows, lacksRows } from "../jobs-folder/found-rows.ts";
import type { Job } from "../manifest/job.ts";
import type { Store } from "../store/port.ts";
import { sameTarget, type Target } from "../row/target.ts";
import { downloadResults, type DownloadServices, fetchBetter } from "./download.ts";
import { importJob, type ImportJobServices } from "./import-job.ts";
import { type Need, needs } from "../manifest/states.ts";

/** `storeOf`: of a target; a job is always written to its own. */
export type ImportServices = DownloadServices &
  Omit<ImportJobServices, "store"> &
  Readonly<{ storeOf: (target: Target) => Promise<Store> }>;

/**
 * Where the work fails, what has ended and is not here yet is fetched first, unless a signal stops it:
 * it is paid for, and not kept at Gemini for ever.
 */
export async function fetchingOnFailure<T>(
  services: DownloadServices,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await downloadEnded(services, [...services.manifest.needing("fetch")]);
    throw error;
  }
}

/** What goes wrong with one is told when it is imported. */
async function downloadEnded(services: DownloadServices, jobs: readonly Job[]): Promise<void> {
  for (const job of jobs) {
    if (services.signal.aborted) return;
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
  if (!(await lacksRows(await manifest.bring(job), job))) return job;
  const unknown = async (need: Need) =>
    (await jobsWithoutRows(manifest, job.target)).filter((each) => needs(each) === need);
  await downloadEnded(services, await unknown("fetch"));
  const isOfTarget = (each: Job) => sameTarget(each.target, job.target);
  await findRows({ store, manifest }, (await unknown("write")).filter(isOfTarget));
  return manifest.job(job.id);
}
