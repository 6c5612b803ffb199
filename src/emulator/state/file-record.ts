/** An uploaded file, on disk and as the service shows it. */
import { MessageType, omitEmpty } from "../http/proto-json.ts";
import { timestamp } from "../faults/time.ts";

export const UPLOAD_LIFE_MS = 48 * 60 * 60 * 1000;
const ORIGIN = "https://generativelanguage.googleapis.com/v1beta";

export type FileRecord = Readonly<{
  id: string;
  /** Grows with every upload; the order of lists. */
  number: number;
  project: string;
  mimeType: string;
  displayName: string;
  sizeBytes: number;
  /** Counted once at the end of the upload, for the batches made from it. */
  lines: number;
  /** Lowercase hex. */
  sha256: string;
  createdAtMs: number;
  /** Kept only where somebody may not see the deletion yet. */
  deletedAtMs?: number | undefined;
}>;

const RECORD = new MessageType(
  "id",
  "number",
  "project",
  "mimeType",
  "displayName",
  "sizeBytes",
  "lines",
  "sha256",
  "createdAtMs",
  "deletedAtMs",
);

export function readFileRecord(value: unknown): FileRecord {
  const record = RECORD.open(value, "file");
  return {
    id: record.string("id") ?? "",
    number: record.int("number") ?? 0,
    project: record.string("project") ?? "",
    mimeType: record.string("mimeType") ?? "",
    displayName: record.string("displayName") ?? "",
    sizeBytes: record.int("sizeBytes") ?? 0,
    lines: record.int("lines") ?? 0,
    sha256: record.string("sha256") ?? "",
    createdAtMs: record.int("createdAtMs") ?? 0,
    deletedAtMs: record.int("deletedAtMs"),
  };
}

/** The service's `File`. Its hash is the base64 of the hex text, not of the hash's bytes. */
export function fileResource(file: FileRecord): object {
  const created = timestamp(file.createdAtMs, file.id);
  return omitEmpty({
    name: `files/${file.id}`,
    displayName: file.displayName,
    mimeType: file.mimeType,
    sizeBytes: String(file.sizeBytes),
    createTime: created,
    updateTime: created,
    expirationTime: timestamp(file.createdAtMs + UPLOAD_LIFE_MS, file.id),
    sha256Hash: Buffer.from(file.sha256).toString("base64"),
    uri: `${ORIGIN}/files/${file.id}`,
    state: "ACTIVE",
    source: "UPLOADED",
  });
}
