/**
 * Gemini's operation, as the service sends it, in our words. Read from the raw answer: the SDK's
 * own object has lost `error`, `done`, `response` and `batchStats`.
 *
 * Every recorded answer has the batch's members under `metadata`. The service's own samples, and clients
 * that were tested against it, have them at the top level; so they are read at both places, the top
 * first, and neither is believed to be the only one. This is the one place that knows of any shape.
 */
import { count, fields, list, text } from "./http/json.ts";
import { type JsonObject, isJsonObject } from "../row/json-value.ts";
import type { Batch, BatchState } from "./port.ts";

/** A page of the batch list. */
export type BatchPage = Readonly<{ batches: readonly Batch[]; nextPageToken: string | undefined }>;

/** Undefined when the answer is no batch: it has no name that is one. */
export function parseBatch(answer: unknown): Batch | undefined {
  const operation = fields(answer);
  const metadata = fields(operation["metadata"]);
  const told: Told = (name) => [operation[name], metadata[name]];
  const name = first(told("name"), batchName);
  if (name === undefined) return undefined;
  const counts = first(told("batchStats"), countsOf);
  const resultsFile = resultsFileOf(operation, told);
  const error = errorOf(operation);
  return {
    name,
    displayName: first(told("displayName"), words) ?? "",
    state: stateIn(operation, told, { resultsFile, error, counts }),
    rawState: rawStateOf(told),
    createdAt: first(told("createTime"), text),
    endedAt: first(told("endTime"), text),
    model: first(told("model"), text)?.replace(/^models\//, ""),
    inputFile: first(told("inputConfig"), inputFileIn),
    counts,
    resultsFile,
    error,
  };
}

/**
 * Undefined when the answer is no page, or not a whole one. An empty list means "nothing was
 * created" to whoever asked, so it must be the service that said so: `{}` or `operations`, and
 * nothing beside it that may hold batches or an error.
 */
export function parseBatchPage(answer: unknown): BatchPage | undefined {
  if (!isJsonObject(answer)) return undefined;
  const { operations, nextPageToken, unreachable, ...others } = answer;
  if (operations === undefined && Object.keys(others).length > 0) return undefined;
  if (operations !== undefined && !Array.isArray(operations)) return undefined;
  if (Object.values({ unreachable, ...others }).some(holdsSomething)) return undefined;
  if (nextPageToken !== undefined && text(nextPageToken) === undefined) return undefined;
  const batches = list(operations).map(parseBatch);
  if (!batches.every((batch) => batch !== undefined)) return undefined;
  return { batches, nextPageToken: text(nextPageToken) || undefined };
}

function holdsSomething(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length > 0;
}

/** What a batch says of itself under a name, at each of the places where it may say it. */
type Told = (name: string) => readonly unknown[];

function first<T>(values: readonly unknown[], read: (value: unknown) => T | undefined) {
  for (const value of values) {
    const found = read(value);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A text that is not empty. */
function words(value: unknown): string | undefined {
  return text(value) || undefined;
}

/** Under any other name nobody could look at it again. */
function batchName(value: unknown): string | undefined {
  const name = text(value) ?? "";
  return /^batches\/[\w-]+$/.test(name) ? name : undefined;
}

const STATES: Readonly<Record<string, BatchState>> = {
  PENDING: "pending",
  QUEUED: "pending",
  RUNNING: "running",
  PROCESSING: "running",
  IN_PROGRESS: "running",
  CANCELLING: "running",
  SUCCEEDED: "succeeded",
  PARTIALLY_SUCCEEDED: "succeeded",
  COMPLETED: "succeeded",
  FAILED: "failed",
  CANCELLED: "cancelled",
  CANCELED: "cancelled",
  EXPIRED: "expired",
};

const ENDED: readonly BatchState[] = ["succeeded", "failed", "cancelled", "expired"];

/** google.rpc.Code of an operation that was cancelled. */
const CANCELLED_CODE = 1;

/**
 * The operation's own `done` and `error` win over a state that lags behind, and results over an
 * error, for they are paid for. What is done and shows neither has ended all the same, unless it counts
 * successful requests: these have results somewhere, and are waited for.
 */
function stateIn(
  operation: JsonObject,
  told: Told,
  { resultsFile, error, counts }: Pick<Batch, "resultsFile" | "error" | "counts">,
): BatchState {
  const states = told("state").map(knownState);
  const state = states.find((each) => ENDED.includes(each)) ?? states.find(isKnown) ?? "unknown";
  const hasResults = resultsFile !== undefined;
  if (error !== undefined && !hasResults) return endedByError(state, error.code);
  if (ENDED.includes(state) || operation["done"] !== true) return state;
  const owesResults = hasResults || (counts?.successful ?? 0) > 0;
  return owesResults || isJsonObject(operation["response"]) ? "succeeded" : "ended";
}

function isKnown(state: BatchState): boolean {
  return state !== "unknown";
}

function knownState(raw: unknown): BatchState {
  const word = (text(raw) ?? "").toUpperCase().replace(/^([A-Z]+_)?STATE_/, "");
  return STATES[word] ?? "unknown";
}

/** The word that says most: that of an end before one that lags behind. */
function rawStateOf(told: Told): string {
  return first(told("state"), wordOfEnd) ?? first(told("state"), words) ?? "";
}

function wordOfEnd(value: unknown): string | undefined {
  return ENDED.includes(knownState(value)) ? text(value) : undefined;
}

function endedByError(told: BatchState, code: number): BatchState {
  if (told === "failed" || told === "cancelled" || told === "expired") return told;
  return code === CANCELLED_CODE ? "cancelled" : "failed";
}

/** One that says nothing is none: code 0 is OK. */
function errorOf(operation: JsonObject): Batch["error"] {
  const error = fields(operation["error"]);
  const code = count(error["code"]) ?? 0;
  const message = text(error["message"]) ?? "";
  return code === 0 && message === "" ? undefined : { code, message };
}

/** Zero counters are left out by the service. */
function countsOf(stats: unknown): Batch["counts"] {
  if (!isJsonObject(stats)) return undefined;
  return {
    requests: count(stats["requestCount"]) ?? 0,
    successful: count(stats["successfulRequestCount"]) ?? 0,
    failed: count(stats["failedRequestCount"]) ?? 0,
  };
}

/** `responsesFile`, or what the SDK makes of it, wherever a recording, a specification or a sample has it. */
function resultsFileOf(operation: JsonObject, told: Told): string | undefined {
  const response = fields(operation["response"]);
  const within = [response["output"], response["dest"]];
  const outputs = [response, ...within, ...told("output"), ...told("dest")];
  return first(outputs, (output) => {
    const { responsesFile, fileName } = fields(output);
    return fileIn(responsesFile) ?? fileIn(fileName);
  });
}

/** As the service writes it, or as the create request did. */
function inputFileIn(config: unknown): string | undefined {
  return fileIn(fields(config)["fileName"]) ?? fileIn(fields(config)["file_name"]);
}

/** `files/…`, also where the address of the file is told in its place. */
function fileIn(value: unknown): string | undefined {
  return /(?:^|\/)(?<name>files\/[\w-]+)/.exec(text(value) ?? "")?.groups?.["name"];
}
