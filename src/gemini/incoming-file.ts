/**
 * A results file as it arrives. By plain fetch, since the SDK's download ends the whole process
 * when the connection breaks in the middle of a body. There is no resuming: whether the service
 * honours Range is not documented, so whoever reads starts again at the first byte.
 */
import { unusable } from "./http/failure.ts";
import type { Limits } from "./http/limits.ts";
import { GeminiError } from "./port.ts";
import { startTimeLimit, type TimeLimit } from "./http/time-limit.ts";
import type { Transport } from "./http/transport.ts";

export type Download = Readonly<{
  url: URL;
  limits: Pick<Limits, "idleMs" | "downloadMs" | "maxResultsBytes">;
  signal: AbortSignal | undefined;
  noCache: boolean;
}>;

export async function* download(transport: Transport, what: Download): AsyncGenerator<Uint8Array> {
  const headers = what.noCache ? { "cache-control": "no-cache" } : {};
  const request = { method: "GET", url: what.url, headers, signal: what.signal };
  const limit = startTimeLimit(what.limits.idleMs, what.signal);
  const startedMs = performance.now();
  try {
    const response = await transport.open(request, limit);
    let received = 0;
    for await (const chunk of chunks(response, limit)) {
      received += chunk.byteLength;
      checkBounds(what.limits, received, performance.now() - startedMs);
      yield chunk;
    }
    checkLength(response.headers, received);
  } catch (caught) {
    throw transport.failure(caught, request, limit);
  } finally {
    limit.end();
  }
}

/** The first, or the second where the service refuses the first. Of two refusals the one counts that concludes less. */
export async function* unlessRefused(
  first: () => AsyncIterable<Uint8Array>,
  second: () => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let refusal: GeminiError;
  try {
    yield* first();
    return;
  } catch (caught) {
    if (!isRefusal(caught)) throw caught;
    refusal = caught;
  }
  try {
    yield* second();
  } catch (caught) {
    throw isRefusal(caught) && caught.kind === "notFound" ? refusal : caught;
  }
}

/** Bad Request, Forbidden, Not Found: about this file at this address. Once bytes come, there is none. */
const REFUSALS: readonly (number | undefined)[] = [400, 403, 404];

function isRefusal(error: unknown): error is GeminiError {
  if (!(error instanceof GeminiError) || !REFUSALS.includes(error.httpStatus)) return false;
  return error.kind === "refused" || error.kind === "notFound";
}

/** Time counts only while a chunk is waited for, not while the consumer works on one. */
async function* chunks(response: Response, limit: TimeLimit): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  let ended = false;
  try {
    while (!ended) {
      limit.restart();
      const { done, value } = await reader.read();
      limit.pause();
      ended = done;
      if (value !== undefined) yield value;
    }
  } finally {
    if (!ended) await abandon(reader);
  }
}

/** Rejects when the body has already broken, which the reading of it has told. */
async function abandon(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  await reader.cancel().catch(() => undefined);
}

/** Neither a stream without end nor a trickle may go on for ever. */
function checkBounds(limits: Download["limits"], received: number, ms: number): void {
  const { maxResultsBytes, downloadMs } = limits;
  if (received > maxResultsBytes) throw unusable(`a results file of over ${maxResultsBytes} bytes`);
  if (ms <= downloadMs) return;
  throw unusable(`${received} bytes of the results file took over ${downloadMs / 1000} s`);
}

/** A compressed body has another length than the bytes that come out of it. */
function checkLength(headers: Headers, received: number): void {
  const announced = headers.get("content-length");
  if (announced === null || headers.has("content-encoding")) return;
  if (Number(announced) === received) return;
  throw unusable(`${received} of ${announced} bytes of the results file arrived`);
}
