/**
 * The one door to the network, for our own requests and for the SDK's alike (it is given as the
 * SDK's `fetch`), so that one place adds the key, keeps the time, and says what a failure means.
 * What it is told to send it sends once: it never retries, and it follows no redirect, which would
 * repeat a request and carry the key to another host.
 */
import type { Clock } from "../../clock.ts";
import { usageError } from "../../errors.ts";
import { failureFromAnswer, failureFromNetwork, unusable } from "./failure.ts";
import { GeminiError } from "../port.ts";
import { startTimeLimit, type TimeLimit } from "./time-limit.ts";

type GeminiRequest = Readonly<{
  method: string;
  url: URL;
  headers?: Readonly<Record<string, string>>;
  body?: string | Uint8Array<ArrayBuffer>;
  signal?: AbortSignal | undefined;
}>;

/** A success, read to its end. */
export type Answer = Readonly<{ url: URL; headers: Headers; text: string }>;

/** Everything throws a GeminiError, or the reason of the caller's signal, and nothing else. */
export type Transport = Readonly<{
  exchange(request: GeminiRequest, limitMs: number): Promise<Answer>;
  /** A success whose body is yet to be read; `failure` says what to throw when that breaks. */
  open(request: GeminiRequest, limit: TimeLimit): Promise<Response>;
  failure(caught: unknown, request: GeminiRequest, limit: TimeLimit): unknown;
  /** For an answer that says in its body that it is an error, and of which HTTP status. */
  refusal(answer: Answer, status: number): GeminiError;
}>;

export type TransportOptions = Readonly<{
  apiKey: string;
  fetch: typeof fetch;
  clock: Clock;
  /** Of an answer that is read to its end here. */
  maxAnswerBytes: number;
}>;

export function createTransport(options: TransportOptions): Transport {
  const apiKey = checkApiKey(options.apiKey);
  const read = (response: Response): Promise<string> => readText(response, options.maxAnswerBytes);

  const refusedBy = (url: URL, status: number, headers: Headers, body: string): GeminiError => {
    const text = withoutKey(body, apiKey);
    return failureFromAnswer({ status, headers, text, url }, options.clock.now());
  };

  const open = async (request: GeminiRequest, limit: TimeLimit): Promise<Response> => {
    try {
      const response = await options.fetch(request.url, requestInit(request, apiKey, limit));
      if (response.ok) return response;
      throw refusedBy(request.url, response.status, response.headers, await read(response));
    } catch (caught) {
      throw failure(caught, request, limit);
    }
  };

  const exchange = async (request: GeminiRequest, limitMs: number): Promise<Answer> => {
    const limit = startTimeLimit(limitMs, request.signal);
    try {
      const response = await open(request, limit);
      const text = withoutKey(await read(response), apiKey);
      return { url: request.url, headers: response.headers, text };
    } catch (caught) {
      throw failure(caught, request, limit);
    } finally {
      limit.end();
    }
  };

  const refusal = (answer: Answer, status: number): GeminiError =>
    refusedBy(answer.url, status, answer.headers, answer.text);

  return { exchange, open, failure, refusal };
}

/** The body as text. Throws where it is larger than any answer of the service's. */
async function readText({ body }: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw unusable(`it has over ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

/** A header cannot carry other characters, and the error about them would quote the key. */
function checkApiKey(apiKey: string): string {
  if (/^[\x21-\x7e]+$/.test(apiKey)) return apiKey;
  throw usageError(
    "The Gemini API key is empty or holds characters that no key has.",
    "Check GEMINI_API_KEY for spaces, line ends and quotes that came along when it was copied.",
  );
}

/** Shorter ones are made up, for the emulator, and would be found inside other words. */
const MIN_KEY_CHARS = 16;

/** The service quotes the key of a suspended project in its message, which then is recorded. */
function withoutKey(body: string, apiKey: string): string {
  if (apiKey.length < MIN_KEY_CHARS) return body;
  const base64 = Buffer.from(apiKey).toString("base64").replace(/=+$/, "");
  return body.replaceAll(apiKey, "<key>").replaceAll(base64, "<key>");
}

function requestInit(request: GeminiRequest, apiKey: string, limit: TimeLimit): RequestInit {
  return {
    method: request.method,
    headers: { ...request.headers, "x-goog-api-key": apiKey },
    ...(request.body === undefined ? {} : { body: request.body }),
    redirect: "manual",
    signal: limit.signal,
  };
}

function failure(caught: unknown, request: GeminiRequest, limit: TimeLimit): unknown {
  if (caught instanceof GeminiError) return caught;
  if (request.signal?.aborted === true) return request.signal.reason;
  if (limit.signal.aborted) {
    return new GeminiError(
      "uncertain",
      `no answer from ${request.url.origin} within ${limit.ms / 1000} s`,
    );
  }
  return failureFromNetwork(caught, request.url.origin);
}
