/**
 * One job to Gemini. A create request is not idempotent, so the order is: upload (harmless to
 * repeat), record the intent, send one create request, record the answer. When there is no usable
 * answer the job stays `submitting`, and only `settle-lane.ts` may decide what became of it.
 */
import { isOfProject } from "../gates/keys.ts";
import { senderOf, type StageServices } from "../jobs-folder/stage-services.ts";
import type { Clock } from "../clock.ts";
import { explain } from "../words/explain.ts";
import { HoldLost } from "../errors.ts";
import { type Batch, GeminiError } from "../gemini/port.ts";
import { deleteIdleInputs } from "../jobs-folder/input-file.ts";
import { checkHold } from "../manifest/event-log.ts";
import type { Job } from "../manifest/job.ts";
import type { Probe } from "../manifest/quota/quota-log.ts";
import { checkRequestFile } from "../jobs-folder/request-file.ts";
import { batchDisplayName, remoteFileName } from "../jobs-folder/batch-names.ts";
import { duration } from "../words/figures.ts";
import { adoptWithDuplicates } from "./adopt.ts";

export type SubmitOutcome =
  | Readonly<{ kind: "submitted"; job: Job }>
  /** Refused for quota: nothing was created, later it may be. */
  | Readonly<{
      kind: "quota";
      job: Job;
      message: string;
    }>
  /** What spoke for sending it does not hold any more: others were first. Nothing left. */
  | Readonly<{ kind: "waits"; job: Job }>
  /** Whether there is a batch is not known; the job is `submitting`. */
  | Readonly<{ kind: "uncertain"; job: Job; message: string }>;

/**
 * `mayStart` is asked in the very step that records the intent: of several who send, each sees what the others have sent.
 * `probe`: by what is known the queue is full, and the answer is to tell whether that is so.
 */
export type Sending = Readonly<{ mayStart?: () => boolean; probe?: Probe | undefined }>;

/** Throws a UserError where the request file, the key or the request itself is refused. */
export async function submitJob(
  services: StageServices,
  exported: Job,
  sending: Sending = {},
): Promise<SubmitOutcome> {
  // also where it is uploaded already: without it nobody could match the results to rows
  await checkRequestFile(await services.manifest.bring(exported), exported);
  const uploaded = await uploadedJob(services, exported);
  const outcome = await createOnce(services, uploaded, sending);
  if (outcome.kind !== "fileGone") return outcome;
  const again = await createOnce(services, await uploadRequests(services, outcome.job), sending);
  if (again.kind !== "fileGone") return again;
  throw explain(again.error, `starting the batch of job ${exported.id}`);
}

/** The input file must outlive the batch's time in the queue; this much of its 48 h must be left. */
const MIN_FILE_LIFE_MS = 36 * 60 * 60 * 1000;

async function uploadedJob(services: StageServices, job: Job): Promise<Job> {
  const { remoteFile } = job;
  if (remoteFile === undefined || !isOfProject(services, job)) return uploadRequests(services, job);
  const lifeMs = Date.parse(remoteFile.expiresAt ?? "") - services.clock.now().getTime();
  return lifeMs >= MIN_FILE_LIFE_MS ? job : uploadRequests(services, job);
}

async function uploadRequests(services: StageServices, job: Job): Promise<Job> {
  const { gemini, manifest, report, signal } = services;
  const path = manifest.files(job.id).requests;
  report({ type: "uploading", job: job.id, bytes: job.requestFile.bytes });
  try {
    const remoteName = remoteFileName(manifest.id, job, job.submissions + 1);
    const file = { path, ...job.requestFile, remoteName };
    const sendFile = () => gemini.uploadFile(file, signal);
    const remoteFile = await sendFile().catch((error: unknown) =>
      afterMakingRoom(services, error, sendFile),
    );
    const { project } = senderOf(services);
    return await manifest.record({ type: "uploaded", job: job.id, project, remoteFile }, job);
  } catch (error) {
    throw error instanceof GeminiError ? explain(error, `uploading job ${job.id}`) : error;
  }
}

/** An upload that is refused for quota may have met a full storage: what is idle there goes first. */
async function afterMakingRoom<T>(
  services: StageServices,
  error: unknown,
  again: () => Promise<T>,
): Promise<T> {
  if (!(error instanceof GeminiError) || error.kind !== "quota") throw error;
  const deleted = await deleteIdleInputs(services);
  if (deleted === 0) throw error;
  services.report({
    type: "warning",
    message: `Gemini refused an upload for quota. Uploaded files that no batch needs any more were deleted there: ${deleted}.`,
    hint: undefined,
  });
  return again();
}

type FileGone = Readonly<{ kind: "fileGone"; job: Job; error: GeminiError }>;

/** Records the intent, sends exactly one create request, records what came of it. */
async function createOnce(
  services: StageServices,
  job: Job,
  { mayStart = () => true, probe }: Sending,
): Promise<SubmitOutcome | FileGone> {
  const { gemini, manifest } = services;
  const file = job.remoteFile?.name;
  if (file === undefined) throw new Error(`job ${job.id} has no uploaded file`);
  const submission = job.submissions + 1;
  const mark = await services.targetMarkOf?.(job.target);
  const displayName = batchDisplayName(manifest.id, job, submission, mark);
  const since = momentOf(services.clock);
  const isAdmitted = (now: Job) => {
    checkHold(now, job);
    return mayStart();
  };
  const named = { type: "submitting", job: job.id, displayName, submission } as const;
  const event = { ...named, ...senderOf(services), probe };
  const intent = await manifest.recordIf(isAdmitted, event);
  if (intent === undefined) return { kind: "waits", job };
  const tooLate = await pauseSince(services, since);
  if (tooLate !== undefined) return { kind: "uncertain", job: intent, message: tooLate };
  try {
    const batch = await gemini.createBatch({ model: job.target.model, file, displayName });
    return { kind: "submitted", job: await recordSubmitted(services, intent, batch) };
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error;
    return afterFailedCreate(services, intent, error);
  }
}

type Moment = Readonly<{ elapsedMs: number; wallMs: number }>;

function momentOf(clock: Clock): Moment {
  return { elapsedMs: clock.elapsedMs(), wallMs: clock.now().getTime() };
}

/** A process that was suspended for longer may have been taken for dead meanwhile. */
const MAX_INTENT_AGE_MS = 20_000;

/**
 * Says why the create request must not leave any more; nothing is awaited between this and its leaving.
 * Throws where another process has the folder.
 */
async function pauseSince(
  { manifest, clock }: StageServices,
  since: Moment,
): Promise<string | undefined> {
  await manifest.stillHeld();
  const now = momentOf(clock);
  const ageMs = Math.max(now.elapsedMs - since.elapsedMs, Math.abs(now.wallMs - since.wallMs));
  if (ageMs < MAX_INTENT_AGE_MS) return undefined;
  return `the process was held up for ${duration(ageMs / 1000)} before the request left, and did not send it`;
}

async function recordSubmitted(services: StageServices, intent: Job, batch: Batch): Promise<Job> {
  const { manifest, report } = services;
  const its = { type: "submitted", job: intent.id, batch: batch.name, adopted: false } as const;
  try {
    const submitted = await manifest.record({ ...its, ...senderOf(services) }, intent);
    report(its);
    return submitted;
  } catch (error) {
    // others took this process for dead; but nobody else may know of the batch yet
    const isLost = error instanceof HoldLost;
    if (!isLost || !(await adoptWithDuplicates(services, intent, [batch]))) throw error;
    return manifest.job(intent.id);
  }
}

async function afterFailedCreate(
  { manifest }: StageServices,
  job: Job,
  error: GeminiError,
): Promise<SubmitOutcome | FileGone> {
  const { kind, message, retryAfterMs, limit } = error;
  if (kind === "uncertain") return { kind, job, message };
  const fileGone = kind === "notFound";
  const event = {
    type: "refused",
    job: job.id,
    // to the quota log a 429 is one; this is none
    error: { code: kind === "billing" ? undefined : error.httpStatus, message },
    fileGone,
    limit,
    retryAfterMs: retryAfterMs === undefined ? undefined : Math.round(retryAfterMs),
  } as const;
  const refused = await manifest.record(event, job);
  if (fileGone) return { kind: "fileGone", job: refused, error };
  if (kind === "quota") return { kind, job: refused, message };
  throw explain(error, `starting the batch of job ${job.id}`);
}
