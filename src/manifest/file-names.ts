/** Every file name in the jobs folder. What may be swept knows them as patterns, too; nothing else does. */
import { join } from "node:path";
import { PART_SUFFIX } from "../disk/durable-file.ts";

const ID_DIGITS = 4;

export type JobFiles = Readonly<{
  requests: string;
  /** Rows whose text has a line in the request file already. */
  copies: string;
  /** Keys of its rows, found again where the request file is not there. */
  rows: string;
  results: string;
  /** What came in place of them just now, until it is believed. */
  incoming: string;
  /** The last file that came in place of results and was not believed. */
  doubtful: string;
  /** The one before it. */
  doubtfulBefore: string;
  /** What the interactive API has answered so far; it becomes the results file. */
  sync: string;
  failed: string;
  failedCsv: string;
  rollback: string;
}>;

export function manifestPath(folder: string): string {
  return join(folder, "manifest.ndjson");
}

/** See `saved-state.ts`. */
export function savedStatePath(folder: string): string {
  return join(folder, "manifest.state");
}

export function lockPath(folder: string): string {
  return join(folder, "manifest.lock");
}

/** How the last watched command ended. */
export function statusPath(folder: string): string {
  return join(folder, "status.json");
}

/** Ids of the texts over the model's token limit that the last export met. `target`: the name of one of several. */
export function tooLongPath(folder: string, target: string | undefined): string {
  return join(folder, `${ofTarget("too-long", target)}.jsonl`);
}

/** What the last `verify` found to be off. */
export function verifyPath(folder: string, target: string | undefined): string {
  return join(folder, `${ofTarget("verify", target)}.jsonl`);
}

export function reportPath(folder: string, target: string | undefined): string {
  return join(folder, `${ofTarget("report", target)}.html`);
}

function ofTarget(what: string, target: string | undefined): string {
  return target === undefined ? what : `${what}.${target}`;
}

export function jobFiles(folder: string, job: string): JobFiles {
  const { requests, copies, rows, results, sync, failed, failedCsv, rollback, ...came } =
    jobFileNames(job);
  return {
    requests: join(folder, requests),
    copies: join(folder, copies),
    rows: join(folder, rows),
    results: join(folder, results),
    incoming: join(folder, came.incoming),
    doubtful: join(folder, came.doubtful),
    doubtfulBefore: join(folder, came.doubtfulBefore),
    sync: join(folder, sync),
    failed: join(folder, failed),
    failedCsv: join(folder, failedCsv),
    rollback: join(folder, rollback),
  };
}

/** Within the folder. */
export function jobFileNames(job: string): JobFiles {
  return {
    requests: `${job}.requests.jsonl`,
    copies: `${job}.copies.jsonl`,
    rows: `${job}.rows.jsonl`,
    results: `${job}.results.jsonl`,
    incoming: `${job}.results.jsonl.incoming${PART_SUFFIX}`,
    doubtful: `${job}.results.jsonl.doubtful-1`,
    doubtfulBefore: `${job}.results.jsonl.doubtful-2`,
    sync: `${job}.sync.jsonl`,
    failed: `${job}.failed.jsonl`,
    failedCsv: `${job}.failed.csv`,
    rollback: `${job}.rollback.jsonl`,
  };
}

export function formatJobId(number: number): string {
  return String(number).padStart(ID_DIGITS, "0");
}
