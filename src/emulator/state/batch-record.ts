/** A batch, on disk and as the service shows it: an Operation whose metadata is the batch. */
import { isModelName, type ModelName } from "../../row/models.ts";
import { resultsFileId } from "../http/identifiers.ts";
import { isJsonObject } from "../../row/json-value.ts";
import { MessageType, omitEmpty } from "../http/proto-json.ts";
import { timestamp } from "../faults/time.ts";

const ENDED_STATES = ["SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"] as const;
export type EndedState = (typeof ENDED_STATES)[number];

/** How a batch was fated to go when it was created. */
const FATES = ["succeed", "fail", "expire", "cancel", "stick", "unknown-state"] as const;
export type Fate = (typeof FATES)[number];

export type BatchEnd = Readonly<{
  state: EndedState;
  atMs: number;
  successful: number;
  failed: number;
  /** Undefined where there are no results. */
  resultBytes: number | undefined;
  error: Readonly<{ code: number; message: string }> | undefined;
}>;

export type BatchRecord = Readonly<{
  id: string;
  /** How many batches there were in the folder before this one. */
  number: number;
  project: string;
  model: ModelName;
  displayName: string;
  priority: number;
  /** Undefined for requests sent inline. */
  inputFile: string | undefined;
  requests: number;
  /** 0 when no quota is kept: then nobody needs to count. */
  tokens: number;
  createdAtMs: number;
  runsAtMs: number;
  endsAtMs: number;
  listedAtMs: number;
  fate: Fate;
  /** The faults in force when it was created. */
  faults: string;
  end: BatchEnd | undefined;
  deletedAtMs: number | undefined;
}>;

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

const RECORD = new MessageType(
  "id",
  "number",
  "project",
  "model",
  "displayName",
  "priority",
  "inputFile",
  "requests",
  "tokens",
  "createdAtMs",
  "runsAtMs",
  "endsAtMs",
  "listedAtMs",
  "fate",
  "faults",
  "end",
  "deletedAtMs",
);
const END = new MessageType("state", "atMs", "successful", "failed", "resultBytes", "error");

/** Throws when the file is none of ours. */
export function readBatchRecord(value: unknown): BatchRecord {
  const record = RECORD.open(value, "batch");
  const model = record.string("model") ?? "";
  if (!isModelName(model))
    throw new Error(`the emulator's folder names an unknown model: ${model}`);
  return {
    id: record.string("id") ?? "",
    number: record.int("number") ?? 0,
    project: record.string("project") ?? "",
    model,
    displayName: record.string("displayName") ?? "",
    priority: record.int("priority") ?? 0,
    inputFile: record.string("inputFile"),
    requests: record.int("requests") ?? 0,
    tokens: record.int("tokens") ?? 0,
    createdAtMs: record.int("createdAtMs") ?? 0,
    runsAtMs: record.int("runsAtMs") ?? 0,
    endsAtMs: record.int("endsAtMs") ?? 0,
    listedAtMs: record.int("listedAtMs") ?? 0,
    fate: FATES.find((fate) => fate === record.string("fate")) ?? "succeed",
    faults: record.string("faults") ?? "",
    end: record.message("end", readEnd),
    deletedAtMs: record.int("deletedAtMs"),
  };
}

function readEnd(value: unknown, at: string): BatchEnd {
  const end = END.open(value, at);
  const state = ENDED_STATES.find((known) => known === end.string("state"));
  if (state === undefined) throw new Error("the emulator's folder has a batch in an unknown state");
  const error = end.raw("error");
  return {
    state,
    atMs: end.int("atMs") ?? 0,
    successful: end.int("successful") ?? 0,
    failed: end.int("failed") ?? 0,
    resultBytes: end.int("resultBytes"),
    error: isJsonObject(error)
      ? { code: Number(error["code"]), message: String(error["message"]) }
      : undefined,
  };
}
