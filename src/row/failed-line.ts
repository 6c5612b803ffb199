/**
 * One line of a failed file: a request line, and why it came to nothing. People read these files,
 * edit them, and write them by hand; so a bare request line is one too.
 */
import { FAILURE_CLASSES, type FailureClass } from "./error-code.ts";
import {
  type JsonObject,
  LineError,
  parseJsonObject,
  refuseOtherMembers,
  requireInteger,
  requireObject,
  requireOneOf,
  requireText,
} from "./json-value.ts";
import { readRequestLine, REQUEST_MEMBERS, type RequestLine } from "./request-line.ts";

/**
 * Who or what failed the row: the service's error line; no line at all; a line that cannot be read;
 * lines that contradict each other; a vector that did not pass its check; the whole batch; the table,
 * which refuses the vector: it is paid for and stands in the job's results.
 */
type FailureReason = (typeof FAILURE_REASONS)[number];

export type Failure = Readonly<{
  class: FailureClass;
  reason: FailureReason;
  /** The service's number, an rpc code or an HTTP status; only where it sent one. */
  code?: number;
  message: string;
}>;

export type FailedLine = RequestLine &
  Readonly<{
    /** The job in which the row failed; undefined in a line written by hand. */
    job: string | undefined;
    /** How often the row has been submitted so far; 0 in a line written by hand. */
    attempt: number;
    /** Undefined in a line written by hand. */
    error: Failure | undefined;
  }>;

const FAILURE_REASONS = [
  "service",
  "missing",
  "malformed",
  "conflict",
  "vector",
  "batch",
  "table",
] as const;

/** The line as JSON, without a newline at its end or within. */
export function formatFailedLine(line: FailedLine): string {
  const { key, request, job, attempt, error } = line;
  return JSON.stringify({ key, request, job, attempt, error });
}

/** Throws LineError, whose message says what is wrong with the line. */
export function parseFailedLine(json: string | Uint8Array): FailedLine {
  const line = parseJsonObject(json);
  refuseOtherMembers(line, [...REQUEST_MEMBERS, "job", "attempt", "error"], "the line");
  const request = readRequestLine(line);
  const { text } = request.request.content.parts[0];
  if (!text.isWellFormed())
    throw new LineError("its text holds half of a character, such as \\ud83d");
  return {
    ...request,
    job: line["job"] === undefined ? undefined : requireText(line["job"], "job"),
    attempt: line["attempt"] === undefined ? 0 : requireInteger(line["attempt"], "attempt", 0),
    error: line["error"] === undefined ? undefined : readFailure(line["error"]),
  };
}

/** The request line as it was sent. */
export function requestOf(failed: FailedLine): RequestLine {
  return { key: failed.key, request: failed.request };
}

function readFailure(value: unknown): Failure {
  const error = requireObject(value, "error");
  refuseOtherMembers(error, ["class", "reason", "code", "message"], "error");
  return {
    class: requireOneOf(error["class"], FAILURE_CLASSES, "error.class"),
    reason: requireOneOf(error["reason"], FAILURE_REASONS, "error.reason"),
    ...readCode(error),
    message: readMessage(error["message"]),
  };
}

function readCode({ code }: JsonObject): { code?: number } {
  if (code === undefined) return {};
  return { code: requireInteger(code, "error.code", 0) };
}

/** The service may send an empty message, so an empty one is as good as any. */
function readMessage(value: unknown): string {
  if (typeof value !== "string") throw new LineError("error.message should be a string");
  return value;
}
