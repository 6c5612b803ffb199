/**
 * The files of jobs, for every process: what is recorded of a job with a checksum stands in the tables before the event that
 * speaks of it, by job and checksum: one of two jobs with equal files may be cleaned. Whoever works on the job fetches
 * what is not in its own scratch folder. Results do not stand here: Gemini keeps them for six weeks.
 */
import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { zstdCompress, zstdDecompress } from "node:zlib";
import { hashFile, replaceFileUnlocked } from "../../disk/durable-file.ts";
import { sizeOf } from "../../disk/presence.ts";
import { UserError } from "../../errors.ts";
import { jobFiles, type JobFiles } from "../file-names.ts";
import type { FileRecord, Job } from "../job.ts";
import { isOpen } from "../states.ts";
import type { Sharing } from "./shared-log.ts";
import { BYTES_OID, textIn } from "./tables.ts";

const compressed = promisify(zstdCompress);
const decompressed = promisify(zstdDecompress);

const OF_JOB = "vecfill.file WHERE manifest = $1 AND job = $2";
const KNOWN = `
  SELECT job, sha256 FROM vecfill.file
  WHERE manifest = $1 AND (job, sha256) IN (SELECT * FROM unnest($2::text[], $3::text[]))`;
const STORE = `INSERT INTO vecfill.file (manifest, job, sha256, bytes) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`;
const FETCH = `SELECT encode(bytes, 'base64') AS bytes FROM ${OF_JOB} AND sha256 = $3`;
const DELETE = `DELETE FROM ${OF_JOB} AND sha256 = ANY ($3::text[])`;

export type Recorded = Readonly<{ job: string; path: string; record: FileRecord }>;

export class SharedFiles {
  readonly #its: Pick<Sharing, "tables" | "id" | "again">;
  readonly #scratch: string;
  /** What is in the tables. */
  readonly #stored = new Set<string>();
  /** By path: the checksum of what was seen there. */
  readonly #here = new Map<string, string>();

  constructor(its: Pick<Sharing, "tables" | "id" | "again">, scratch: string) {
    this.#its = its;
    this.#scratch = scratch;
  }

  /** All that is recorded of these jobs is in the tables once it resolves; what was of `before` is, or was lost. */
  async store(jobs: readonly Job[], before: readonly Job[]): Promise<void> {
    const known = new Set(before.flatMap((job) => this.#recordedOf(job)).map(entryOf));
    const all = jobs.flatMap((job) => this.#recordedOf(job));
    const isUnknown = (each: Recorded) =>
      !known.has(entryOf(each)) && !this.#stored.has(entryOf(each));
    if (!all.some(isUnknown)) return;
    await this.#lookUp(all.filter(isUnknown));
    for (const each of all.filter(isUnknown)) {
      await this.#put(each, await readRecorded(each));
      this.#stored.add(entryOf(each));
    }
  }

  /** Where to find the job's files, each as it is recorded. */
  async bring(job: Job): Promise<JobFiles> {
    const files = jobFiles(this.#scratch, job.id);
    // others have sent again all that failed: what stands here of it must not be sent once more
    if (!isOpen(job) && job.failedFile === undefined) await rm(files.failed, { force: true });
    for (const recorded of recordedFiles(files, job)) {
      if (!(await this.#isHere(recorded))) await this.#fetch(recorded);
    }
    return files;
  }

  /** What `before` had recorded, and the job has no more: it was cleaned. */
  async drop(before: Job, now: Job): Promise<void> {
    const { tables, id, again } = this.#its;
    const kept = new Set(this.#recordedOf(now).map(entryOf));
    const gone = this.#recordedOf(before).filter((each) => !kept.has(entryOf(each)));
    const checksums = gone.map(({ record }) => record.sha256);
    if (gone.length > 0) await again(() => tables.query(DELETE, [id, before.id, checksums]));
    for (const each of gone) this.#stored.delete(entryOf(each));
  }

  #recordedOf(job: Job): readonly Recorded[] {
    return recordedFiles(jobFiles(this.#scratch, job.id), job);
  }

  async #lookUp(files: readonly Recorded[]): Promise<void> {
    const { tables, id, again } = this.#its;
    const wanted = [files.map(({ job }) => job), files.map(({ record }) => record.sha256)];
    for (const row of await again(() => tables.query(KNOWN, [id, ...wanted])))
      this.#stored.add(`${textIn(row, "job")} ${textIn(row, "sha256")}`);
  }

  async #put({ job, record: { sha256 } }: Recorded, content: Buffer): Promise<void> {
    const { tables, id, again } = this.#its;
    const bytes = { typeOid: BYTES_OID, bytes: await compressed(content) };
    await again(() => tables.query(STORE, [id, job, sha256, bytes]));
  }

  async #isHere({ path, record }: Recorded): Promise<boolean> {
    if ((await sizeOf(path)) !== record.bytes) return false;
    if (this.#here.get(path) === record.sha256) return true;
    const { sha256 } = await hashFile(path);
    this.#here.set(path, sha256);
    return sha256 === record.sha256;
  }

  async #fetch(recorded: Recorded): Promise<void> {
    const { tables, id, again } = this.#its;
    const { job, path, record } = recorded;
    const { sha256 } = record;
    const [row] = await again(() => tables.query(FETCH, [id, job, sha256]));
    if (row === undefined) throw notStored(job, path);
    await mkdir(dirname(path), { recursive: true });
    const content = await decompressed(Buffer.from(textIn(row, "bytes"), "base64")).catch(() => {
      throw notStored(job, path);
    });
    const written = await replaceFileUnlocked(path, content);
    if (written.sha256 !== sha256) throw notStored(job, path);
    this.#stored.add(entryOf(recorded));
    this.#here.set(path, sha256);
  }
}

function entryOf({ job, record: { sha256 } }: Recorded): string {
  return `${job} ${sha256}`;
}

/** Without those that were deleted on purpose. */
export function recordedFiles(files: JobFiles, job: Job): readonly Recorded[] {
  const { requestFile, copies, rowsFile, failedFile, rollback, cleaned, recovered } = job;
  const sent = !recovered && !cleaned.includes("requests");
  const all: readonly (readonly [path: string, record: FileRecord | undefined])[] = [
    [files.requests, sent ? requestFile : undefined],
    [files.copies, sent && rowsFile === undefined ? copies?.file : undefined],
    [files.rows, rowsFile],
    [files.failed, failedFile],
    [files.rollback, cleaned.includes("rollback") ? undefined : rollback?.file],
  ];
  return all.flatMap(([path, record]) => (record ? [{ job: job.id, path, record }] : []));
}

/** A failed file's successor stands beside it until it is recorded. */
async function readRecorded({ path, record: { bytes, sha256 } }: Recorded): Promise<Buffer> {
  for (const each of [path, `${path}.next`]) {
    if ((await sizeOf(each)) !== bytes) continue;
    if ((await hashFile(each)).sha256 === sha256) return readFile(each);
  }
  throw new Error(`${path} is not what is about to be recorded of it`);
}

function notStored(job: string, path: string): UserError {
  return new UserError(
    `A file of job ${job} is not in the shared manifest as it was recorded: ${path}.`,
    {
      hint: `Restore the database's schema vecfill from a backup, or give the job up: \`vecfill cancel ${job} --give-up\`.`,
    },
  );
}
