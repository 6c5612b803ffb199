/**
 * After an uncertain create, Gemini's own list is the judge. It is read whole, again and again over
 * a grace period, since a batch may show up late. A batch that is found is adopted. Only when the
 * whole period has shown none may the job be sent once more. Nothing is ever cancelled here: a
 * second batch is reported, and a person decides.
 */
import { UserError } from "../errors.ts";
import { explain } from "../words/explain.ts";
import {
  type Batch,
  type Gemini,
  GeminiError,
  hasBatchEnded,
  isDeadBatch,
} from "../gemini/port.ts";
import type { Job } from "../manifest/job.ts";
import { batchPrefix, isBatchOf, isOurProject, jobOfBatch } from "../manifest/batch-names.ts";
import type { SubmitServices } from "./submit-job.ts";
import { mayHaveBatch } from "../manifest/states.ts";

export type ReconcileSummary = Readonly<{
  /** Jobs whose batch was found. */
  adopted: readonly string[];
  /** Jobs that have none and may be sent once more. */
  absent: readonly string[];
}>;

const READS_PER_GRACE = 6;
const MIN_READS = 2;
const MAX_WAIT_BETWEEN_READS_MS = 15_000;

/** Settles every job of the manifest that is `submitting`; a job given up before may be found too. */
export async function reconcile(
  services: SubmitServices,
  graceMs: number,
): Promise<ReconcileSummary> {
  const { clock, report, signal } = services;
  const startedAtMs = clock.elapsedMs();
  const adopted: string[] = [];
  for (let reads = 1; ; reads++) {
    const readAtMs = clock.elapsedMs();
    const found = await adoptFound(services);
    adopted.push(...found.adopted);
    const open = uncertainJobs(services);
    if (open.length === 0) return { adopted, absent: [] };
    if (!found.isOurProject) checkKey(services, open);
    const graceIsOver =
      readAtMs - startedAtMs >= graceMs &&
      reads >= MIN_READS &&
      !isAnyYoung(services, open, graceMs);
    if (graceIsOver) {
      checkNameless(services, open, found.nameless);
      return { adopted, absent: await recordAbsent(services, open, reads) };
    }
    const why = `for a batch of job ${open.map((job) => job.id).join(", ")} to show at Gemini`;
    report({
      type: "waiting",
      why,
      seconds: Math.ceil((graceMs - (readAtMs - startedAtMs)) / 1000),
    });
    await clock.sleep(waitMs(graceMs), signal);
  }
}

/**
 * One reading of the list, for batches that the manifest knows nothing of: it may have been restored
 * from a backup. Ids of the jobs that have got one, and how many batches are of no job that is known.
 */
export async function adoptBatches(
  services: SubmitServices,
): Promise<Readonly<{ adopted: readonly string[]; unknown: number }>> {
  const { adopted, unknown } = await adoptFound(services);
  return { adopted, unknown: unknown.length };
}

/** True when a create request of some job may have left without an answer. */
export function needsReconciling(jobs: readonly Job[]): boolean {
  return jobs.some((job) => mayHaveBatch(job) && job.submissions > 0);
}

/** The service may take longer over a create than the grace; it starts with the request. */
const CREATE_TAKES_GRACES = 3;

function isAnyYoung({ clock }: SubmitServices, open: readonly Job[], graceMs: number): boolean {
  const nowMs = clock.now().getTime();
  // an intent that seems to lie ahead is older than a clock that was set back
  const ages = open.map((job) => nowMs - Date.parse(job.updatedAt)).filter((age) => age >= 0);
  return ages.some((age) => age < CREATE_TAKES_GRACES * graceMs);
}

function uncertainJobs({ manifest }: SubmitServices): readonly Job[] {
  return manifest.needing("settle");
}

/**
 * The list of another project never shows the batch. Keys of one project see the same, but which
 * project a key belongs to nobody tells; so only the key of the create, or one that sees other
 * batches of ours, can say that there is none.
 */
function checkKey({ keyId }: SubmitServices, uncertain: readonly Job[]): void {
  const job = uncertain.find((each) => each.keyId !== undefined && each.keyId !== keyId);
  if (job === undefined) return;
  throw new UserError(
    `Whether job ${job.id} has a batch at Gemini cannot be told with this API key, which is not the one that sent it.`,
    {
      hint: `Set GEMINI_API_KEY to the key that submitted the job. Where there is no such key any more, give the job up with \`vecfill cancel ${job.id} --give-up\`. Nothing was changed.`,
      exit: "fatal",
    },
  );
}

/**
 * A batch that tells no name may be that of the lost answer, unless it is known, or was made of something
 * else, or long before. Then the list proves nothing, and sending the job again could pay twice.
 */
function checkNameless(
  { manifest }: SubmitServices,
  open: readonly Job[],
  nameless: readonly Batch[],
): void {
  const known = new Set(manifest.jobs().flatMap((job) => [job.batch, ...job.duplicateBatches]));
  const strangers = nameless.filter(({ name }) => !known.has(name));
  for (const job of open) {
    const ownFiles = `files/${batchPrefix(manifest.id)}${job.id}-`;
    const [first, ...others] = strangers.filter((batch) => mayBeOf(job, batch, ownFiles));
    if (first === undefined) continue;
    const more = others.length === 0 ? "" : ` and ${others.length} more`;
    throw new UserError(
      `Whether job ${job.id} has a batch at Gemini cannot be told: its list shows ${first.name}${more} without a name, which may be the job's. It was not sent again.`,
      {
        hint: `Run the same command again later. If it stays so, \`vecfill cancel ${job.id} --give-up\` gives the job up: a batch that exists all the same is paid for and lost.`,
        exit: "unfinished",
      },
    );
  }
}

/** The two clocks may differ by so much; and an earlier intent may be so much older. */
const CLOCKS_DIFFER_MS = 7 * 24 * 60 * 60 * 1000;

function mayBeOf(
  { target, updatedAt }: Job,
  { model, inputFile, createdAt }: Batch,
  ownFiles: string,
): boolean {
  if (model !== undefined && model !== target.model) return false;
  if (inputFile !== undefined) return inputFile.startsWith(ownFiles);
  return !(Date.parse(createdAt ?? "") < Date.parse(updatedAt) - CLOCKS_DIFFER_MS);
}

type Found = Readonly<{
  adopted: string[];
  unknown: readonly Batch[];
  nameless: readonly Batch[];
  isOurProject: boolean;
}>;

/** Reads the whole list once, and gives every batch of ours to its job. */
async function adoptFound(services: SubmitServices): Promise<Found> {
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
    if (await settle(services, job, [...own])) adopted.push(job.id);
  }
  return {
    adopted,
    unknown: [...unknown],
    nameless,
    isOurProject: isOurProject(batches, manifest.jobs()),
  };
}

/** Where the list does not tell it: a request file is called as the batch that it was uploaded for. */
function nameOf({ displayName, inputFile }: Batch): string {
  return displayName || (inputFile ?? "").replace(/^files\//, "");
}

async function readList(gemini: Gemini, prefix: string, signal: AbortSignal): Promise<Batch[]> {
  try {
    return await gemini.findBatches(prefix, signal);
  } catch (error) {
    throw error instanceof GeminiError ? explain(error, "reading the list of batches") : error;
  }
}

/** True when the job had no batch and now has one. */
async function settle(services: SubmitServices, job: Job, batches: Batch[]): Promise<boolean> {
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
  { manifest, report, keyId }: SubmitServices,
  { id: job }: Job,
  { name: batch }: Batch,
): Promise<boolean> {
  const event = { type: "submitted", job, batch, adopted: true, keyId } as const;
  const submitted = await manifest.recordIf(mayHaveBatch, event);
  if (submitted === undefined) return false;
  report({ type: "submitted", job, batch, adopted: true });
  return true;
}

/** Of two batches the one that has results, or may still get some, is the one to adopt. */
function usefulness({ state }: Batch): number {
  if (isDeadBatch(state) || state === "ended") return 0;
  return hasBatchEnded(state) ? 2 : 1;
}

async function recordDuplicate(
  { manifest, report }: SubmitServices,
  job: Job,
  batch: Batch,
): Promise<void> {
  await manifest.record({ type: "duplicate", job: job.id, batch: batch.name });
  report({
    type: "warning",
    message: `Job ${job.id} has a second batch at Gemini, ${batch.name} (${batch.rawState}); it is not used.`,
    hint: "vecfill cancels nothing by itself: if it has not ended, cancel it in the console.",
  });
}

async function recordAbsent(
  { manifest }: SubmitServices,
  jobs: readonly Job[],
  reads: number,
): Promise<string[]> {
  for (const job of jobs) await manifest.record({ type: "absent", job: job.id, reads });
  return jobs.map((job) => job.id);
}

function waitMs(graceMs: number): number {
  return Math.min(MAX_WAIT_BETWEEN_READS_MS, Math.max(1, graceMs / READS_PER_GRACE));
}
