/**
 * What went wrong, in the port's words. The one place that decides whether a failed call may have
 * taken effect: a kind other than `uncertain` promises that it has not.
 */
import { count, fields, list, text } from "./json.ts";
import { type JsonObject, isJsonObject, parseJson } from "../../row/json-value.ts";
import { LIMITS } from "./limits.ts";
import { GeminiError, type GeminiErrorKind, type QuotaLimit } from "../port.ts";

/** An answer that is no success. `url` tells what was asked for. */
export type Refusal = Readonly<{ status: number; headers: Headers; text: string; url: URL }>;

/** `now` is needed for a Retry-After that is a date. */
export function failureFromAnswer(refusal: Refusal, now: Date): GeminiError {
  const error = serviceError(refusal.text);
  const retryAfterMs = retryAfter(refusal.headers, error, now);
  return new GeminiError(kindOf(refusal, error), describeRefusal(refusal, error), {
    httpStatus: refusal.status,
    rpcStatus: text(error?.["status"]),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    limit: refusal.status === 429 ? limitOf(error) : undefined,
  });
}

/** For what `fetch` or the reading of a body threw. */
export function failureFromNetwork(cause: unknown, origin: string): GeminiError {
  const reasons = causes(cause);
  const why = reasons.at(-1)?.message ?? String(cause);
  if (reasons.some(isBeforeSending)) {
    return new GeminiError("unreachable", `no connection to ${origin}: ${why}`, { cause });
  }
  return new GeminiError("uncertain", `the connection to ${origin} broke: ${why}`, { cause });
}

/** For an answer that claims success and cannot be used. */
export function unusable(what: string): GeminiError {
  return new GeminiError("uncertain", `Gemini's answer cannot be used: ${what}`, { garbled: true });
}

/** The error that a body holds, whatever its HTTP status said; undefined when it holds none. */
export function serviceError(body: string): JsonObject | undefined {
  const error = fields(parseJson(body))["error"];
  return isJsonObject(error) ? error : undefined;
}

function kindOf(refusal: Refusal, error: JsonObject | undefined): GeminiErrorKind {
  const { status } = refusal;
  if (isAboutMoney(status, error)) return "billing";
  if (status === 429) return "quota";
  if (status === 408 || status === 499 || status >= 500) return "uncertain";
  if (status === 400) return isAboutKey(error) ? "key" : "refused";
  if (status === 401) return "key";
  if (status === 403) return isMissingFile(refusal.url, error) ? "notFound" : "key";
  // A 404 that is not the service's own comes from something else at that address, and proves nothing.
  if (status !== 404 || error === undefined) return "refused";
  return MODEL_MISSING.test(messageOf(error)) ? "model" : "notFound";
}

const MODEL_MISSING = /\bmodels?\/[\w.-]+ (?:is|was) not (?:found|supported)/i;

/**
 * What no waiting mends. The words of a plain quota mention the plan and billing details as well, so a 429
 * is one of these only where it says what is used up, or that there never was anything.
 */
function isAboutMoney(status: number, error: JsonObject | undefined): boolean {
  const violations = details(error).flatMap((detail) => list(detail["violations"]).map(fields));
  const said = [error, ...violations]
    .flatMap((each) => [text(each?.["message"]) ?? "", text(each?.["description"]) ?? ""])
    .join(" ");
  if (status === 429) return MONEY_IS_OUT.test(said);
  if (status !== 400 && status !== 403) return false;
  const reasons = details(error).map((detail) => text(detail["reason"]) ?? "");
  return /\bbilling\b|free tier/i.test(said) || reasons.includes("BILLING_DISABLED");
}

const MONEY_IS_OUT =
  /credits? (?:is|are) depleted|exceeded its monthly spend(?:ing)? cap|\blimit: 0(?![\d.])/i;

function isAboutKey(error: JsonObject | undefined): boolean {
  const reasons = details(error).map((detail) => detail["reason"]);
  return (
    reasons.includes("API_KEY_INVALID") || /API key (not valid|expired)/i.test(messageOf(error))
  );
}

/**
 * A file that is missing, expired or another project's is answered with 403. So is a key that is
 * suspended or may not use the API, but then the service adds a reason; to take that for a file
 * that is gone would be to give up a paid result.
 */
function isMissingFile(url: URL, error: JsonObject | undefined): boolean {
  const hasReason = details(error).some((detail) => text(detail["reason"]) !== undefined);
  const named = /\/files\/[^/]+$/.test(url.pathname) || /access the File/i.test(messageOf(error));
  return error !== undefined && !hasReason && named;
}

function describeRefusal(
  { status, text: body, headers }: Refusal,
  error: JsonObject | undefined,
): string {
  const word = text(error?.["status"]) ?? "";
  const location = headers.get("location");
  const words = error === undefined ? body : messageOf(error);
  const said = words.replaceAll(/\s+/g, " ").trim().slice(0, LIMITS.maxMessageChars);
  const head = `Gemini answered ${[status, word].join(" ").trim()}`;
  if (location !== null) return `${head}, a redirect, which is not followed`;
  return said === "" ? head : `${head}: ${said}`;
}

function messageOf(error: JsonObject | undefined): string {
  return text(error?.["message"]) ?? "";
}

function details(error: JsonObject | undefined): JsonObject[] {
  return list(error?.["details"]).map(fields);
}

function retryAfter(
  headers: Headers,
  error: JsonObject | undefined,
  now: Date,
): number | undefined {
  const header = headers.get("retry-after");
  if (header !== null) return fromHeader(header, now);
  const delays = details(error).map((detail) => text(detail["retryDelay"]));
  const delay = delays.find((value) => value !== undefined);
  return delay === undefined ? undefined : fromDuration(delay);
}

/** Seconds, or a date. */
function fromHeader(header: string, now: Date): number | undefined {
  const ms =
    count(header) === undefined ? Date.parse(header) - now.getTime() : Number(header) * 1000;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** A duration as google.rpc.RetryInfo has it: `34s`, `1.5s`. */
function fromDuration(duration: string): number | undefined {
  const seconds = /^(?<seconds>\d+(\.\d+)?)s$/.exec(duration)?.groups?.["seconds"];
  return seconds === undefined ? undefined : Math.ceil(Number(seconds) * 1000);
}

/** In the order in which they are looked for: "batch tokens" are tokens, "tokens per minute" a rate. */
const LIMIT_WORDS: readonly (readonly [QuotaLimit, RegExp])[] = [
  ["storage", /storage|file bytes/i],
  ["rate", /per[ _-]?(minute|day|second)|_rpm|_tpm|_rpd|spend|prepay/i],
  ["tokens", /token/i],
  ["jobs", /(active|concurrent|batch)[ _-]?(job|batch|request)e?s?/i],
];

/**
 * Which limit a 429 is for, by its message and the QuotaFailure in its details. The refusals of
 * batch creates that were recorded tell nothing, so the caller must do without.
 */
function limitOf(error: JsonObject | undefined): QuotaLimit | undefined {
  const violations = details(error).flatMap((detail) => list(detail["violations"]).map(fields));
  const words = [
    messageOf(error),
    ...violations.flatMap((each) =>
      ["quotaMetric", "quotaId", "subject", "description"].map((key) => text(each[key]) ?? ""),
    ),
  ].join(" ");
  return LIMIT_WORDS.find(([, pattern]) => pattern.test(words))?.[0];
}

/** The error, its causes, and the single attempts that an AggregateError gathers. */
function causes(error: unknown): Error[] {
  if (!(error instanceof Error)) return [];
  const attempts = error instanceof AggregateError ? error.errors.flatMap(causes) : [];
  return [error, ...attempts, ...causes(error.cause)];
}

const BEFORE_SENDING_SYSCALLS = ["connect", "getaddrinfo"];

/** The name could not be resolved, nobody listened, or TLS was not agreed upon. */
function isBeforeSending(error: Error): boolean {
  const { code, syscall } = systemError(error);
  return (
    (syscall !== undefined && BEFORE_SENDING_SYSCALLS.includes(syscall)) ||
    code === "UND_ERR_CONNECT_TIMEOUT" ||
    code === "ERR_SSL_WRONG_VERSION_NUMBER" ||
    // ports that fetch does not speak to
    error.message === "bad port" ||
    /CERT|ALTNAME|VERIFY_LEAF|ISSUER/.test(code ?? "")
  );
}

function systemError(error: Error): { code: string | undefined; syscall: string | undefined } {
  return {
    code: "code" in error ? text(error.code) : undefined,
    syscall: "syscall" in error ? text(error.syscall) : undefined,
  };
}
