/**
 * Single exchanges with the service as they are, for `doctor --live`: nothing is judged and nothing
 * is sent again. Whoever creates a batch through it answers for that batch.
 */
import { type Address, API_VERSION, BASE_URL, createAddress } from "./http/address.ts";
import { failureFromNetwork } from "./http/failure.ts";
import { LIMITS } from "./http/limits.ts";
import type { Exchange, Probe, ProbeRequest } from "./port.ts";
import { startTimeLimit } from "./http/time-limit.ts";

export type ProbeOptions = Readonly<{ apiKey: string; baseUrl?: string | undefined }>;

/** What is kept of an answer; a probe asks for little. */
const MAX_BODY_CHARS = 1_000_000;

export function connectProbe({ apiKey, baseUrl = BASE_URL }: ProbeOptions): Probe {
  const address = createAddress(baseUrl, API_VERSION);
  return {
    label: address.origin,
    send: (request, signal) => sendOnce(request, addressOf(address, request), apiKey, signal),
  };
}

function addressOf(address: Address, { path }: ProbeRequest): URL {
  if (path === "upload") return address.uploads();
  return path.startsWith("http") ? address.uploadSession(path) : address.of(path);
}

async function sendOnce(
  request: ProbeRequest,
  url: URL,
  apiKey: string,
  signal: AbortSignal,
): Promise<Exchange> {
  const { method, path, body = "", headers = {} } = request;
  const limit = startTimeLimit(LIMITS.createMs, signal);
  try {
    const response = await fetch(url, {
      method,
      headers: { "content-type": "application/json", ...headers, "x-goog-api-key": apiKey },
      ...(body === "" ? {} : { body }),
      redirect: "manual",
      signal: limit.signal,
    });
    const text = (await response.text()).slice(0, MAX_BODY_CHARS);
    return { method, path, sent: body, ...answerOf(response), text };
  } catch (caught) {
    signal.throwIfAborted();
    throw failureFromNetwork(caught, url.origin);
  } finally {
    limit.end();
  }
}

function answerOf({ status, headers }: Response): Pick<Exchange, "status" | "headers"> {
  return { status, headers: Object.fromEntries(headers) };
}
