/**
 * One session of the resumable upload protocol, from start to finalize, broken at any byte: after
 * every step that gave no clear answer the service is asked how much it has, and the file goes on
 * from there. By plain fetch: the SDK's upload cannot ask, re-sends a chunk blindly, and takes an
 * error in a 200 answer for success.
 *
 * Protocol: start -> upload* -> upload, finalize; `query` tells X-Goog-Upload-Size-Received.
 */
import type { FileHandle } from "node:fs/promises";

import type { Clock } from "../clock.ts";
import { UserError } from "../errors.ts";
import type { Address } from "./http/address.ts";
import { serviceError, unusable } from "./http/failure.ts";
import { count, fields } from "./http/json.ts";
import { parseJson } from "../row/json-value.ts";
import { parseFile } from "./file-resource.ts";
import type { Limits } from "./http/limits.ts";
import { GeminiError, type RequestFile } from "./port.ts";
import type { Answer, Transport } from "./http/transport.ts";

export type UploadServices = Readonly<{
  transport: Transport;
  address: Address;
  clock: Clock;
  limits: Limits;
}>;

export type UploadWish = Readonly<{
  file: RequestFile;
  /** Open for reading; chunks are read where they are needed, one at a time. */
  handle: FileHandle;
  /** `files/…`, which the service need not follow. */
  name: string;
  mimeType: string;
  signal: AbortSignal | undefined;
}>;

export type SessionEnd =
  /** Under the name that the service gave it. */
  | Readonly<{ type: "stored"; name: string }>
  /** The service has it all, but its answer is lost: the file is there under a name or is not. */
  | Readonly<{ type: "answerLost" }>
  /** The service knows the session no more. */
  | Readonly<{ type: "dead" }>
  | Readonly<{ type: "nameTaken" }>
  | Readonly<{ type: "unsupportedType"; error: GeminiError }>;

/** Throws a GeminiError when the start failed or too many steps did; the user's abort as it is. */
export async function runSession(wish: UploadWish, services: UploadServices): Promise<SessionEnd> {
  try {
    const url = await startSession(wish, services);
    return await sendAll({ ...wish, ...services, url });
  } catch (caught) {
    const end = endOf(caught);
    if (end === undefined) throw caught;
    return end;
  }
}

type Session = UploadWish & UploadServices & Readonly<{ url: URL }>;

/** Where to go on, an end, or neither when the answer does not tell. */
type Step = Readonly<{ offset: number | undefined }> | Readonly<{ end: SessionEnd }>;

async function startSession(wish: UploadWish, { transport, address, limits }: UploadServices) {
  const answer = await transport.exchange(
    {
      method: "POST",
      url: address.uploads(),
      headers: startHeaders(wish),
      body: JSON.stringify({ file: startResource(wish) }),
      signal: wish.signal,
    },
    limits.callMs,
  );
  refuseErrorBody(answer, transport);
  const url = answer.headers.get("x-goog-upload-url");
  if (url === null) throw unusable("no address to upload to came back");
  return address.uploadSession(url);
}

function startHeaders({ file, mimeType }: UploadWish): Record<string, string> {
  return {
    "content-type": "application/json",
    "x-goog-upload-protocol": "resumable",
    "x-goog-upload-command": "start",
    "x-goog-upload-header-content-length": String(file.bytes),
    "x-goog-upload-header-content-type": mimeType,
  };
}

function startResource({ file, name, mimeType }: UploadWish) {
  const displayName = name.replace("files/", "");
  return { name, displayName, mimeType, sizeBytes: String(file.bytes) };
}

/** Ends, because either more has arrived than ever before, or a stumble is counted. */
async function sendAll(session: Session): Promise<SessionEnd> {
  const { clock, limits, signal } = session;
  let offset: number | undefined = 0;
  let furthest = 0;
  let lastFailure = unusable("it does not say how much of the upload has arrived");
  for (let stumbles = 0; stumbles < limits.maxStumbles;) {
    try {
      const step: Step = await (offset === undefined
        ? askHowFar(session)
        : sendFrom(session, offset));
      if ("end" in step) return step.end;
      offset = step.offset;
    } catch (caught) {
      if (!(caught instanceof GeminiError) || endOf(caught) !== undefined) throw caught;
      if (SESSION_GONE.includes(caught.httpStatus ?? 0)) return { type: "dead" };
      lastFailure = caught;
      offset = undefined;
    }
    if (offset !== undefined && offset > furthest) [furthest, stumbles] = [offset, 0];
    if (offset === undefined) await clock.sleep(delayMs((stumbles += 1), limits), signal);
  }
  throw lastFailure;
}

async function sendFrom(session: Session, offset: number): Promise<Step> {
  const length = Math.min(session.limits.chunkBytes, session.file.bytes - offset);
  const last = offset + length === session.file.bytes;
  const answer = await command(session, {
    "x-goog-upload-command": last ? "upload, finalize" : "upload",
    "x-goog-upload-offset": String(offset),
    body: await readChunk(session, offset, length),
  });
  const status = answer.headers.get("x-goog-upload-status");
  if (status === "final") return { end: stored(answer) };
  if (status === "cancelled") return { end: { type: "dead" } };
  return { offset: status === "active" && !last ? offset + length : undefined };
}

async function askHowFar(session: Session): Promise<Step> {
  const answer = await command(session, { "x-goog-upload-command": "query" });
  const status = answer.headers.get("x-goog-upload-status");
  if (status === "final") return { end: stored(answer) };
  if (status === "cancelled") return { end: { type: "dead" } };
  const received = count(answer.headers.get("x-goog-upload-size-received") ?? undefined);
  const possible = received !== undefined && received >= 0 && received <= session.file.bytes;
  return { offset: status === "active" && possible ? received : undefined };
}

type Command = Readonly<{
  "x-goog-upload-command": string;
  "x-goog-upload-offset"?: string;
  body?: Uint8Array<ArrayBuffer>;
}>;

async function command(session: Session, { body, ...headers }: Command): Promise<Answer> {
  const { transport, url, limits, signal } = session;
  const request = { method: "POST", url, headers: { ...headers, "content-type": BYTES }, signal };
  const answer = await transport.exchange(
    body === undefined ? request : { ...request, body },
    body === undefined ? limits.callMs : limits.chunkMs,
  );
  refuseErrorBody(answer, transport);
  return answer;
}

const BYTES = "application/octet-stream";

/** The service has been seen to answer 200 with an error in the body. */
function refuseErrorBody(answer: Answer, transport: Transport): void {
  const error = serviceError(answer.text);
  if (error !== undefined) throw transport.refusal(answer, count(error["code"]) ?? UNKNOWN_STATUS);
}

/** Of an error that does not say: as good as an internal one. */
const UNKNOWN_STATUS = 500;

function stored(answer: Answer): SessionEnd {
  const name = parseFile(fields(parseJson(answer.text))["file"])?.name;
  return name === undefined ? { type: "answerLost" } : { type: "stored", name };
}

async function readChunk({ handle, file }: Session, offset: number, length: number) {
  const chunk = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(chunk, filled, length - filled, offset + filled);
    if (bytesRead === 0) throw shorterThanRecorded(file);
    filled += bytesRead;
  }
  return chunk;
}

function shorterThanRecorded({ path, bytes }: RequestFile): UserError {
  return new UserError(`${path} is shorter than the ${bytes} bytes that were recorded for it.`, {
    hint: "Put the file back as it was exported, then run the same command again.",
  });
}

const SESSION_GONE = [401, 403, 404, 410];
const CONFLICT = 409;

function endOf(caught: unknown): SessionEnd | undefined {
  if (!(caught instanceof GeminiError)) return undefined;
  if (/unsupported mime type/i.test(caught.message))
    return { type: "unsupportedType", error: caught };
  if (caught.httpStatus === CONFLICT) return { type: "nameTaken" };
  return undefined;
}

function delayMs(stumbles: number, { firstStumbleDelayMs, maxStumbleDelayMs }: Limits): number {
  return Math.min(firstStumbleDelayMs * 2 ** (stumbles - 1), maxStumbleDelayMs);
}
