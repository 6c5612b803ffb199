/**
 * Rows that failed in a job without a request file: they are sent again with the text that the table has, where
 * it is still the one of their key and they still wait. Of the others the table says what has become of them.
 */
import { holdingsOf } from "../jobs-folder/holdings.ts";
import { readRequestKeys } from "../jobs-folder/request-file.ts";
import { pendingPages } from "../jobs-folder/pending-pages.ts";
import type { Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import type { FailedLine, Failure } from "../row/failed-line.ts";
import { MAX_TEXT_CHARS, parseKey, type RowOutcome } from "../row/question.ts";
import { requestLine } from "../row/request-line.ts";
import type { Holding, Store } from "../store/port.ts";
import { CHUNK_ROWS } from "./chunk-writer.ts";
import type { RequestRows } from "./row-outcomes.ts";

type Services = Readonly<{ store: Store; manifest: Pick<ManifestView, "bring"> }>;

/** Settles those of the failed rows that wait for nothing any more; the lines of the rest, read when asked for. */
export async function failedAgain(
  { store, manifest }: Services,
  job: Job,
  rows: RequestRows,
): Promise<AsyncIterable<FailedLine>> {
  const waiting: FailedRows = new Map();
  let place = -1;
  for await (const keys of readRequestKeys(await manifest.bring(job), job)) {
    const failed = keys.flatMap((key) => {
      place += 1;
      const [row, failure] = [parseKey(key), rows.failureOf(place)];
      return row === undefined || failure === undefined ? [] : [{ row, place, failure }];
    });
    for (let from = 0; from < failed.length; from += CHUNK_ROWS) {
      const chunk = failed.slice(from, from + CHUNK_ROWS);
      const holdings = await holdingsOf(
        store,
        chunk.map(({ row }) => row),
        job.target,
      );
      for (const [index, { row, place: its, failure }] of chunk.entries()) {
        const outcome = OUTCOMES[holdings[index] ?? "empty"];
        if (outcome === undefined) waiting.set(row.id, failure);
        else rows.settle(its, outcome);
      }
    }
  }
  return waitingLines(store, job, waiting);
}

/** By id: the key may be of an earlier version. */
type FailedRows = Map<string, Failure>;

/** Undefined for a row that waits with the very text. */
const OUTCOMES: Readonly<Record<Holding, RowOutcome | undefined>> = {
  same: "written",
  other: "filled",
  changed: "stale",
  gone: "gone",
  empty: undefined,
};

async function* waitingLines(
  store: Store,
  { id, attempt, target }: Job,
  waiting: FailedRows,
): AsyncGenerator<FailedLine> {
  if (waiting.size === 0) return;
  for await (const page of pendingPages(store)) {
    for (const row of page) {
      const error = waiting.get(row.id);
      // a longer one comes cut, and is for the next export
      if (error === undefined || row.text.length > MAX_TEXT_CHARS) continue;
      yield { ...requestLine(row, target), job: id, attempt, error };
    }
  }
}
