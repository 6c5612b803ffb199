/**
 * One job through the interactive API, up to the results file that a batch would have left. Calls of
 * a hundred texts, a few under way at once; the answer to each is durable in the checkpoint before
 * its place is given to another. The API cannot tell a repeated call from a new one, so a crash may
 * cost the calls under way, and never more: MAX_CALLS_UNDER_WAY times a hundred texts.
 */
import type { StageServices } from "../jobs-folder/stage-services.ts";
import { explain } from "../words/explain.ts";
import { GeminiError, MAX_TEXTS_NOW } from "../gemini/port.ts";
import { type Checkpoint, openCheckpoint, placeResults } from "../jobs-folder/checkpoint.ts";
import { type Job, linesOf } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { checkRequestFile } from "../jobs-folder/request-file.ts";
import { readLines } from "../disk/jsonl.ts";
import type { JobFiles } from "../manifest/file-names.ts";
import { parseRequestLine, type RequestLine } from "../row/request-line.ts";
import { answerOf } from "./answer.ts";
import { CallGroup } from "./call-group.ts";
import { needs } from "../manifest/states.ts";

export type EmbedServices = Pick<StageServices, "gemini" | "manifest" | "report" | "signal"> &
  Readonly<{
    /** Told of each call that was answered and is durable. */
    onAnswer?: () => void;
  }>;

const MAX_CALLS_UNDER_WAY = 4;

/**
 * The job, `downloaded`. Undefined when the signal was aborted first: what was answered by then is
 * kept, and the next call goes on from there. Undefined also when a batch of the job was found
 * meanwhile: it then goes that way.
 */
export async function embedJob(services: EmbedServices, job: Job): Promise<Job | undefined> {
  const { manifest, report } = services;
  const files = await manifest.bring(job);
  await checkRequestFile(files, job);
  const begun = await beginEmbedding(manifest, job);
  if (begun === undefined) return undefined;
  const checkpoint = await openCheckpoint(files, begun);
  try {
    await answerAll(services, begun, checkpoint);
  } finally {
    await checkpoint.close();
  }
  if (checkpoint.answered < linesOf(begun)) return undefined;
  const embedded = await recordEmbedded(manifest, begun);
  report({ type: "embedded", job: job.id, requests: linesOf(embedded) });
  return embedded;
}

/** The lane is recorded before the first call leaves: from then on no batch is made of the job. */
async function beginEmbedding(manifest: Manifest, job: Job): Promise<Job | undefined> {
  if (needs(job) === "embed") return job;
  return manifest.recordIf(isFree, { type: "embedding", job: job.id });
}

function isFree(job: Job): boolean {
  return needs(job) === "send";
}

async function recordEmbedded(manifest: Manifest, job: Job): Promise<Job> {
  const file = await placeResults(manifest.files(job.id));
  return manifest.record({ type: "downloaded", job: job.id, file }, job);
}

/** Returns early when the signal is aborted. The first call that fails stops the others, and is thrown. */
async function answerAll(services: EmbedServices, job: Job, checkpoint: Checkpoint): Promise<void> {
  const { manifest, report, signal, onAnswer } = services;
  const group = new CallGroup(signal);
  const calls = callsOf(manifest.files(job.id), checkpoint);
  const progress = () =>
    report({ type: "embedding", job: job.id, rows: checkpoint.answered, requests: linesOf(job) });
  const callInTurn = async () => {
    while (!group.stop.aborted) {
      const call = await calls.next();
      if (call.done === true) return;
      await answerCall(services, job, call.value, checkpoint, group);
      onAnswer?.();
      progress();
    }
  };
  progress();
  try {
    await group.all(Array.from({ length: MAX_CALLS_UNDER_WAY }, () => callInTurn));
  } finally {
    await calls.return(undefined);
  }
}

/** Throws a UserError that says what was being done. */
async function answerCall(
  { gemini }: EmbedServices,
  job: Job,
  requests: readonly RequestLine[],
  checkpoint: Checkpoint,
  group: CallGroup,
): Promise<void> {
  try {
    await answerOf(requests, {
      embed: (texts) => gemini.embedNow({ ...job.target, texts }, group),
      keep: (answers) => checkpoint.append(answers),
    });
  } catch (error) {
    throw error instanceof GeminiError ? explain(error, `embedding job ${job.id} at once`) : error;
  }
}

/** The requests that have no answer yet, in the file's order, as many together as a call may hold. */
async function* callsOf(
  files: Pick<JobFiles, "requests">,
  checkpoint: Pick<Checkpoint, "isAnswered">,
): AsyncGenerator<readonly RequestLine[], undefined> {
  let call: RequestLine[] = [];
  for await (const lines of readLines(files.requests)) {
    for (const { bytes } of lines) {
      if (bytes === undefined || bytes.length === 0) continue;
      const request = parseRequestLine(bytes);
      if (checkpoint.isAnswered(request.key)) continue;
      call.push(request);
      if (call.length < MAX_TEXTS_NOW) continue;
      yield call;
      call = [];
    }
  }
  if (call.length > 0) yield call;
  return undefined;
}
