/** A request as handlers see it, and what they may answer. */
import { invalid, type ServiceError } from "./service-error.ts";

export type Call = Readonly<{
  method: string;
  /** `v1`, `v1beta` or `v1alpha`. */
  version: string;
  query: URLSearchParams;
  header: (name: string) => string | undefined;
  project: string;
  /** `http://host:port` as the client wrote it. */
  origin: string;
  body: AsyncIterable<Uint8Array>;
}>;

export type Answer =
  | Readonly<{
      kind: "json";
      status: number;
      body: object;
      headers?: Readonly<Record<string, string>>;
    }>
  | Readonly<{ kind: "empty"; headers: Readonly<Record<string, string>> }>
  | Readonly<{ kind: "file"; path: string; bytes: number; end: "whole" | "cut" | "short" }>
  /** The connection breaks. */
  | Readonly<{ kind: "reset" }>
  /** No answer ever. */
  | Readonly<{ kind: "silence" }>;

const JSON_BODY_BYTES_MAX = 20 * 1024 * 1024;

export function ok(body: object, headers: Readonly<Record<string, string>> = {}): Answer {
  return { kind: "json", status: 200, body, headers };
}

export function refusal(error: ServiceError): Answer {
  return { kind: "json", status: error.http, body: error.body };
}

/** The request's JSON, an empty object when there is none. Throws a ServiceError. */
export async function readJson(call: Call): Promise<unknown> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of call.body) {
    bytes += part.byteLength;
    if (bytes > JSON_BODY_BYTES_MAX) {
      throw invalid("Request payload size exceeds the limit: 20971520 bytes.");
    }
    parts.push(part);
  }
  return parseBody(Buffer.concat(parts).toString("utf8"));
}

function parseBody(text: string): unknown {
  if (text.trim() === "") return {};
  try {
    const parsed: unknown = JSON.parse(text);
    return parsed;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw invalid(`Invalid JSON payload received. ${cause.message}`);
  }
}
