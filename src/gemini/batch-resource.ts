/**
 * Gemini's operation, as the service sends it, in our words. Read from the raw answer: the SDK's
 * own object has lost `error`, `done`, `response` and `batchStats`.
 */
import { count, fields, type Fields, isFields, list, text } from "./http/json.ts";
import type { Batch, BatchState } from "./port.ts";

/** A page of the batch list. */
export type BatchPage = Readonly<{ batches: readonly Batch[]; nextPageToken: string | undefined }>;

/** Undefined when the answer is no batch: it has no name. */
export function parseBatch(answer: unknown): Batch | undefined {
  const operation = fields(answer);
  const metadata = fields(operation["metadata"]);
  const name = text(operation["name"]) ?? text(metadata["name"]);
  if (name === undefined) return undefined;
  return {
    name,
    displayName: text(metadata["displayName"]) ?? "",
    state: stateOf(operation, metadata),
    rawState: text(metadata["state"]) ?? "",
    createdAt: text(metadata["createTime"]),
    counts: countsOf(metadata["batchStats"]),
    resultsFile: resultsFileOf(operation, metadata),
    error: errorOf(operation),
  };
}

/**
 * Undefined when the answer is no page, or not a whole one. An empty list means "nothing was
 * created" to whoever asked, so it must be the service that said so: `{}` or `operations`.
 */
export function parseBatchPage(answer: unknown): BatchPage | undefined {
  if (!isFields(answer)) return undefined;
  const { operations, nextPageToken, unreachable, ...others } = answer;
  if (operations === undefined && Object.keys(others).length > 0) return undefined;
  if (operations !== undefined && !Array.isArray(operations)) return undefined;
  if (list(unreachable).length > 0) return undefined;
  const batches = list(operations).map(parseBatch);
  if (!batches.every((batch) => batch !== undefined)) return undefined;
  return { batches, nextPageToken: text(nextPageToken) || undefined };
}

const STATES: Readonly<Record<string, BatchState>> = {
  PENDING: "pending",
  QUEUED: "pending",
  RUNNING: "running",
  SUCCEEDED: "succeeded",
  FAILED: "failed",
  CANCELLED: "cancelled",
  EXPIRED: "expired",
};

const ENDED: readonly BatchState[] = ["succeeded", "failed", "cancelled", "expired"];

/** google.rpc.Code of an operation that was cancelled. */
const CANCELLED_CODE = 1;

/**
 * The operation's own `done` and `error` win over a state that lags behind, and results over an
 * error, for they are paid for. What ended without saying how is not taken for ended.
 */
function stateOf(operation: Fields, metadata: Fields): BatchState {
  const told = knownState(metadata["state"]);
  const error = errorOf(operation);
  const hasResults = resultsFileOf(operation, metadata) !== undefined;
  if (error !== undefined && !hasResults) return endedByError(told, error.code);
  if (ENDED.includes(told) || operation["done"] !== true) return told;
  return hasResults || isFields(operation["response"]) ? "succeeded" : "unknown";
}

function knownState(raw: unknown): BatchState {
  const word = (text(raw) ?? "").replace(/^(BATCH|JOB)_STATE_/, "");
  return STATES[word] ?? "unknown";
}

function endedByError(told: BatchState, code: number): BatchState {
  if (told === "failed" || told === "cancelled" || told === "expired") return told;
  return code === CANCELLED_CODE ? "cancelled" : "failed";
}

function errorOf(operation: Fields): Batch["error"] {
  const error = operation["error"];
  if (!isFields(error)) return undefined;
  return { code: count(error["code"]) ?? 0, message: text(error["message"]) ?? "" };
}

/** Zero counters are left out by the service. */
function countsOf(stats: unknown): Batch["counts"] {
  if (!isFields(stats)) return undefined;
  return {
    requests: count(stats["requestCount"]) ?? 0,
    successful: count(stats["successfulRequestCount"]) ?? 0,
    failed: count(stats["failedRequestCount"]) ?? 0,
  };
}

function resultsFileOf(operation: Fields, metadata: Fields): string | undefined {
  return (
    text(fields(operation["response"])["responsesFile"]) ??
    text(fields(metadata["output"])["responsesFile"])
  );
}
