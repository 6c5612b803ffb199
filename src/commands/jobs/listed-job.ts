import type { Prices } from "../../cost/tariff.ts";
import { costOf } from "../../cost/cost.ts";
import { rolledBackRows } from "../../cost/final-sums.ts";
import { heldUntil } from "../../jobs-folder/input-file.ts";
import { jobFileNames } from "../../manifest/file-names.ts";
import { type Cleanable, copiesOf, type Job } from "../../manifest/job.ts";
import { decimal } from "../../words/figures.ts";
import type { Outcomes } from "../../progress.ts";
import { NO_ROWS } from "../../row/sums.ts";

/**
 * One job as scripts get it. `written` and the other outcomes are 0 until the job has ended;
 * `tokens` are what the service counted, and our estimate until it did. File names are those in
 * the jobs folder; null where there is none.
 */
export type ListedJob = Outcomes &
  Readonly<{
    id: string;
    state: Job["state"];
    lane: Job["lane"];
    requests: number;
    /** Of the requests, rows that are embedded with another row of the same text. */
    copies: number;
    /** Of those written: emptied since. */
    rolledBack: number;
    tokens: number;
    /** A decimal string: what it has cost, or will where it was not sent yet; an estimate as long as `tokens` is. */
    usd: string;
    /** Whose queue it is in, was in, or is to go to first; null: none yet. */
    project: string | null;
    batch: string | null;
    /** The first of `parents`. */
    parent: string | null;
    parents: readonly string[];
    attempt: number;
    createdAt: string;
    updatedAt: string;
    files: Readonly<{
      requests: string | null;
      copies: string | null;
      results: string | null;
      failed: string | null;
    }>;
    error: Readonly<{ code: number | null; message: string }> | null;
    /** It cannot be sent again before its uploaded file is gone at Gemini: then at the latest. */
    heldUntil: string | null;
  }>;

export function listedJob(job: Job, prices: Prices): ListedJob {
  const files = jobFileNames(job.id);
  const { requests, ...outcomes } = { ...(job.sums ?? NO_ROWS), requests: job.requests };
  const isCleaned = (file: Cleanable) => job.cleaned.includes(file);
  return {
    id: job.id,
    state: job.state,
    lane: job.lane,
    requests,
    copies: copiesOf([job]),
    ...outcomes,
    rolledBack: rolledBackRows([job]),
    tokens: job.billedTokens ?? job.tokens,
    usd: decimal(costOf(job, prices).usd),
    project: job.project ?? null,
    batch: job.batch ?? null,
    parent: job.parents[0] ?? null,
    parents: job.parents,
    attempt: job.attempt,
    createdAt: job.createdAt,
    updatedAt: job.updatedAt,
    files: {
      requests: job.recovered || isCleaned("requests") ? null : files.requests,
      copies: hasCopiesFile(job) && !isCleaned("requests") ? files.copies : null,
      results: job.resultsFile === undefined || isCleaned("results") ? null : files.results,
      failed: job.failedFile === undefined ? null : files.failed,
    },
    error:
      job.error === undefined ? null : { code: job.error.code ?? null, message: job.error.message },
    heldUntil: heldUntil(job)?.toISOString() ?? null,
  };
}

function hasCopiesFile({ copies, rowsFile }: Job): boolean {
  return copies !== undefined && rowsFile === undefined;
}
