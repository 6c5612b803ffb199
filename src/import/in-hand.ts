import { lacksRows } from "../jobs-folder/found-rows.ts";
import { holdingsOf } from "../jobs-folder/holdings.ts";
import { readRequestKeys } from "../jobs-folder/request-file.ts";
import type { Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { needs } from "../manifest/states.ts";
import { parseKey } from "../row/question.ts";
import type { Store } from "../store/port.ts";
import type { InHand } from "../words/sums-text.ts";

/** Of these jobs the one that was being written: results come into the column job after job. Undefined where none was begun. */
export async function jobInHand(
  store: Pick<Store, "compare">,
  { files }: Pick<ManifestView, "files">,
  jobs: readonly Job[],
): Promise<InHand | undefined> {
  const job = jobs.find((each) => needs(each) === "write");
  if (job === undefined || (await lacksRows(files(job.id), job))) return undefined;
  let filled = 0;
  for await (const keys of readRequestKeys(files(job.id), job)) {
    const rows = keys.map(parseKey).filter((row) => row !== undefined);
    const holdings = await holdingsOf(store, rows, job.target);
    filled += holdings.filter((holding) => holding === "other").length;
  }
  return filled === 0 ? undefined : { job: job.id, filled, requests: job.requests };
}
