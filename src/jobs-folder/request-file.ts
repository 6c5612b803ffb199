/**
 * `<job>.requests.jsonl`, what is sent, and `<job>.copies.jsonl`, rows whose text stands there already,
 * as whole request lines too. Both are written before the job is recorded, and checked before they are
 * used. Whoever asks for the rows of a job gets them from the one and then from the other.
 *
 * What stands there before a job is recorded is of an export that died, or of a job that the manifest
 * forgot when a backup was put over it; nothing tells which. Its number is given out again all the
 * same: the export then mostly makes the same requests, and by number and requests finds the batch that
 * is under way with them. Other requests make way and are kept for a while: without them nobody could
 * match that batch's results to rows, should the later manifest be put back.
 */
import type { JobFiles } from "../manifest/file-names.ts";
import { exists, sizeOf } from "../disk/presence.ts";
import { rm } from "node:fs/promises";
import { createDurableFile, type DurableFile, hashFile } from "../disk/durable-file.ts";
import { UserError } from "../errors.ts";
import type { FailedLine, Failure } from "../row/failed-line.ts";
import { readLines } from "../disk/jsonl.ts";
import { parseRequestLine } from "../row/request-line.ts";
import { readResultKey } from "../row/result-line/result-line.ts";
import { filesAside, hasAside, setAside } from "./files.ts";
import type { Copies, FileRecord, Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { needs } from "../manifest/states.ts";

type RequestFiles = Readonly<{ file: FileRecord; copies: Copies | undefined }>;

export type RequestFileWriter = {
  /** `line`: JSON in UTF-8 with its newline; the memory may be used again at once. */
  add(line: Uint8Array): Promise<void>;
  /** The line of a row whose text has been added. */
  addCopy(line: Uint8Array): Promise<void>;
  /** Durable and in their places once this resolves. */
  commit(): Promise<RequestFiles>;
  abandon(): Promise<void>;
};

/** Starts the request file of a job that is not known yet. */
export async function openRequestFile(
  manifest: Pick<Manifest, "reserveJobId" | "files">,
): Promise<{ job: string; writer: RequestFileWriter }> {
  const job = await manifest.reserveJobId();
  const files = manifest.files(job);
  return { job, writer: new RequestWriter(files, await createDurableFile(files.requests)) };
}

/** The copies' file is begun with the first of them. */
class RequestWriter implements RequestFileWriter {
  readonly #files: JobFiles;
  readonly #requests: DurableFile;
  #copies: Promise<DurableFile> | undefined;
  #rows = 0;

  constructor(files: JobFiles, requests: DurableFile) {
    this.#files = files;
    this.#requests = requests;
  }

  add(line: Uint8Array): Promise<void> {
    return this.#requests.write(line);
  }

  async addCopy(line: Uint8Array): Promise<void> {
    const own = Buffer.from(line);
    this.#rows += 1;
    this.#copies ??= createDurableFile(this.#files.copies);
    await (await this.#copies).write(own);
  }

  /** The copies first: a request file in its place has its copies. */
  async commit(): Promise<RequestFiles> {
    await makeWay(this.#files.requests);
    await makeWay(this.#files.copies);
    const copies = await this.#commitCopies();
    const file = await this.#requests.commit();
    await dropSame(this.#files.requests, file);
    await dropSame(this.#files.copies, copies?.file);
    return { copies, file };
  }

  async abandon(): Promise<void> {
    // one that could not be begun has been told of
    const copies = await this.#copies?.catch(() => undefined);
    try {
      await copies?.abandon();
    } finally {
      await this.#requests.abandon();
    }
  }

  async #commitCopies(): Promise<Copies | undefined> {
    if (this.#copies === undefined) return undefined;
    const copies = await this.#copies;
    return { rows: this.#rows, file: await copies.commit() };
  }
}

async function makeWay(path: string): Promise<void> {
  if (await exists(path)) await setAside(path);
}

/** What made way, for this writer or for one that died, and is no other than what is there now. */
async function dropSame(path: string, record: FileRecord | undefined): Promise<void> {
  if (record === undefined || !(await hasAside(path))) return;
  for (const aside of await filesAside(path)) {
    if (await isFile(aside, record)) await rm(aside, { force: true });
  }
}

async function isFile(path: string, { bytes, sha256 }: FileRecord): Promise<boolean> {
  return (await sizeOf(path)) === bytes && (await hashFile(path)).sha256 === sha256;
}

/** Takes back the files of a job that was not recorded. */
export async function deleteRequestFiles({ requests, copies }: JobFiles): Promise<void> {
  await rm(requests, { force: true });
  await rm(copies, { force: true });
}

/** Throws a UserError when a file is missing or is not the one that was recorded. */
export async function checkRequestFile(files: JobFiles, job: Job): Promise<void> {
  if (job.rowsFile !== undefined) return checkFile("file", files.rows, job.rowsFile, job);
  await checkFile("request file", files.requests, job.requestFile, job);
  if (job.copies !== undefined) await checkFile("file", files.copies, job.copies.file, job);
}

async function checkFile(what: string, path: string, record: FileRecord, job: Job): Promise<void> {
  const isThere = await exists(path);
  if (isThere && (await hashFile(path)).sha256 === record.sha256) return;
  const wrong = isThere ? "has been changed" : "is missing";
  throw unusable(`${what} ${path} of job ${job.id} ${wrong}`, job, await recorded(path, record));
}

/** The file that was recorded, where another took its place. */
async function recorded(path: string, record: FileRecord): Promise<string | undefined> {
  for (const aside of await filesAside(path)) if (await isFile(aside, record)) return aside;
  return undefined;
}

/** The keys of the rows, in arrays: those that are sent, in the file's order, then the copies. */
export async function* readRequestKeys(files: JobFiles, job: Job): AsyncGenerator<string[]> {
  for (const path of pathsOf(files, job)) yield* readKeys(path);
}

async function* readKeys(path: string): AsyncGenerator<string[]> {
  for await (const lines of readLines(path)) {
    const keys: string[] = [];
    for (const { bytes } of lines) {
      const key = bytes === undefined ? undefined : readResultKey(bytes);
      if (key !== undefined) keys.push(key);
    }
    yield keys;
  }
}

function pathsOf(files: JobFiles, { copies, rowsFile }: Job): readonly string[] {
  if (rowsFile !== undefined) return [files.rows];
  return copies === undefined ? [files.requests] : [files.requests, files.copies];
}

/**
 * The rows that failed, in the order of `readRequestKeys`; `failureOf` is asked by their place in it. None of a
 * job whose texts are not here.
 */
export async function* failedRequests(
  files: JobFiles,
  job: Job,
  failureOf: (place: number) => Failure | undefined,
): AsyncGenerator<FailedLine> {
  let place = 0;
  for (const path of job.rowsFile === undefined ? pathsOf(files, job) : []) {
    for await (const lines of readLines(path)) {
      for (const { bytes } of lines) {
        if (bytes === undefined || bytes.length === 0) continue;
        const error = failureOf(place);
        place += 1;
        if (error === undefined) continue;
        yield { ...parseRequestLine(bytes), job: job.id, attempt: job.attempt, error };
      }
    }
  }
}

function unusable(message: string, job: Job, aside: string | undefined): UserError {
  const isUnsent = needs(job) === "send";
  const lost = isUnsent ? "" : "what it cost is lost, and ";
  const flag = isUnsent ? "" : " --give-up";
  const mend =
    aside === undefined
      ? "Restore it from a backup"
      : `${aside} is the one that was recorded: put it back in its place`;
  return new UserError(`The ${message}.`, {
    hint: `${mend}, or give the job up with \`vecfill cancel ${job.id}${flag}\`: ${lost}its rows are exported again.`,
  });
}
