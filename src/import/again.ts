/**
 * Writes once more what a database has lost after it was imported: it was restored from a backup, or
 * the server that took over had not got the last commits. The results are paid for and on disk. Of a
 * job's rows those are written that are NULL and still have their text; to the journal they have been
 * written all along, so nothing is recorded, and it can be repeated. A row that another job is under way
 * with is that job's.
 */
import { isInFlight, type TakenRows } from "../jobs-folder/taken-rows.ts";
import { hasResults } from "../jobs-folder/results-file.ts";
import type { Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import type { Report } from "../progress.ts";
import { type EmbeddedQuestion, formatKey } from "../row/question.ts";
import type { RowEnd, Store } from "../store/port.ts";
import { CHUNK_ROWS, writeAround } from "./chunk-writer.ts";
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
    empty += (await emptyOf(store, chunk)).length;
  }
  return empty;
}

/** What came of the job's rows that are NULL and not among those `known`. `taken`: of its target. */
export async function writeAgain(
  services: AgainServices,
  job: Job,
  taken: TakenRows,
  known: ReadonlyMap<string, RowEnd> = new Map(),
): Promise<readonly RowEnd[]> {
  const { store } = services;
  const isNew = (row: EmbeddedQuestion) => {
    const key = formatKey(row);
    return !known.has(key) && !isInFlight(taken, key);
  };
  const ends = await offer(services, job, (chunk) => emptyOf(store, chunk.filter(isNew)));
  return [...ends.values()];
}

async function emptyOf(store: Store, rows: readonly EmbeddedQuestion[]) {
  const holdings = await store.compare(rows);
  return rows.filter((_, place) => holdings[place] === "empty");
}

type Rows = readonly EmbeddedQuestion[];

/**
 * Offers rows of the job's results to its table once more, and says by their keys what came of them,
 * until the end or until the signal was aborted. `choose`: of a chunk.
 */
export async function offer(
  { store, manifest, report, signal, pacer = UNPACED }: AgainServices,
  job: Job,
  choose: (chunk: Rows) => Rows | Promise<Rows>,
): Promise<Map<string, RowEnd>> {
  const ends = new Map<string, RowEnd>();
  const chunkRows = Math.min(CHUNK_ROWS, pacer.maxRows);
  let looked = 0;
  for await (const chunk of writableRows(manifest.files(job.id), job, chunkRows)) {
    if (signal.aborted) break;
    const rows = await choose(chunk);
    const keys = rows.map(formatKey);
    await writeAround(
      rows,
      (part) => pacer.paced(part.length, signal, () => store.apply(part)),
      (place, end) => ends.set(keys[place] ?? "", end),
    );
    looked += chunk.length;
    report({ type: "importing", job: job.id, rows: looked, requests: job.requests });
  }
  return ends;
}
