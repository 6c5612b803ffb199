/** A line of an input file, as the service sees it when the batch runs. */
import type { ModelName } from "../../row/models.ts";
import {
  checkedEmbedding,
  type Embedder,
  type Embedding,
  hasEmptyText,
  readEmbedRequest,
} from "../vectors/embed-request.ts";
import { isJsonObject, type JsonObject, parseJson } from "../../row/json-value.ts";
import { invalid, ServiceError } from "../http/service-error.ts";

export type RequestRow = Readonly<{
  /** Undefined when the line has none. */
  key: string | undefined;
  /** Inline requests carry this instead of a key; it is echoed. */
  metadata: unknown;
  /** Members beside key and request: echoed, not applied, arrays emptied (go-genai #513). */
  echoed: Readonly<Record<string, unknown>>;
  outcome: Embedding | ServiceError;
}>;

/** Thrown where one line ends the whole batch. */
export class BatchFailure extends Error {
  override readonly name = "BatchFailure";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const WHERE = "EmbedContentRequest";

/** Throws a BatchFailure where the chosen behaviour is that one bad line fails them all. */
export function readRequestRow(
  line: string,
  number: number,
  model: ModelName,
  embedder: Embedder,
): RequestRow {
  const parsed = parseLine(line);
  if (parsed === undefined) {
    return unreadable(
      invalid(`Failed to parse line ${number}: not a JSON object`),
      number,
      embedder,
    );
  }
  const { key, request, metadata, ...others } = parsed;
  const echoed = Object.fromEntries(
    Object.entries(others).map(([name, value]) => [name, Array.isArray(value) ? [] : value]),
  );
  const outcome = outcomeOf(request, number, model, embedder);
  return {
    key: typeof key === "string" && key !== "" ? key : undefined,
    metadata,
    echoed,
    outcome,
  };
}

/** What the parser says of the text is not what the service would say. */
function parseLine(line: string): JsonObject | undefined {
  const parsed = parseJson(line);
  return isJsonObject(parsed) ? parsed : undefined;
}

function unreadable(error: ServiceError, number: number, { behaviour }: Embedder): RequestRow {
  if (behaviour.is("bad-line", "batch-failed")) throw batchFailure(error, number);
  return { key: undefined, metadata: undefined, echoed: {}, outcome: error };
}

function outcomeOf(
  value: unknown,
  number: number,
  model: ModelName,
  embedder: Embedder,
): Embedding | ServiceError {
  const request = attempted(() => readEmbedRequest(value ?? {}, "request"));
  if (request instanceof ServiceError) {
    if (embedder.behaviour.is("bad-line", "batch-failed")) throw batchFailure(request, number);
    return request;
  }
  if (hasEmptyText(request) && embedder.behaviour.is("empty-text", "batch-failed")) {
    throw new BatchFailure(invalid("").code, `Line ${number}: the content is empty`);
  }
  if (request.nested && embedder.behaviour.is("nested-config", "rejected")) {
    return invalid(`* ${WHERE}.embed_content_config: is not supported in batches\n`);
  }
  if (request.model !== undefined && request.model !== `models/${model}`) {
    return invalid(`* ${WHERE}.model: ${request.model} is not the model of the batch\n`);
  }
  return attempted(() => checkedEmbedding(request, model, WHERE, embedder));
}

function attempted<T>(work: () => T): T | ServiceError {
  try {
    return work();
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
}

function batchFailure(error: ServiceError, number: number): BatchFailure {
  return new BatchFailure(error.code, `Failed to parse line ${number}: ${error.message}`);
}
