/** A batch, on disk and as the service shows it: an Operation whose metadata is the batch. */
import { z } from "zod";
import { isModelName, MODELS } from "../../row/models.ts";
import { resultsFileId } from "../http/identifiers.ts";
import { omitEmpty } from "../http/proto-json.ts";
import { timestamp } from "../faults/time.ts";

const END = z.object({
  state: z.enum(["SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"]),
  atMs: z.number(),
  successful: z.number(),
  failed: z.number(),
  /** Undefined where there are no results. */
  resultBytes: z.number().optional(),
  error: z.object({ code: z.number(), message: z.string() }).optional(),
});

export const BATCH_RECORD = z.object({
  id: z.string(),
  /** How many batches there were in the folder before this one. */
  number: z.number(),
  project: z.string(),
  model: z.enum(Object.keys(MODELS).filter(isModelName)),
  displayName: z.string(),
  priority: z.number(),
  /** Undefined for requests sent inline. */
  inputFile: z.string().optional(),
  requests: z.number(),
  /** 0 when no quota is kept: then nobody needs to count. */
  tokens: z.number(),
  createdAtMs: z.number(),
  runsAtMs: z.number(),
  endsAtMs: z.number(),
  listedAtMs: z.number(),
  /** How it was fated to go when it was created. */
  fate: z.enum(["succeed", "fail", "expire", "cancel", "stick", "unknown-state"]),
  /** The faults in force when it was created. */
  faults: z.string(),
  end: END.optional(),
  deletedAtMs: z.number().optional(),
});

export type BatchEnd = Readonly<z.infer<typeof END>>;
export type EndedState = BatchEnd["state"];
export type BatchRecord = Readonly<z.infer<typeof BATCH_RECORD>>;
export type Fate = BatchRecord["fate"];

const TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main.EmbedContentBatch";
const UNKNOWN_STATE = "BATCH_STATE_AWAITING_CAPACITY";

/** Whether a batch still holds a place and tokens. */
export function isActive(batch: Pick<BatchRecord, "end" | "deletedAtMs">): boolean {
  return batch.end === undefined && batch.deletedAtMs === undefined;
}

/** The service's word for the state of a batch at a moment. */
export function stateName(batch: BatchRecord, nowMs: number): string {
  if (batch.end !== undefined) return `BATCH_STATE_${batch.end.state}`;
  if (batch.fate === "stick" || nowMs < batch.runsAtMs) return "BATCH_STATE_PENDING";
  return batch.fate === "unknown-state" ? UNKNOWN_STATE : "BATCH_STATE_RUNNING";
}

/** `inlined`: the results of an inline batch, which stand in the answer itself. */
export function batchOperation(batch: BatchRecord, nowMs: number, inlined?: unknown[]): object {
  const output = batchOutput(batch, inlined);
  return {
    name: `batches/${batch.id}`,
    metadata: batchMetadata(batch, nowMs, output, currentStats(batch)),
    ...(batch.end === undefined ? {} : { done: true }),
    ...(batch.end?.error === undefined ? {} : { error: batch.end.error }),
    ...(output === undefined ? {} : { response: { "@type": `${TYPE}Output`, ...output } }),
  };
}

/** As lists show it: no response, and statistics that may be those of the beginning. */
export function listedOperation(batch: BatchRecord, nowMs: number, staleStats: boolean): object {
  const output = batch.inputFile === undefined ? undefined : batchOutput(batch);
  const stats = staleStats ? firstStats(batch) : currentStats(batch);
  return {
    name: `batches/${batch.id}`,
    metadata: batchMetadata(batch, nowMs, output, stats),
    ...(batch.end === undefined ? {} : { done: true }),
    ...(batch.end?.error === undefined ? {} : { error: batch.end.error }),
  };
}

function batchMetadata(
  batch: BatchRecord,
  nowMs: number,
  output: object | undefined,
  batchStats: object,
): object {
  const created = timestamp(batch.createdAtMs, batch.id);
  const ended = batch.end === undefined ? undefined : timestamp(batch.end.atMs, batch.id);
  return omitEmpty({
    "@type": TYPE,
    model: `models/${batch.model}`,
    displayName: batch.displayName,
    inputConfig:
      batch.inputFile === undefined ? undefined : { fileName: `files/${batch.inputFile}` },
    output,
    createTime: created,
    endTime: ended,
    // It does not move while the batch runs.
    updateTime: ended ?? created,
    batchStats,
    state: stateName(batch, nowMs),
    priority: String(batch.priority),
    name: `batches/${batch.id}`,
  });
}

function batchOutput(batch: BatchRecord, inlined?: unknown[]): object | undefined {
  if (batch.end?.resultBytes === undefined) return undefined;
  if (batch.inputFile !== undefined) return { responsesFile: `files/${resultsFileId(batch.id)}` };
  return inlined === undefined ? undefined : { inlinedResponses: { inlinedResponses: inlined } };
}

function firstStats(batch: BatchRecord): object {
  const count = String(batch.requests);
  return omitEmpty({ requestCount: count, pendingRequestCount: count });
}

function currentStats(batch: BatchRecord): object {
  if (batch.end === undefined) return firstStats(batch);
  const { successful, failed } = batch.end;
  return omitEmpty({
    requestCount: String(batch.requests),
    successfulRequestCount: String(successful),
    failedRequestCount: String(failed),
    pendingRequestCount: String(batch.requests - successful - failed),
  });
}
