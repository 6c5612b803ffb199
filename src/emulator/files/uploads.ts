/** The resumable upload protocol after its start: chunks, query, cancel, finalize. */
import { createHash } from "node:crypto";
import { createReadStream, renameSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { fileResource, type FileRecord } from "../state/file-record.ts";
import { livingFile } from "./kept-files.ts";
import { type Answer, type Call, ok, refusal } from "../http/http.ts";
import { newFileId } from "../http/identifiers.ts";
import { invalid, ServiceError, unavailable } from "../http/service-error.ts";
import { type State, uploadedPath } from "../state/state.ts";
import { FILE_BYTES_MAX, refuseMimeType, refuseTakenName, startUpload } from "./upload-start.ts";
import {
  CHUNK_GRANULARITY_BYTES,
  SESSION_LIFE_MS,
  type UploadSession,
} from "../state/open-upload.ts";

const LF = 10;

export async function upload(call: Call, state: State): Promise<Answer> {
  const sessionId = call.query.get("upload_id");
  if (sessionId === null) return startUpload(call, state);
  const session = livingSession(call, sessionId, state);
  const commands = (call.header("x-goog-upload-command") ?? "")
    .split(",")
    .map((word) => word.trim());
  if (commands.includes("query")) return queried(session);
  if (commands.includes("cancel")) return cancelled(session, state);
  if (session.status !== "active") throw invalid(`The upload is ${session.status}.`);
  return receive(call, session, commands, state);
}

/** Removes sessions that nobody may resume any more; called at every start. */
export function dropExpiredSessions(state: State): void {
  for (const session of state.uploads.all()) {
    if (state.time.nowMs() < session.createdAtMs + SESSION_LIFE_MS) continue;
    dropPart(state, session.id);
    state.uploads.remove(session.id);
  }
}

function livingSession(call: Call, id: string, state: State): UploadSession {
  const session = state.uploads.get(id);
  if (session !== undefined && state.faults.strikes("upload-session-lost")) {
    dropPart(state, session.id);
    state.uploads.remove(id);
  }
  const known = state.uploads.get(id);
  const expired = known !== undefined && state.time.nowMs() >= known.createdAtMs + SESSION_LIFE_MS;
  if (known === undefined || expired || known.project !== call.project) {
    throw new ServiceError("NOT_FOUND", "The upload session was not found.");
  }
  return known;
}

function queried(session: UploadSession): Answer {
  return {
    kind: "empty",
    headers: {
      "x-goog-upload-status": session.status,
      "x-goog-upload-size-received": String(session.receivedBytes),
      "x-goog-upload-chunk-granularity": String(CHUNK_GRANULARITY_BYTES),
    },
  };
}

function cancelled(session: UploadSession, state: State): Answer {
  state.uploads.put(session.id, { ...session, status: "cancelled" });
  dropPart(state, session.id);
  return { kind: "empty", headers: { "x-goog-upload-status": "cancelled" } };
}

async function receive(
  call: Call,
  session: UploadSession,
  commands: readonly string[],
  state: State,
): Promise<Answer> {
  checkCommand(call, session, commands);
  if (state.receiving.has(session.id)) throw unavailable();
  state.receiving.add(session.id);
  try {
    const cut = state.faults.strikes("upload-cut");
    const received = await appendChunk(call, session, cut, state);
    if (received === undefined) return { kind: "reset" };
    if (commands.includes("finalize")) return await finalized(received, state);
    return progressed(received, session, state);
  } finally {
    state.receiving.delete(session.id);
  }
}

function checkCommand(call: Call, session: UploadSession, commands: readonly string[]): void {
  const known = commands.every((word) => word === "upload" || word === "finalize");
  if (!known) throw invalid("Unknown X-Goog-Upload-Command.");
  const offset = call.header("x-goog-upload-offset");
  if (!commands.includes("upload") && offset === undefined) return;
  if (Number(offset) === session.receivedBytes && offset !== "") return;
  throw invalid(
    `Upload offset ${offset} does not match the ${session.receivedBytes} bytes received.`,
  );
}

/** Undefined when the connection broke; then whole granules of what came are kept. */
async function appendChunk(
  call: Call,
  session: UploadSession,
  cut: boolean,
  state: State,
): Promise<UploadSession | undefined> {
  const part = await open(state.uploads.path(session.id, ".part"), "a+");
  try {
    await part.truncate(session.receivedBytes);
    const limit = cut ? Number(call.header("content-length") ?? 0) / 2 : Infinity;
    const { bytes, whole } = await writeBody(part, call, session.receivedBytes, limit);
    const kept = whole ? bytes : bytes - (bytes % CHUNK_GRANULARITY_BYTES);
    await part.truncate(kept);
    const received = { ...session, receivedBytes: kept };
    state.uploads.put(session.id, received);
    return whole ? received : undefined;
  } finally {
    await part.close();
  }
}

async function writeBody(
  part: FileHandle,
  call: Call,
  startByte: number,
  limit: number,
): Promise<{ bytes: number; whole: boolean }> {
  let bytes = startByte;
  try {
    for await (const piece of call.body) {
      if (bytes + piece.byteLength > FILE_BYTES_MAX) throw invalid("The file is too large.");
      await part.write(piece);
      bytes += piece.byteLength;
      if (bytes - startByte > limit) return { bytes, whole: false };
    }
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    // The client went away; what had come by then counts.
    return { bytes, whole: false };
  }
  return { bytes, whole: limit === Infinity };
}

function progressed(received: UploadSession, before: UploadSession, state: State): Answer {
  if ((received.receivedBytes - before.receivedBytes) % CHUNK_GRANULARITY_BYTES !== 0) {
    state.uploads.put(before.id, before);
    throw invalid(
      `A chunk that is not the last must be a multiple of ${CHUNK_GRANULARITY_BYTES} bytes.`,
    );
  }
  return { kind: "empty", headers: statusHeaders("active", state) };
}

function statusHeaders(status: string, state: State): Record<string, string> {
  return state.faults.strikes("upload-no-status") ? {} : { "x-goog-upload-status": status };
}

async function finalized(session: UploadSession, state: State): Promise<Answer> {
  const { behaviour } = state.embedder;
  if (session.sizeBytes !== undefined && session.sizeBytes !== session.receivedBytes) {
    throw invalid(
      `Received ${session.receivedBytes} bytes, but ${session.sizeBytes} were announced.`,
    );
  }
  const refused = finalRefusal(session, state);
  if (refused !== undefined) {
    const asSuccess = behaviour.is("mime-refusal", "as-success") || refused.asSuccess;
    dropPart(state, session.id);
    state.uploads.put(session.id, { ...session, status: "cancelled" });
    if (asSuccess) return ok(refused.error.body, { "x-goog-upload-status": "final" });
    return refusal(refused.error);
  }
  const file = await store(session, state);
  if (state.faults.strikes("upload-final-lost")) return { kind: "reset" };
  return ok({ file: fileResource(file) }, statusHeaders("final", state));
}

function finalRefusal(
  session: UploadSession,
  state: State,
): { error: ServiceError; asSuccess: boolean } | undefined {
  if (state.faults.strikes("mime-200-error")) {
    return { error: invalid(`Unsupported MIME type: ${session.mimeType}`), asSuccess: true };
  }
  try {
    refuseMimeType(session, state);
    if (!state.embedder.behaviour.is("duplicate-name", "renamed")) refuseTakenName(session, state);
    return undefined;
  } catch (error) {
    if (error instanceof ServiceError) return { error, asSuccess: false };
    throw error;
  }
}

/** The bytes are in place before the record that names them, and that before the answer. */
async function store(session: UploadSession, state: State): Promise<FileRecord> {
  const part = state.uploads.path(session.id, ".part");
  const { sha256, lines } = await digest(part);
  const taken = session.wantedId !== undefined && livingFile(state, session.wantedId) !== undefined;
  const id = session.wantedId === undefined || taken ? newFileId() : session.wantedId;
  const file: FileRecord = {
    id,
    number: 1 + Math.max(0, ...state.files.all().map((other) => other.number)),
    project: session.project,
    mimeType: session.mimeType,
    displayName: session.displayName,
    sizeBytes: session.receivedBytes,
    lines,
    sha256,
    createdAtMs: state.time.nowMs(),
  };
  renameSync(part, uploadedPath(state, id));
  state.files.put(id, file);
  state.uploads.put(session.id, { ...session, status: "final" });
  return file;
}

async function digest(path: string): Promise<{ sha256: string; lines: number }> {
  const hash = createHash("sha256");
  let lines = 0;
  let last = LF;
  for await (const block of createReadStream(path)) {
    const bytes = Buffer.from(block);
    hash.update(bytes);
    for (let at = bytes.indexOf(LF); at !== -1; at = bytes.indexOf(LF, at + 1)) lines += 1;
    last = bytes.at(-1) ?? last;
  }
  return { sha256: hash.digest("hex"), lines: last === LF ? lines : lines + 1 };
}

function dropPart(state: State, sessionId: string): void {
  rmSync(state.uploads.path(sessionId, ".part"), { force: true });
}
