/** The start of a resumable upload: what is wanted, and whether it may be. */
import { livingFile, refuseLongId, storedBytes } from "./kept-files.ts";
import { type Answer, type Call, readJson } from "../http/http.ts";
import { isFileId, newSessionId } from "../http/identifiers.ts";
import { type Message, MessageType } from "../http/proto-json.ts";
import { invalid, quotaExceeded, ServiceError } from "../http/service-error.ts";
import type { State } from "../state/state.ts";
import { CHUNK_GRANULARITY_BYTES, type UploadSession } from "../state/open-upload.ts";

export const FILE_BYTES_MAX = 2 * 1024 ** 3;
const PROJECT_BYTES_MAX = 20 * 1024 ** 3;
const DISPLAY_NAME_LETTERS_MAX = 512;

/** All have been used for request files with success; `jsonl` is refused at times. */
const MIME_TYPES = [
  "application/jsonl",
  "application/json",
  "application/vnd.google.generativeai.jsonl",
  "text/plain",
  "application/octet-stream",
  "jsonl",
];

const START = new MessageType("file");
const FILE = new MessageType(
  "name displayName mimeType sizeBytes createTime updateTime expirationTime sha256Hash uri downloadUri state source error videoMetadata",
);

/** Opens a session, or says what is wrong with the file before a byte of it is sent. */
export async function startUpload(call: Call, state: State): Promise<Answer> {
  if (
    call.header("x-goog-upload-protocol") !== "resumable" ||
    call.header("x-goog-upload-command") !== "start"
  ) {
    throw invalid("This emulator takes resumable uploads only: X-Goog-Upload-Command: start.");
  }
  const message = START.open(await readJson(call), "");
  const file = message.message("file", (value, at) => FILE.open(value, at));
  const session = newSession(call, file, state);
  if (state.embedder.behaviour.is("mime-refusal", "at-start")) refuseMimeType(session, state);
  if (state.embedder.behaviour.is("duplicate-name", "refused-at-start"))
    refuseTakenName(session, state);
  checkStorage(session, state);
  state.uploads.put(session.id, session);
  return { kind: "empty", headers: startedHeaders(call, session) };
}

function newSession(call: Call, file: Message | undefined, state: State): UploadSession {
  const announced = call.header("x-goog-upload-header-content-length");
  const displayName = file?.string("displayName") ?? "";
  if (displayName.length > DISPLAY_NAME_LETTERS_MAX) {
    throw invalid(
      `* CreateFileRequest.file.display_name: cannot be more than ${DISPLAY_NAME_LETTERS_MAX} characters.\n`,
    );
  }
  return {
    id: newSessionId(),
    project: call.project,
    mimeType:
      file?.string("mimeType") ??
      call.header("x-goog-upload-header-content-type") ??
      "application/octet-stream",
    displayName,
    wantedId: wantedId(file?.string("name")),
    sizeBytes: announced === undefined ? file?.int("sizeBytes") : announcedBytes(announced),
    receivedBytes: 0,
    createdAtMs: state.time.nowMs(),
    status: "active",
  };
}

function wantedId(name: string | undefined): string | undefined {
  if (name === undefined || name === "") return undefined;
  const id = name.startsWith("files/") ? name.slice("files/".length) : name;
  refuseLongId(id, "CreateFileRequest.file.name");
  if (isFileId(id)) return id;
  throw invalid(
    "* CreateFileRequest.file.name: File ID must contain only lowercase alphanumeric characters or dashes (-), and cannot begin or end with a dash.\n",
  );
}

function announcedBytes(text: string): number {
  const bytes = Number(text);
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  throw invalid("Invalid X-Goog-Upload-Header-Content-Length.");
}

export function refuseMimeType(session: UploadSession, state: State): void {
  const type = session.mimeType;
  if (MIME_TYPES.includes(type) && !state.settings.refusedMimeTypes.includes(type)) return;
  throw invalid(`Unsupported MIME type: ${type}`);
}

export function refuseTakenName({ wantedId: id }: UploadSession, state: State): void {
  if (id === undefined || livingFile(state, id) === undefined) return;
  throw new ServiceError("ALREADY_EXISTS", `Requested entity already exists: files/${id}`);
}

function checkStorage(session: UploadSession, state: State): void {
  const bytes = session.sizeBytes ?? 0;
  if (bytes > FILE_BYTES_MAX)
    throw invalid("The file is larger than the limit of 2147483648 bytes.");
  if (storedBytes(state, session.project) + bytes > PROJECT_BYTES_MAX) throw quotaExceeded();
}

function startedHeaders(call: Call, session: UploadSession): Record<string, string> {
  const query = `upload_id=${session.id}&upload_protocol=resumable`;
  const url = `${call.origin}/upload/${call.version}/files?${query}`;
  return {
    "x-goog-upload-status": "active",
    "x-goog-upload-url": url,
    "x-goog-upload-control-url": url,
    "x-goog-upload-chunk-granularity": String(CHUNK_GRANULARITY_BYTES),
  };
}
