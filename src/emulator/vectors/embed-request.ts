/** An EmbedContentRequest: read strictly, checked against its model, and answered. */
import { MODELS, type ModelName } from "../../row/models.ts";
import type { Behaviour } from "../faults/behaviour.ts";
import { emulatedUnits, type VectorShape } from "./embedding.ts";
import { type Message, MessageType } from "../http/proto-json.ts";
import { invalid } from "../http/service-error.ts";
import { countTokens, type Tokenizer, truncateToTokens } from "../faults/token-count.ts";

type EmbedConfig = Readonly<{
  taskType: string | undefined;
  title: string | undefined;
  dimensions: number | undefined;
  autoTruncate: boolean | undefined;
}>;

export type EmbedRequest = EmbedConfig &
  Readonly<{
    model: string | undefined;
    /** One for each part of the content; undefined where a part holds no text. */
    texts: readonly (string | undefined)[];
    /** True when the settings came inside `embedContentConfig`. */
    nested: boolean;
  }>;

export type Embedding = Readonly<{ text: string; shape: VectorShape; tokens: number }>;

/** How texts become vectors at this emulator. */
export type Embedder = Readonly<{ behaviour: Behaviour; tokenizer: Tokenizer }>;

const REQUEST = new MessageType(
  "model content taskType title outputDimensionality embedContentConfig",
);
const CONFIG = new MessageType(
  "taskType title outputDimensionality autoTruncate documentOcr audioTrackExtraction",
);
const CONTENT = new MessageType("parts role");
const PART = new MessageType("text inlineData fileData thought thoughtSignature");
const NO_TASK = ["TASK_TYPE_UNSPECIFIED", undefined];

export function readEmbedRequest(value: unknown, at: string): EmbedRequest {
  const message = REQUEST.open(value, at);
  const nested = message.message("embedContentConfig", (config, path) => CONFIG.open(config, path));
  return {
    model: message.string("model"),
    texts: message.message("content", readTexts) ?? [],
    nested: nested !== undefined,
    ...readConfig(nested ?? message),
  };
}

export function readTexts(value: unknown, at: string): (string | undefined)[] {
  const content = CONTENT.open(value, at);
  content.string("role");
  return content.list("parts", (part, path) => PART.open(part, path).string("text"));
}

/** `where` is how the service names the request in messages, such as `EmbedContentRequest`. */
export function checkedEmbedding(
  request: EmbedRequest,
  model: ModelName,
  where: string,
  { behaviour, tokenizer }: Embedder,
): Embedding {
  const { inputTokenLimit } = MODELS[model];
  const text = joinedText(request, where);
  checkTask(request, model, where, behaviour);
  const tokens = countTokens(text, tokenizer);
  if (tokens > inputTokenLimit && request.autoTruncate === false) {
    throw invalid(`* ${where}.content: the input is longer than ${inputTokenLimit} tokens\n`);
  }
  return {
    text: truncateToTokens(text, inputTokenLimit, tokenizer),
    tokens: Math.min(tokens, inputTokenLimit),
    shape: { model, dimensions: checkedDimensions(request, model, where), ...task(request, model) },
  };
}

export function unitsOf(embedding: Embedding): Int32Array {
  return emulatedUnits(embedding.text, embedding.shape);
}

/** Thrown for an empty text, so that a batch can treat it in its own way. */
export function hasEmptyText(request: EmbedRequest): boolean {
  return (
    request.texts.length === 0 || request.texts.some((text) => text === undefined || text === "")
  );
}

function readConfig(message: Message): EmbedConfig {
  return {
    taskType: message.string("taskType"),
    title: message.string("title"),
    dimensions: message.int("outputDimensionality"),
    autoTruncate: message.bool("autoTruncate"),
  };
}

function joinedText(request: EmbedRequest, where: string): string {
  if (request.texts.length === 0) throw invalid(`* ${where}.content: contents is not specified\n`);
  const empty = request.texts.findIndex((text) => text === undefined || text === "");
  if (empty === -1) return request.texts.join("\n");
  throw invalid(
    `* ${where}.content.parts[${empty}].data: required oneof field 'data' must have one initialized field\n`,
  );
}

function checkTask(
  request: EmbedRequest,
  model: ModelName,
  where: string,
  behaviour: Behaviour,
): void {
  const { taskType, title } = request;
  if (NO_TASK.includes(taskType) && title === undefined) return;
  if (
    taskType !== undefined &&
    !NO_TASK.includes(taskType) &&
    !MODELS[model].taskTypes.includes(taskType)
  ) {
    throw invalid(
      `Invalid value at 'task_type' (type.googleapis.com/google.ai.generativelanguage.v1main.TaskType), "${taskType}"`,
    );
  }
  if (MODELS[model].taskBy === "prefix") {
    if (behaviour.is("task-type-2", "rejected")) {
      throw invalid(`* ${where}.task_type: is not supported by ${model}\n`);
    }
  } else if (title !== undefined && taskType !== "RETRIEVAL_DOCUMENT") {
    throw invalid(`* ${where}.title: can only be set when task_type is RETRIEVAL_DOCUMENT\n`);
  }
}

/** Less than the documented 128 is accepted: the service has been seen to embed in 3 dimensions. */
function checkedDimensions(request: EmbedRequest, model: ModelName, where: string): number {
  const { maxDimensions } = MODELS[model];
  const dimensions = request.dimensions ?? 0;
  if (dimensions === 0) return maxDimensions;
  if (dimensions >= 1 && dimensions <= maxDimensions) return dimensions;
  throw invalid(`* ${where}.output_dimensionality: must be between 1 and ${maxDimensions}\n`);
}

function task(request: EmbedRequest, model: ModelName): { taskType?: string; title?: string } {
  if (MODELS[model].taskBy === "prefix") return {};
  const taskType = NO_TASK.includes(request.taskType) ? undefined : request.taskType;
  return {
    ...(taskType === undefined ? {} : { taskType }),
    ...(request.title === undefined ? {} : { title: request.title }),
  };
}
