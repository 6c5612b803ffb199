/** An uploaded file, on disk and as the service shows it. */
import { z } from "zod";
import { omitEmpty } from "../http/proto-json.ts";
import { timestamp } from "../faults/time.ts";

export const UPLOAD_LIFE_MS = 48 * 60 * 60 * 1000;
const ORIGIN = "https://generativelanguage.googleapis.com/v1beta";

export const FILE_RECORD = z.object({
  id: z.string(),
  /** Grows with every upload; the order of lists. */
  number: z.number(),
  project: z.string(),
  mimeType: z.string(),
  displayName: z.string(),
  sizeBytes: z.number(),
  /** Counted once at the end of the upload, for the batches made from it. */
  lines: z.number(),
  /** Lowercase hex. */
  sha256: z.string(),
  createdAtMs: z.number(),
  /** Kept only where somebody may not see the deletion yet. */
  deletedAtMs: z.number().optional(),
});

export type FileRecord = Readonly<z.infer<typeof FILE_RECORD>>;

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
