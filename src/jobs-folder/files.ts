/** The jobs folder itself, and what may be swept from it. */
import { MS_PER_HOUR } from "../clock.ts";
import { chmod, mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isUnlockedPart, PART_SUFFIX, syncFolder } from "../disk/durable-file.ts";
import { UserError } from "../errors.ts";
import { errorCode, exists } from "../disk/presence.ts";
import { BATCH_LIFE_HOURS, RESULTS_KEPT_MS } from "./batch-age.ts";

const FOLDER_MODE = 0o700;

/** The name of some job's file; undefined when there is none. */
export async function findJobFile(folder: string): Promise<string | undefined> {
  const names = await readdir(folder);
  return names.find((name) =>
    /^\d{4,}\.(?:requests|copies|rows|results|sync|failed)\.jsonl$/.test(name),
  );
}

/** Makes the folder where there is none. Throws a UserError where it cannot be used. */
export async function prepareFolder(folder: string): Promise<void> {
  try {
    const created = await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
    if (created !== undefined) await chmod(folder, FOLDER_MODE);
  } catch (error) {
    throw new UserError(
      `The jobs folder ${folder} cannot be made: ${await reason(folder, error)}.`,
      {
        hint: "Make it by hand, where this user may write, or name another with --jobs-dir.",
        cause: error,
      },
    );
  }
}

/**
 * Deletes what interrupted writers left: part files, which were never recorded. One that may be of a
 * writer without the lock, such as `verify`, must be too old to be still written. And requests that
 * were set aside, once no results can be had for them any more.
 */
export async function sweepLeft(folder: string, now: Date): Promise<void> {
  for (const name of await readdir(folder)) {
    const keptMs = keptFor(name);
    if (keptMs === undefined) continue;
    const path = join(folder, name);
    if (keptMs > 0 && !(await isOlder(path, keptMs, now))) continue;
    await rm(path, { force: true });
  }
}

/** How long a file of that name is left alone; undefined: for ever. */
function keptFor(name: string): number | undefined {
  if (REQUESTS_ASIDE.test(name)) return RESULTS_HAD_MS;
  if (!name.endsWith(PART_SUFFIX)) return undefined;
  return isUnlockedPart(name) ? UNLOCKED_PART_MAX_AGE_MS : 0;
}

/** Such files are written within seconds. */
const UNLOCKED_PART_MAX_AGE_MS = MS_PER_HOUR;

/** False also where the file has got its own name meanwhile. */
async function isOlder(path: string, ageMs: number, now: Date): Promise<boolean> {
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Infinity }));
  return now.getTime() - mtimeMs > ageMs;
}

const ASIDE = ".unknown";
const MAX_ASIDE = 1_000;

/**
 * Makes way for another file of that name, and keeps this one beside it, dated by this moment. Says
 * under which name.
 */
export async function setAside(path: string): Promise<string> {
  const now = new Date();
  await utimes(path, now, now);
  for (let number = 1; number <= MAX_ASIDE; number += 1) {
    const aside = `${path}${ASIDE}${number === 1 ? "" : `-${number}`}`;
    if (await exists(aside)) continue;
    await rename(path, aside);
    await syncFolder(dirname(path));
    return aside;
  }
  throw new Error(`there are ${MAX_ASIDE} files beside ${path} already`);
}

/** Without a look at the whole folder: the first that makes way has no number. */
export function hasAside(path: string): Promise<boolean> {
  return exists(`${path}${ASIDE}`);
}

/** Files that made way for the one of this name. */
export async function filesAside(path: string): Promise<string[]> {
  const names = await readdir(dirname(path));
  const start = `${basename(path)}${ASIDE}`;
  return names.filter((name) => name.startsWith(start)).map((name) => join(dirname(path), name));
}

const REQUESTS_ASIDE = /^\d{4,}\.(?:requests|copies)\.jsonl\.unknown(?:-\d+)?$/;
/** A batch that was under way has ended by then, and its results are gone. */
const RESULTS_HAD_MS = BATCH_LIFE_HOURS * MS_PER_HOUR + RESULTS_KEPT_MS;

const ANSWERS = /^(?<job>\d{4,})\.(?:results|sync|failed)\.jsonl$/;

/** Jobs of which something stands here that may be paid for, whether a manifest knows them or not. */
export async function answeredJobs(folder: string): Promise<ReadonlySet<string>> {
  const jobs = new Set<string>();
  for (const name of await readdir(folder)) {
    const job = ANSWERS.exec(name)?.groups?.["job"];
    if (job !== undefined) jobs.add(job);
  }
  return jobs;
}

const REQUEST_FILE = /^(?<job>\d{4,})\.(?:requests|copies)\.jsonl$/;

/**
 * Deletes request files whose writer died before the job was recorded, where their number was passed
 * over: nothing will write there again. Higher numbers stay: they are given out again, or belong to
 * jobs that a manifest restored from a backup no longer knows.
 */
export async function sweepUnrecorded(
  folder: string,
  known: ReadonlySet<string>,
  lastJob: number,
): Promise<void> {
  for (const name of await readdir(folder)) {
    const job = REQUEST_FILE.exec(name)?.groups?.["job"];
    if (job === undefined || known.has(job) || Number(job) > lastJob) continue;
    await rm(join(folder, name), { force: true });
  }
}

const REASONS: Readonly<Record<string, string | undefined>> = {
  EEXIST: "a file stands where a folder should be",
  ENOTDIR: "a file stands where a folder should be",
  EROFS: "the file system is read-only",
  EACCES: "this user may not write there",
  EPERM: "this user may not write there",
  ENOSPC: "the disk is full",
};

/** Making a folder with its parents fails with ENOENT on a disk that is read-only; without them, it says so. */
async function reason(folder: string, error: unknown): Promise<string> {
  const plain = await mkdir(folder).catch((failure: unknown) => failure);
  const known = REASONS[errorCode(error)] ?? REASONS[errorCode(plain)];
  return known ?? (error instanceof Error ? error.message : String(error));
}
