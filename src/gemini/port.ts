/**
 * Gemini in our words. Everything here may be repeated, except `createBatch`: sent twice, it is
 * two batches and two bills. Whoever calls it records the intent first and retries nothing.
 */
import { UserError } from "../errors.ts";
import type { FileDigest } from "../disk/durable-file.ts";
import type { ModelName } from "../row/models.ts";

export type BatchState =
  | "pending"
  | "running"
  | "succeeded"
  | "failed"
  | "cancelled"
  | "expired"
  /** It is over, without results, and nothing that is known says how. */
  | "ended"
  /** A state this version does not know; treated as not ended. */
  | "unknown";

/** A batch that ended so left no results, as a rule. */
export type DeadState = "failed" | "expired" | "cancelled";

export function isDeadBatch(state: BatchState): state is DeadState {
  return state === "failed" || state === "expired" || state === "cancelled";
}

/** Where the service gives no reason. */
export const UNEXPLAINED_END: Readonly<Record<DeadState, string>> = {
  failed: "the batch failed at Gemini, without a reason given",
  expired: "the batch expired at Gemini: it had not ended in time",
  cancelled: "the batch was cancelled at Gemini",
};

export function hasBatchEnded(state: BatchState): boolean {
  return state === "succeeded" || isDeadBatch(state);
}

/** Gemini's object, `batches/…`. */
export type Batch = Readonly<{
  name: string;
  /** Empty where the service tells none. */
  displayName: string;
  state: BatchState;
  /** The service's own word for the state, for messages. */
  rawState: string;
  createdAt: string | undefined;
  endedAt: string | undefined;
  /** What it was made of, where the service tells; the model without `models/`. */
  model: string | undefined;
  inputFile: string | undefined;
  /** Undefined where the service sent none. In a list they may be out of date. */
  counts: Readonly<{ requests: number; successful: number; failed: number }> | undefined;
  /** `files/batch-…`, once there are results. */
  resultsFile: string | undefined;
  error: Readonly<{ code: number; message: string }> | undefined;
}>;

/** `files/…`; the service drops it at `expiresAt` (48 h). */
export type RemoteFile = Readonly<{ name: string; expiresAt: string | undefined }>;

export type RequestFile = Readonly<{
  path: string;
  bytes: number;
  /** Lowercase hex. */
  sha256: string;
  /** Id wanted at the service, at most 40 of [a-z0-9-]. The answer's name is the one that counts. */
  remoteName: string;
}>;

export type BatchRequest = Readonly<{ model: ModelName; file: string; displayName: string }>;

/** On disk. `lines` that are empty do not count. */
export type SavedResults = Readonly<{ file: FileDigest; lines: number }>;

/**
 * `other` is the address that the documentation has, where the usual one is the SDK's. Whichever is
 * refused before its first byte, the other one is asked before anything is concluded.
 */
type ResultsRoute = "usual" | "other";

export type ResultsOptions = Readonly<{
  signal?: AbortSignal | undefined;
  route?: ResultsRoute | undefined;
  /** What lies between is asked not to answer from a cache. */
  noCache?: boolean | undefined;
}>;

/** What is told while results come. */
export type Watching = Readonly<{
  /** How many have come; fewer again after a new start. */
  onBytes?: ((bytes: number) => void) | undefined;
  /** Told of each start, also of one in the middle, and shown each chunk, which is gone afterwards. */
  reader?: Readonly<{ restart(): void; push(chunk: Uint8Array): void }> | undefined;
}>;

/** The service's own limit of one interactive call. */
export const MAX_TEXTS_NOW = 100;

export type EmbedRequest = Readonly<{
  model: ModelName;
  dimensions: number;
  taskType: string;
  /** Exact texts as in a request line, prefix included; at most MAX_TEXTS_NOW. */
  texts: readonly string[];
}>;

export type Embedded = Readonly<{
  /** One a text, in order, neither checked nor normalised. */
  vectors: readonly (readonly number[])[];
  /** Input tokens of all texts together, where the service told them. */
  tokens: number | undefined;
}>;

/** `takesBatches` is undefined where the service does not say what the model takes. */
export type OfferedModel = Readonly<{ name: string; takesBatches: boolean | undefined }>;

/** Two ways to end a call that is charged once it has left. */
export type EmbedSignals = Readonly<{
  /** Nothing is sent any more and no wait goes on; what is under way may still be answered. */
  stop?: AbortSignal | undefined;
  /** The call under way is given up as well: charged perhaps, and lost. */
  drop?: AbortSignal | undefined;
}>;

export type Gemini = {
  /**
   * Uploads, waits until the file can be used, and verifies size and hash. Finds the file again when
   * it is already there, unless it expires too soon to wait for a batch: see the limits.
   */
  uploadFile(file: RequestFile, signal?: AbortSignal): Promise<RemoteFile>;
  /** Sends exactly one request, whatever comes back. Throws GeminiError; see its kinds. */
  createBatch(request: BatchRequest): Promise<Batch>;
  /**
   * Every batch whose display name starts with the prefix, newest first, from all pages, and those
   * that tell no display name: nobody can say whose they are.
   */
  findBatches(displayNamePrefix: string, signal?: AbortSignal): Promise<Batch[]>;
  /** A direct look. Undefined when the service says that there is no such batch for this key. */
  getBatch(name: string, signal?: AbortSignal): Promise<Batch | undefined>;
  /**
   * The bytes of a results file, from the first one; breaks with a GeminiError, `uncertain`, when
   * the connection does. There is no going on in the middle: the reader starts again.
   */
  openResults(file: string, options?: ResultsOptions): AsyncIterable<Uint8Array>;
  /** The results file, whole and untouched, at `path`, or nothing there. */
  downloadResults(
    file: string,
    path: string,
    options: ResultsOptions & Watching,
  ): Promise<SavedResults>;
  /** True where the service tells the file's size or hash, and it is not this one's. */
  isOtherFile(name: string, file: FileDigest, signal?: AbortSignal): Promise<boolean>;
  cancelBatch(name: string): Promise<void>;
  /** Resolves also when there is nothing to delete. */
  deleteBatch(name: string): Promise<void>;
  /**
   * Resolves also when there is nothing to delete. Best effort at the service for results files:
   * their ids are longer than it takes, so `refused` may be all there is to get.
   */
  deleteFile(name: string): Promise<void>;
  /** False when the service says that there is no such file for this key: deleted or expired, or another project's. */
  hasFile(name: string, signal?: AbortSignal): Promise<boolean>;
  /** For this key; to ask costs nothing. */
  listModels(signal?: AbortSignal): Promise<readonly OfferedModel[]>;
  countTokens(model: ModelName, texts: readonly string[]): Promise<number>;
  /** The interactive API, at once and at full price. Nothing tells one call from its repetition. */
  embedNow(request: EmbedRequest, signals?: EmbedSignals): Promise<Embedded>;
};

/**
 * What a failed call means for the caller:
 * - `refused`: a definite no (4xx); nothing was created
 * - `quota`: 429; nothing was created, later it may be
 * - `billing`: no money, no billing or a free tier; nothing was created, and waiting brings nothing
 * - `model`: the model is not there for this key, or takes no batches; nothing was created
 * - `key`: the key is missing, wrong or lacks the right
 * - `notFound`: the named file, batch or model is not there for this key
 * - `unreachable`: no connection was made; nothing was sent
 * - `uncertain`: sent, and no usable answer (timeout, reset, 5xx); it may have taken effect
 * - `unusable`: answered and charged, and what came is not what was asked for: again is paid again
 */
export type GeminiErrorKind =
  | "refused"
  | "quota"
  | "billing"
  | "model"
  | "key"
  | "notFound"
  | "unreachable"
  | "uncertain"
  | "unusable";

/** The limits whose refusals are all 429; which one it was is seldom told. */
export const QUOTA_LIMITS = ["tokens", "jobs", "storage", "rate"] as const;
export type QuotaLimit = (typeof QUOTA_LIMITS)[number];

export class GeminiError extends Error {
  override readonly name = "GeminiError";
  readonly kind: GeminiErrorKind;
  readonly httpStatus: number | undefined;
  /** The service's word, such as INVALID_ARGUMENT, where it sent one. */
  readonly rpcStatus: string | undefined;
  /** From Retry-After or RetryInfo, where the service sent one. */
  readonly retryAfterMs: number | undefined;
  /** Of a `quota`, which one, where the service's words tell. */
  readonly limit: QuotaLimit | undefined;
  /** Something came, which is no answer of the service's that can be used. */
  readonly garbled: boolean;

  constructor(
    kind: GeminiErrorKind,
    message: string,
    details: {
      httpStatus?: number;
      rpcStatus?: string | undefined;
      retryAfterMs?: number;
      limit?: QuotaLimit | undefined;
      garbled?: boolean;
      cause?: unknown;
    } = {},
  ) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    this.kind = kind;
    this.httpStatus = details.httpStatus;
    this.rpcStatus = details.rpcStatus;
    this.retryAfterMs = details.retryAfterMs;
    this.limit = details.limit;
    this.garbled = details.garbled === true;
  }
}

/** `path` is below the API's version; `upload` begins an upload, and its session is a whole address. */
export type ProbeRequest = Readonly<{
  method: "GET" | "POST" | "DELETE";
  path: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
}>;

/** What was sent, but for the key, and what came back as it came. */
export type Exchange = Readonly<{
  method: string;
  path: string;
  sent: string;
  status: number;
  headers: Readonly<Record<string, string>>;
  text: string;
}>;

export type Probe = Readonly<{
  /** The address without path, for messages. */
  label: string;
  /** One request, whatever comes back. Throws a GeminiError only where nothing came. */
  send(request: ProbeRequest, signal: AbortSignal): Promise<Exchange>;
}>;

/** What may be embedded at once in a minute. */
export type MinuteLimits = Readonly<{ requestsPerMinute: number; tokensPerMinute: number }>;

const PASSING: readonly GeminiErrorKind[] = ["unreachable", "uncertain", "quota"];

/**
 * True where a request left and nothing at all came back: unlike a 5xx, it may have been carried out
 * and charged.
 */
export function isUnanswered(error: unknown): boolean {
  const cause = causeOf(error);
  return cause?.kind === "uncertain" && cause.httpStatus === undefined;
}

/** True where something came that cannot be used: from a proxy, perhaps, and so for long. */
export function isGarbled(error: unknown): boolean {
  return causeOf(error)?.garbled === true;
}

/** True for what passes by itself: no network, no answer, too many calls. Nothing is lost by waiting. */
export function isOutage(error: unknown): error is Error {
  const cause = causeOf(error);
  return cause !== undefined && PASSING.includes(cause.kind);
}

/** Also where a UserError explains it. */
export function causeOf(error: unknown): GeminiError | undefined {
  const cause = error instanceof UserError ? error.cause : error;
  return cause instanceof GeminiError ? cause : undefined;
}
