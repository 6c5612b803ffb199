/**
 * What an error code of the service says about the row that it came for. Reports show numbers of
 * google.rpc.Code and HTTP statuses alike; their ranges do not meet.
 */

/** Whether sending the row once more may help. */
export type FailureClass = (typeof FAILURE_CLASSES)[number];

export const FAILURE_CLASSES = ["retryable", "permanent"] as const;

type Verdict = readonly [failureClass: FailureClass, because: string];

/** Every code that is judged, and why so. A code that is not here says nothing that is known. */
export const ERROR_CODES: Readonly<Record<number, Verdict>> = {
  1: ["retryable", "CANCELLED: the call was, whatever its text"],
  2: ["retryable", "UNKNOWN: nobody knows"],
  3: ["permanent", "INVALID_ARGUMENT: the text, or a field beside it, is not taken"],
  4: ["retryable", "DEADLINE_EXCEEDED: there was no time for it"],
  8: ["retryable", "RESOURCE_EXHAUSTED: a quota, which comes back"],
  10: ["retryable", "ABORTED: something else was in the way"],
  11: ["permanent", "OUT_OF_RANGE: the text is beyond what is taken"],
  12: ["permanent", "UNIMPLEMENTED: the model does not do this"],
  13: ["retryable", "INTERNAL: the service's own fault"],
  14: ["retryable", "UNAVAILABLE: it was not there for a moment"],
  400: ["permanent", "Bad Request: as INVALID_ARGUMENT"],
  408: ["retryable", "Request Timeout: there was no time for it"],
  411: ["permanent", "Length Required: as Bad Request"],
  413: ["permanent", "Content Too Large: the text is beyond what is taken"],
  415: ["permanent", "Unsupported Media Type: as Bad Request"],
  422: ["permanent", "Unprocessable Content: as INVALID_ARGUMENT"],
  425: ["retryable", "Too Early: it asks for another try"],
  429: ["retryable", "Too Many Requests: a quota, which comes back"],
  499: ["retryable", "Client Closed Request: as CANCELLED"],
};

const SERVER_ERRORS = { first: 500, last: 599 } as const;

/**
 * `attempt`: which one it was that failed. An error without any code says nothing about the text, so it
 * is worth another try, as a line that cannot be read is.
 */
export function classify(code: number | undefined, attempt: number): FailureClass {
  if (code === undefined) return "retryable";
  if (code >= SERVER_ERRORS.first && code <= SERVER_ERRORS.last) return "retryable";
  return ERROR_CODES[code]?.[0] ?? retryableOnce(attempt);
}

/** For what may be the row's own fault or not, and nobody can know: paid for twice at most. */
export function retryableOnce(attempt: number): FailureClass {
  return attempt > 1 ? "permanent" : "retryable";
}
