/** What the service answers when it refuses: an HTTP status, a google.rpc name and its number. */
const RPC_STATUSES = {
  CANCELLED: { http: 499, code: 1 },
  UNKNOWN: { http: 500, code: 2 },
  INVALID_ARGUMENT: { http: 400, code: 3 },
  DEADLINE_EXCEEDED: { http: 504, code: 4 },
  NOT_FOUND: { http: 404, code: 5 },
  ALREADY_EXISTS: { http: 409, code: 6 },
  PERMISSION_DENIED: { http: 403, code: 7 },
  RESOURCE_EXHAUSTED: { http: 429, code: 8 },
  FAILED_PRECONDITION: { http: 400, code: 9 },
  ABORTED: { http: 409, code: 10 },
  INTERNAL: { http: 500, code: 13 },
  UNAVAILABLE: { http: 503, code: 14 },
} as const;

export type RpcStatus = keyof typeof RPC_STATUSES;

export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly status: RpcStatus;
  readonly details: readonly object[];

  constructor(status: RpcStatus, message: string, details: readonly object[] = []) {
    super(message);
    this.status = status;
    this.details = details;
  }

  get http(): number {
    return RPC_STATUSES[this.status].http;
  }

  /** The number that stands in operations and result lines. */
  get code(): number {
    return RPC_STATUSES[this.status].code;
  }

  /** `{"error": {…}}`, as answered over HTTP. */
  get body(): object {
    const details = this.details.length === 0 ? {} : { details: this.details };
    return { error: { code: this.http, message: this.message, status: this.status, ...details } };
  }
}

export function invalid(message: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", message);
}

/** The text of a public report: forum topic 107091. It comes without Retry-After. */
export function quotaExceeded(): ServiceError {
  return new ServiceError(
    "RESOURCE_EXHAUSTED",
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.",
  );
}

export function unavailable(): ServiceError {
  return new ServiceError("UNAVAILABLE", "The model is overloaded. Please try again later.");
}

export function entityNotFound(): ServiceError {
  return new ServiceError("NOT_FOUND", "Requested entity was not found.");
}
