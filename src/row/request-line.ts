/**
 * One line of a request file: what Gemini embeds for one question.
 *
 * The service ignores fields outside of `request` without a word, refuses a whole line for an
 * unknown field inside, and gemini-embedding-2 fuses several parts into one vector. So a line that
 * people may have edited is read strictly: these members, one part, nothing else.
 */
import { MODELS, textPrefix } from "./models.ts";
import {
  type JsonObject,
  LineError,
  parseJsonObject,
  refuseOtherMembers,
  requireInteger,
  requireObject,
  requireText,
} from "./json-value.ts";
import { formatKey, parseKey, type PendingQuestion } from "./question.ts";
import type { Target } from "./target.ts";

export type RequestLine = Readonly<{
  /** `<id>@<fingerprint>`, see question.ts. */
  key: string;
  request: Readonly<{
    content: Readonly<{ parts: readonly [Readonly<{ text: string }>] }>;
    /** Only for models that take the task as a field; for others it stands before the text. */
    taskType?: string;
    outputDimensionality: number;
  }>;
}>;

/** Members of a request line, in the order in which they are written. */
export const REQUEST_MEMBERS = ["key", "request"] as const;

export function requestLine(question: PendingQuestion, target: Target): RequestLine {
  const model = MODELS[target.model];
  const text = textPrefix(model, target.taskType) + question.text;
  return {
    key: formatKey(question),
    request: {
      content: { parts: [{ text }] },
      ...(model.taskBy === "field" ? { taskType: target.taskType } : {}),
      outputDimensionality: target.dimensions,
    },
  };
}

/**
 * Makes the lines of a target as JSON, without a newline at their end or within: what JSON.stringify
 * makes of `requestLine`, put together from parts, which takes a third of the time.
 */
export function requestLineFormat(target: Target): (question: PendingQuestion) => string {
  const model = MODELS[target.model];
  const prefix = textPrefix(model, target.taskType);
  const taskType = model.taskBy === "field" ? `"taskType":${JSON.stringify(target.taskType)},` : "";
  const end = `}]},${taskType}"outputDimensionality":${JSON.stringify(target.dimensions)}}}`;
  return (question) => {
    const key = quotedKey(question);
    const text = JSON.stringify(prefix + question.text);
    return `{"key":${key},"request":{"content":{"parts":[{"text":${text}${end}`;
  };
}

/** Nearly every id: there is nothing in its key that JSON would escape. */
const PLAIN_ID = /^[\w-]*$/;

function quotedKey(question: PendingQuestion): string {
  const key = formatKey(question);
  return PLAIN_ID.test(question.id) ? `"${key}"` : JSON.stringify(key);
}

/** Throws LineError, whose message says what is wrong with the line. */
export function parseRequestLine(json: string | Uint8Array): RequestLine {
  const line = parseJsonObject(json);
  refuseOtherMembers(line, REQUEST_MEMBERS, "the line");
  return readRequestLine(line);
}

/** The request line within an object that may have further members. Throws LineError. */
export function readRequestLine(line: JsonObject): RequestLine {
  const request = requireObject(line["request"], "request");
  refuseOtherMembers(request, ["content", "taskType", "outputDimensionality"], "request");
  const { taskType, outputDimensionality } = request;
  return {
    key: readKey(line["key"]),
    request: {
      content: { parts: [{ text: readText(request["content"]) }] },
      ...(taskType === undefined ? {} : { taskType: requireText(taskType, "request.taskType") }),
      outputDimensionality: requireInteger(outputDimensionality, "request.outputDimensionality", 1),
    },
  };
}

/**
 * Throws LineError when the vector of this line would not belong into the target's column: other
 * width, other task, or, where the model is told its task that way, another text prefix.
 */
export function requireTarget(line: RequestLine, target: Target): void {
  const model = MODELS[target.model];
  const { taskType, outputDimensionality } = line.request;
  if (outputDimensionality !== target.dimensions) {
    throw new LineError(
      `request.outputDimensionality is ${outputDimensionality}, the column takes ${target.dimensions}`,
    );
  }
  const expected = model.taskBy === "field" ? target.taskType : undefined;
  if (taskType !== expected) {
    throw new LineError(
      `request.taskType is ${taskType ?? "missing"}, ${target.model} here takes ${expected ?? "none"}`,
    );
  }
  const prefix = textPrefix(model, target.taskType);
  if (!line.request.content.parts[0].text.startsWith(prefix)) {
    throw new LineError(`the text should start with ${JSON.stringify(prefix)}`);
  }
}

function readKey(value: unknown): string {
  const key = requireText(value, "key");
  if (parseKey(key) === undefined) {
    throw new LineError("key should be <id>@<fingerprint>, the fingerprint in 32 hex digits");
  }
  return key;
}

function readText(value: unknown): string {
  const content = requireObject(value, "request.content");
  refuseOtherMembers(content, ["parts"], "request.content");
  const { parts } = content;
  if (!Array.isArray(parts) || parts.length !== 1) {
    throw new LineError("request.content.parts should be an array of one part");
  }
  const part = requireObject(parts[0], "request.content.parts[0]");
  refuseOtherMembers(part, ["text"], "request.content.parts[0]");
  return requireText(part["text"], "request.content.parts[0].text");
}
