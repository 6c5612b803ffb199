/** Reads Gemini's list of batches whole, and gives every batch of ours to its job. Nothing is ever cancelled here. */
import { seesProjectOf } from "../gates/markers.ts";
import { senderOf, type StageServices } from "../jobs-folder/stage-services.ts";
import { explain } from "../words/explain.ts";
import {
  type Batch,
  type Gemini,
  GeminiError,
  hasBatchEnded,
  isDeadBatch,
} from "../gemini/port.ts";
import type { Job } from "../manifest/job.ts";
import { batchNameOfFile, batchPrefix, isBatchOf, jobOfBatch } from "../jobs-folder/batch-names.ts";
import { mayHaveBatch } from "../manifest/states.ts";

/** Of a job whose create is under way in this very process: its answer tells, not the list. */
export type IsBeingSent = (job: Job) => boolean;

const NONE: IsBeingSent = () => false;

export type Found = Readonly<{
  /** Jobs that have got a batch. */
  adopted: readonly string[];
  /** Of no job that is known. */
  unknown: readonly Batch[];
  nameless: readonly Batch[];
  /** Whether the key that the list was read with is of the project of this one. */
  isProjectOf: (keyId: string | undefined) => Promise<boolean>;
}>;

/** Reads the whole list once, also for batches that the manifest knows nothing of: it may have been restored from a backup. */
export async function adoptFound(
  services: StageServices,
  isBeingSent: IsBeingSent = NONE,
): Promise<Found> {
  const { gemini, manifest, signal } = services;
  const batches = await readList(gemini, batchPrefix(manifest.id), signal);
  const nameless = batches.filter(({ displayName }) => displayName === "");
  const unknown = new Set(batches).difference(new Set(nameless));
  const found = Map.groupBy(batches, (batch) => jobOfBatch(manifest.id, nameOf(batch)));
  const ofFile = Map.groupBy(nameless, ({ inputFile }) => inputFile);
  const adopted: string[] = [];
  for (const job of manifest.jobs()) {
    // those of a job that had its number before a backup was put back ask for something else
    const named = found.get(job.id)?.filter((batch) => isBatchOf(job, nameOf(batch))) ?? [];
    const { name: file } = job.remoteFile ?? {};
    const own = new Set([...named, ...(file === undefined ? [] : (ofFile.get(file) ?? []))]);
    if (own.size === 0) continue;
    for (const batch of own) unknown.delete(batch);
    if (!isBeingSent(job) && (await adoptWithDuplicates(services, job, [...own])))
      adopted.push(job.id);
  }
  return {
    adopted,
    unknown: [...unknown],
    nameless,
    isProjectOf: (keyId) => seesProjectOf(services, keyId, batches),
  };
}

/** Where the list does not tell it: a request file is called as the batch that it was uploaded for. */
function nameOf({ displayName, inputFile }: Batch): string {
  return displayName || batchNameOfFile(inputFile ?? "");
}

export async function readList(
  gemini: Gemini,
  prefix: string,
  signal: AbortSignal,
): Promise<Batch[]> {
  try {
    return await gemini.findBatches(prefix, signal);
  } catch (error) {
    throw error instanceof GeminiError ? explain(error, "reading the list of batches") : error;
  }
}

/** True when the job had no batch and now has one. */
export async function adoptWithDuplicates(
  services: StageServices,
  job: Job,
  batches: Batch[],
): Promise<boolean> {
  const first = batches.toSorted((a, b) => usefulness(b) - usefulness(a))[0];
  const adopts = first !== undefined && (await adopt(services, job, first));
  // as it is by now: another reading may have been at work
  const { batch: used, duplicateBatches } = services.manifest.job(job.id);
  for (const batch of batches) {
    if (batch.name !== used && !duplicateBatches.includes(batch.name)) {
      await recordDuplicate(services, job, batch);
    }
  }
  return adopts;
}

/** False where the job has a batch, has ended, or is being embedded at once by now. */
async function adopt(
  services: StageServices,
  { id: job }: Job,
  { name: batch }: Batch,
): Promise<boolean> {
  const { manifest, report } = services;
  const its = { type: "submitted", job, batch, adopted: true } as const;
  const event = { ...its, ...senderOf(services) };
  const submitted = await manifest.recordIf(mayHaveBatch, event);
  if (submitted === undefined) return false;
  report(its);
  return true;
}

/** Of two batches the one that has results, or may still get some, is the one to adopt. */
function usefulness({ state }: Batch): number {
  if (isDeadBatch(state) || state === "ended") return 0;
  return hasBatchEnded(state) ? 2 : 1;
}

async function recordDuplicate(
  { manifest, report }: StageServices,
  job: Job,
  batch: Batch,
): Promise<void> {
  const isNews = (now: Job) => !now.duplicateBatches.includes(batch.name);
  const event = { type: "duplicate", job: job.id, batch: batch.name } as const;
  if ((await manifest.recordIf(isNews, event)) === undefined) return;
  report({
    type: "warning",
    message: `Job ${job.id} has a second batch at Gemini, ${batch.name} (${batch.rawState}); it is not used.`,
    hint: "vecfill cancels nothing by itself: if it has not ended, cancel it in the console.",
  });
}
