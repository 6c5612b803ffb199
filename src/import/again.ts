/**
 * Writes once more what a database has lost after it was imported: it was restored from a backup, or
 * the server that took over had not got the last commits. The results are paid for and on disk. Of a
 * job's rows those are written that are NULL and still have their text; to the journal they have been
 * written all along, so nothing is recorded, and it can be repeated.
 */
import { hasResults } from "../jobs-folder/results-file.ts";
import type { Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import type { Report } from "../progress.ts";
import { type Store, TableRefusal } from "../store/port.ts";
import { writeAround, type WriteRows } from "./around-refusals.ts";
import { CHUNK_ROWS } from "./chunk-writer.ts";
import { type Pacer, UNPACED } from "./pace.ts";
import { writableRows } from "./written-rows.ts";

export type AgainServices = Readonly<{
  /** The store of the job's own target. */
  store: Store;
  manifest: ManifestView;
  report: Report;
  signal: AbortSignal;
  /** Without one, as fast as can be. */
  pacer?: Pacer;
}>;

/** Its results file is there, as it was imported. */
export function canBeWrittenAgain(manifest: ManifestView, job: Job): Promise<boolean> {
  return hasResults(manifest.files(job.id), job);
}

/** How many of the job's rows are NULL. Some may have another text by now. */
export async function countEmpty(
  { store, manifest }: Pick<AgainServices, "store" | "manifest">,
  job: Job,
): Promise<number> {
  let empty = 0;
  for await (const chunk of writableRows(manifest.files(job.id), job, CHUNK_ROWS)) {
    const holdings = await store.compare(chunk);
    empty += holdings.filter((holding) => holding === "empty").length;
  }
  return empty;
}

/** `refused`: by the table, which costs no other row; `why`: the first of them. */
export type WrittenAgain = Readonly<{ written: number; refused: number; why: string | undefined }>;

/** What it wrote until the end, or until the signal was aborted. */
export async function writeAgain(services: AgainServices, job: Job): Promise<WrittenAgain> {
  const { store, manifest, report, signal, pacer = UNPACED } = services;
  let [looked, written, refused] = [0, 0, 0];
  let why: string | undefined;
  const chunkRows = Math.min(CHUNK_ROWS, pacer.maxRows);
  for await (const chunk of writableRows(manifest.files(job.id), job, chunkRows)) {
    if (signal.aborted) break;
    const holdings = await store.compare(chunk);
    const empty = chunk.filter((_, place) => holdings[place] === "empty");
    const write: WriteRows = (rows) => pacer.paced(rows.length, signal, () => store.apply(rows));
    await writeAround(empty, write, (_, end) => {
      if (end === "written") written += 1;
      if (!(end instanceof TableRefusal)) return;
      refused += 1;
      why ??= end.refusal.message;
    });
    looked += chunk.length;
    report({ type: "importing", job: job.id, rows: looked, requests: job.requests });
  }
  return { written, refused, why };
}
