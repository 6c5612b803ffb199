/**
 * Takes back what a job wrote. The rows that hold its vectors are listed in a file, the list is
 * recorded, and only then are they emptied, each in a statement that compares its vector once more.
 * Interrupted anywhere, it can be repeated, and comes to the same count.
 */
import { hashFile } from "../../disk/durable-file.ts";
import { UserError, usageError } from "../../errors.ts";
import { exists } from "../../disk/presence.ts";
import type { FileRecord, Job } from "../../manifest/job.ts";
import type { Manifest, ManifestView } from "../../manifest/manifest.ts";
import { CHUNK_ROWS } from "../../import/chunk-writer.ts";
import { type Pacer, UNPACED } from "../../import/pace.ts";
import { writableRows } from "../../import/written-rows.ts";
import { readRollbackFile, writeRollbackFile } from "../../jobs-folder/rollback-file.ts";
import type { KeySet } from "../../row/key-table.ts";
import { type EmbeddedQuestion, formatKey } from "../../row/question.ts";
import type { Report } from "../../progress.ts";
import type { Hold, Holding, Store } from "../../store/port.ts";
import { isOpen, isImported, needs } from "../../manifest/states.ts";

export type RollbackServices = Readonly<{
  /** The store of the job's own target. */
  store: Store;
  manifest: Manifest;
  report: Report;
  signal: AbortSignal;
  /** Without one, as fast as can be. */
  pacer?: Pacer;
}>;

/**
 * Throws a UserError where nothing can be taken back. Jobs that were rolled back are not asked for. A
 * file that was cleaned and has been restored is as good as ever.
 */
export async function requireRollbackable(manifest: ManifestView, job: Job): Promise<void> {
  if (!isImported(job)) throw notImported(job);
  await requireFile(manifest, job, "results", job.resultsFile);
  await requireFile(manifest, job, "requests", job.requestFile);
  if (job.copies !== undefined) await requireFile(manifest, job, "copies", job.copies.file);
}

async function requireFile(
  manifest: ManifestView,
  job: Job,
  part: "requests" | "copies" | "results",
  record: FileRecord | undefined,
): Promise<void> {
  const path = (await manifest.bring(job))[part];
  if (!(await exists(path))) {
    const wasCleaned = job.cleaned.includes(part === "copies" ? "requests" : part);
    throw unknownVectors(
      job,
      part,
      wasCleaned ? "was deleted by `vecfill clean`" : "is gone",
      path,
    );
  }
  if ((await hashFile(path)).sha256 === record?.sha256) return;
  throw unknownVectors(job, part, "is not the one that was imported", path);
}

/** How many rows hold exactly the job's vectors, or were emptied by an earlier try. Writes nothing. */
export async function countRollback(
  { store, manifest }: Readonly<{ store: Store; manifest: ManifestView }>,
  job: Job,
): Promise<number> {
  const files = await manifest.bring(job);
  const listed = job.rollback && (await readRollbackFile(files, job.rollback));
  let rows = 0;
  for await (const chunk of writableRows(files, job, CHUNK_ROWS)) {
    const holdings = await store.compare(chunk);
    rows += chunk.filter((row, place) => {
      if (listed === undefined) return holdings[place] === "same";
      return isListed(listed, row) && IS_OR_WAS_ITS.includes(holdings[place]);
    }).length;
  }
  return rows;
}

/** The job, rolled back; undefined when the signal was aborted first. */
export async function rollbackJob(
  services: RollbackServices,
  given: Job,
): Promise<Job | undefined> {
  const { store, manifest, report, signal, pacer = UNPACED } = services;
  const job = await withIntent(services, given);
  if (job?.rollback === undefined) return undefined;
  const files = await manifest.bring(job);
  const listed = await readRollbackFile(files, job.rollback);
  if (listed === undefined) throw new Error(`the list of rows of job ${job.id} was just written`);
  let rows = 0;
  for await (const chunk of writableRows(files, job, Math.min(CHUNK_ROWS, pacer.maxRows))) {
    if (signal.aborted) return undefined;
    const its = chunk.filter((row) => isListed(listed, row));
    rows += await pacer.paced(its.length, signal, () => emptied(store, its, manifest.holdOf(job)));
    report({ type: "rollingBack", job: job.id, rows, requests: job.rollback.rows });
  }
  const done = await manifest.record({ type: "rolledBack", job: job.id, rows }, job);
  report({ type: "rolledBack", job: job.id, rows });
  return done;
}

/** With the list of an earlier try, or a new one; undefined when the signal was aborted first. */
async function withIntent(services: RollbackServices, job: Job): Promise<Job | undefined> {
  const { manifest, signal } = services;
  const files = await manifest.bring(job);
  if (job.rollback !== undefined && (await readRollbackFile(files, job.rollback)) !== undefined) {
    return job;
  }
  const list = await writeRollbackFile(files, heldKeys(services, job));
  if (signal.aborted) return undefined;
  return manifest.record({ type: "rollingBack", job: job.id, ...list }, job);
}

async function* heldKeys(
  { store, manifest, signal }: RollbackServices,
  job: Job,
): AsyncGenerator<string[]> {
  for await (const chunk of writableRows(await manifest.bring(job), job, CHUNK_ROWS)) {
    if (signal.aborted) return;
    const holdings = await store.compare(chunk);
    yield chunk.filter((_, place) => holdings[place] === "same").map(formatKey);
  }
}

/**
 * How many of the listed rows are NULL after it. One that is not cleared and is NULL was cleared by
 * a call whose answer was lost, or by an earlier try.
 */
async function emptied(
  store: Store,
  rows: readonly EmbeddedQuestion[],
  hold: Hold | undefined,
): Promise<number> {
  const outcomes = await store.clear(rows, hold);
  const others = rows.filter((_, place) => outcomes[place] !== "cleared");
  const holdings = await store.compare(others);
  return (
    rows.length - others.length + holdings.filter((holding) => EMPTIED.includes(holding)).length
  );
}

const EMPTIED: readonly (Holding | undefined)[] = ["empty", "changed"];
const IS_OR_WAS_ITS: readonly (Holding | undefined)[] = ["same", ...EMPTIED];

function isListed(listed: KeySet, row: EmbeddedQuestion): boolean {
  return listed.has(formatKey(row));
}

function notImported(job: Job): UserError {
  if (isOpen(job)) {
    return new UserError(`Job ${job.id} is ${job.state}: it has not been imported yet.`, {
      hint:
        needs(job) === "write"
          ? "Some of its vectors may be in the column. Run `vecfill import` first, then roll it back."
          : `\`vecfill jobs ${job.id}\` says where it is; \`vecfill cancel ${job.id}\` stops it before anything is written.`,
      exit: "usage",
    });
  }
  return usageError(
    `Job ${job.id} is ${job.state}: it has written no vector.`,
    "`vecfill jobs` lists the jobs; those that are imported can be rolled back.",
  );
}

function unknownVectors(job: Job, part: string, what: string, path: string): UserError {
  const { schema, table, embedding } = job.target;
  return usageError(
    `The ${part} file of job ${job.id} ${what} (${path}): which vectors it wrote is no longer known.`,
    `Restore the file from a backup. Or empty rows by hand: update ${schema}.${table} set ${embedding} = null where …;`,
  );
}
