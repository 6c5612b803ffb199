import { UserError, usageError } from "../../errors.ts";
import { explain } from "../../words/explain.ts";
import { type Gemini, GeminiError, isOutage } from "../../gemini/port.ts";
import type { Job } from "../../manifest/job.ts";
import {
  countAnswered,
  deleteCheckpoint,
  openCheckpoint,
  placeResults,
} from "../../jobs-folder/checkpoint.ts";
import type { Manifest, ManifestView } from "../../manifest/manifest.ts";
import { checkRequestFile } from "../../jobs-folder/request-file.ts";
import { hasResults } from "../../jobs-folder/results-file.ts";
import { exists } from "../../disk/presence.ts";
import type { Report } from "../../progress.ts";
import type { Target } from "../../row/target.ts";
import { NO_ROWS } from "../../row/sums.ts";
import { isBack, isOpen, needs } from "../../manifest/states.ts";

type Asking = Readonly<{
  manifest: ManifestView;
  /** By a key that sees its batch. */
  gemini: (job: Job) => Promise<Gemini>;
  /** There is no such table any more; undefined: nobody looks. */
  isGone?: (target: Target) => Promise<boolean>;
}>;
export type CancelServices = Asking & Readonly<{ manifest: Manifest; report: Report }>;

/**
 * `givenUp`: nothing is at Gemini that is known, or somebody insisted. `asked`: Gemini was asked to cancel its batch.
 * `kept`: what the sync lane was answered so far is to be imported, the other rows may be resubmitted. `gone`: its
 * table is, and with it its rows.
 */
export type Cancelled = "givenUp" | "asked" | "kept" | "gone";

/**
 * Throws a UserError where there is nothing to cancel, or where it is not known. `insist` gives a job
 * up also where its batch may exist and cannot be seen, and where its request file is lost, without
 * which no result can be matched to a row: what it cost is lost.
 */
export async function cancelJob(
  services: CancelServices,
  job: Job,
  insist: boolean,
): Promise<Cancelled> {
  const { manifest, gemini, report } = services;
  const prospect = await prospectOf(services, job, insist);
  if (prospect.kind === "embedding") return endEmbedding(manifest, job);
  if (prospect.kind === "gone") return endGone(manifest, job);
  if (prospect.kind !== "batch") {
    await recordGivenUp(manifest, job);
    return "givenUp";
  }
  const refusal = await answerFrom(async () => (await gemini(job)).cancelBatch(prospect.batch));
  if (refusal === undefined) return "asked";
  if (!insist) throw inWords(refusal, `cancelling job ${job.id}`);
  report({ type: "warning", ...uncancelled(prospect.batch, refusal) });
  await recordGivenUp(manifest, job);
  return "givenUp";
}

function uncancelled(batch: string, { message }: Error) {
  return {
    message: `The batch ${batch} was not cancelled at Gemini (${message}): if it is there, it goes on, and what it costs is lost.`,
    hint: undefined,
  };
}

/** Or what kept it from being done: an answer, no answer, or no key to ask with. */
async function answerFrom<T>(ask: () => Promise<T>): Promise<T | GeminiError | UserError> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof GeminiError || error instanceof UserError) return error;
    throw error;
  }
}

function inWords(refusal: GeminiError | UserError, doing: string): UserError {
  return refusal instanceof GeminiError ? explain(refusal, doing) : refusal;
}

export type Prospect =
  /** To be given up although it may have cost something: a file of it is lost, or its results are not to be had here. */
  | Readonly<{ kind: "lost" | "unseen" }>
  /** In the sync lane; so many of its requests have an answer. */
  | Readonly<{ kind: "embedding"; answered: number }>
  | Readonly<{ kind: "batch"; batch: string }>
  /** It was dropped, or never sent. */
  | Readonly<{ kind: "gone" | "unsent" }>;

/** What `cancelJob` would do; changes nothing, and throws as it does. */
export async function prospectOf(
  { manifest, gemini, isGone }: Asking,
  job: Job,
  insist: boolean,
): Promise<Prospect> {
  if (insist && isOpen(job) && (await lacksFile(manifest, job))) return { kind: "lost" };
  if (insist && isBack(job) && !(await hasResults(manifest.files(job.id), job))) {
    if (await isOutOfSight(gemini, job)) return { kind: "unseen" };
  }
  if (insist && needs(job) === "write" && (await isGone?.(job.target))) return { kind: "gone" };
  if (needs(job) === "embed") {
    return { kind: "embedding", answered: await countAnswered(manifest.files(job.id), job) };
  }
  const batch = cancellableBatch(job, insist);
  return batch === undefined ? { kind: "unsent" } : { kind: "batch", batch };
}

/** No command gets its results: they are gone, or there is no key of its project any more. */
async function isOutOfSight(gemini: Asking["gemini"], job: Job): Promise<boolean> {
  const { resultsName = "" } = job;
  const seen = await answerFrom(async () => {
    for await (const _some of (await gemini(job)).openResults(resultsName)) break;
  });
  if (seen !== undefined && isOutage(seen)) throw inWords(seen, `looking at job ${job.id}`);
  return seen !== undefined;
}

/** The batch to cancel; undefined when the job has none yet. */
export function cancellableBatch(job: Job, insist: boolean): string | undefined {
  const need = needs(job);
  if (need === "send" || need === "embed") return undefined;
  if (need === "settle" && insist) return undefined;
  if (need === "poll" && job.batch !== undefined) return job.batch;
  if (need === "settle") {
    throw usageError(
      `Whether job ${job.id} has a batch at Gemini is not known yet.`,
      `Find out with \`vecfill jobs --reconcile\`, then cancel it. \`vecfill cancel ${job.id} --give-up\` gives it up as it is: a batch that exists all the same is paid for and lost.`,
    );
  }
  throw usageError(
    `Job ${job.id} is ${job.state}: its batch has ended.`,
    `\`vecfill jobs ${job.id}\` says what came of it.`,
  );
}

/**
 * Its rows could not be told apart, or what they were answered is lost and not at Gemini either, or what
 * comes in its place is not believed.
 */
async function lacksFile(manifest: ManifestView, job: Job): Promise<boolean> {
  const files = manifest.files(job.id);
  if (needs(job) === "fetch" && (await exists(files.doubtful))) return true;
  try {
    await checkRequestFile(await manifest.bring(job), job);
  } catch (error) {
    if (error instanceof UserError) return true;
    throw error;
  }
  return job.lane === "sync" && needs(job) === "write" && !(await hasResults(files, job));
}

/** What was answered is paid for: it goes the way of all results, and rows without an answer fail. */
async function endEmbedding(manifest: Manifest, job: Job): Promise<Cancelled> {
  const files = manifest.files(job.id);
  const checkpoint = await openCheckpoint(files, job);
  await checkpoint.close();
  if (checkpoint.answered === 0) {
    await recordGivenUp(manifest, job);
    await deleteCheckpoint(files);
    return "givenUp";
  }
  const file = await placeResults(files);
  await manifest.record({ type: "downloaded", job: job.id, file }, job);
  return "kept";
}

/** Its results stay: a row that stands in another partition by now gets its vector from them. */
async function endGone(manifest: Manifest, job: Job): Promise<Cancelled> {
  const sums = { ...NO_ROWS, requests: job.requests, gone: job.requests };
  const outstanding = { lines: 0, retryable: 0 };
  await manifest.record({ type: "imported", job: job.id, sums, outstanding }, job);
  return "gone";
}

/** Its rows are in no failed file, so the next export takes them again. */
async function recordGivenUp(manifest: Manifest, job: Job): Promise<void> {
  const error = { message: "given up: no batch of it is known" };
  const sums = { ...NO_ROWS, requests: job.requests, failed: job.requests };
  const outstanding = { lines: 0, retryable: 0 };
  await manifest.record({ type: "cancelled", job: job.id, error, sums, outstanding }, job);
}
