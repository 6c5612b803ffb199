/**
 * A batch in other shapes than the recorded one: as the service's samples, its specification and other
 * people's test suites have it. What is not chosen stays as it is.
 */
import type { Behaviour } from "../faults/behaviour.ts";
import { isJsonObject } from "../../row/json-value.ts";
import { type Answer, ok } from "../http/http.ts";
import { entityNotFound, invalid, ServiceError } from "../http/service-error.ts";

type Operation = Readonly<Record<string, unknown>>;

/** To a look at one batch. */
export function lookedAt(recorded: object, behaviour: Behaviour): object {
  const operation = withoutWord(spelled({ ...recorded }, behaviour), behaviour);
  if (behaviour.is("get-shape", "top-level")) return flat(operation);
  const file = responsesFileOf(operation);
  if (file === undefined) return operation;
  if (behaviour.is("get-shape", "response-output")) {
    return { ...lacking(operation, "output"), response: { output: { responsesFile: file } } };
  }
  const isSample = behaviour.is("get-shape", "dest");
  return isSample ? { ...lacking(operation, "output"), dest: { fileName: file } } : operation;
}

/** In a list. */
export function listedAs(recorded: object, behaviour: Behaviour): object {
  const operation = spelled({ ...recorded }, behaviour);
  if (behaviour.is("list-shape", "top-level")) return flat(operation);
  if (behaviour.is("list-shape", "nameless")) {
    return lacking(operation, "displayName", "inputConfig");
  }
  return behaviour.is("list-shape", "unknown") ? { id: operation["name"] } : operation;
}

/** To its creation. */
export function createdAs(recorded: object, behaviour: Behaviour): object {
  const operation = { ...recorded };
  if (behaviour.is("create-name", "batch")) return operation;
  if (behaviour.is("create-name", "another")) return anotherBatch(operation);
  return { ...lacking(operation, "name"), name: "operations/of-another-kind" };
}

/** As a cache in between would answer. */
function anotherBatch({ metadata, ...operation }: Operation): Operation {
  const name = `batches/${"0".repeat(36)}`;
  const told = isJsonObject(metadata) ? metadata : {};
  return { ...operation, name, metadata: { ...told, name, displayName: "another-batch" } };
}

export function takesBatches(model: string, behaviour: Behaviour): boolean {
  if (behaviour.is("batch-models", "newest")) return model === "gemini-embedding-2";
  return behaviour.is("batch-models", "all");
}

/** The error of a result line: where it is recorded, or within `response` beside an empty one. */
export function lineError(error: ServiceError, behaviour: Behaviour): object {
  const status = { code: lineCode(error, behaviour), message: error.message };
  if (behaviour.is("line-errors", "top-level")) return { error: status };
  return { error: { message: "" }, response: { error: status } };
}

/** Of neither google.rpc nor HTTP. */
const UNKNOWN_CODE = 77;

function lineCode(error: ServiceError, behaviour: Behaviour): number {
  if (behaviour.is("line-codes", "unknown")) return UNKNOWN_CODE;
  return behaviour.is("line-codes", "http") ? error.http : error.code;
}

const MONEY_REFUSALS = [
  [
    "credits-depleted",
    "RESOURCE_EXHAUSTED",
    "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.",
  ],
  ["spending-cap", "RESOURCE_EXHAUSTED", "Your project has exceeded its monthly spending cap."],
  [
    "free-tier",
    "RESOURCE_EXHAUSTED",
    "You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded for metric: embed_content_free_tier_requests, limit: 0",
  ],
  ["no-billing-400", "FAILED_PRECONDITION", "Please enable billing on your project."],
  ["no-billing-403", "PERMISSION_DENIED", "This API method requires billing to be enabled."],
] as const;

/** What a create is refused with where the project has no money for it; undefined where it has. */
export function moneyRefusal(behaviour: Behaviour): ServiceError | undefined {
  const refusal = MONEY_REFUSALS.find(([choice]) => behaviour.is("money", choice));
  return refusal && new ServiceError(refusal[1], refusal[2]);
}

/** Of the two addresses of a download one may be missing. Throws a ServiceError. */
export function checkRoute(isDocumented: boolean, behaviour: Behaviour): void {
  if (isDocumented && behaviour.is("download-route", "sdk")) throw entityNotFound();
  if (!isDocumented && behaviour.is("download-route", "documented-404")) throw entityNotFound();
  if (!isDocumented && behaviour.is("download-route", "documented-400")) {
    throw invalid("* DownloadFileRequest.name: File ID cannot be more than 40 characters.\n");
  }
}

/** The same page again and again, where that is chosen. */
export function circularPage(behaviour: Behaviour): Answer | undefined {
  if (!behaviour.is("list-end", "circular")) return undefined;
  return ok({ nextPageToken: "the-same-again" });
}

function flat({ metadata, ...operation }: Operation): Operation {
  return { ...(isJsonObject(metadata) ? metadata : {}), ...operation };
}

function lacking({ metadata, ...operation }: Operation, ...names: string[]): Operation {
  const kept = Object.entries(isJsonObject(metadata) ? metadata : {}).filter(
    ([name]) => !names.includes(name),
  );
  const others = Object.entries(operation).filter(
    ([name]) => !(names.includes("output") && name === "response"),
  );
  return { ...Object.fromEntries(others), metadata: Object.fromEntries(kept) };
}

function responsesFileOf({ response }: Operation): unknown {
  return isJsonObject(response) ? response["responsesFile"] : undefined;
}

function spelled(operation: Operation, behaviour: Behaviour): Operation {
  if (behaviour.is("state-names", "batch")) return operation;
  const prefix = behaviour.is("state-names", "job") ? "JOB_STATE_" : "";
  return inState(operation, (word) => word.replace("BATCH_STATE_", prefix));
}

/** Of an end without results: an unknown word, and no error; or none of the results of failed requests. */
function withoutWord(operation: Operation, behaviour: Behaviour): Operation {
  const { error, ...others } = operation;
  if (error !== undefined && behaviour.is("bad-end", "unexplained")) {
    return inState(others, () => "BATCH_STATE_ABANDONED");
  }
  const hasNone = behaviour.is("all-failed", "no-output") && hasOnlyFailures(operation);
  return hasNone ? lacking(operation, "output") : operation;
}

function hasOnlyFailures({ metadata }: Operation): boolean {
  const stats = isJsonObject(metadata) ? metadata["batchStats"] : undefined;
  if (!isJsonObject(stats)) return false;
  return stats["failedRequestCount"] === stats["requestCount"];
}

function inState(operation: Operation, change: (word: string) => string): Operation {
  const { metadata } = operation;
  if (!isJsonObject(metadata)) return operation;
  return { ...operation, metadata: { ...metadata, state: change(String(metadata["state"])) } };
}
