/** A resumable upload under way. It outlives a restart, so that `query` can still be answered. */
import { z } from "zod";

export const SESSION_LIFE_MS = 7 * 24 * 60 * 60 * 1000;
/** Every chunk but the last is a multiple of this. */
export const CHUNK_GRANULARITY_BYTES = 262_144;

export const UPLOAD_SESSION = z.object({
  id: z.string(),
  project: z.string(),
  mimeType: z.string(),
  displayName: z.string(),
  /** The id the client asked for; undefined when the service chooses. */
  wantedId: z.string().optional(),
  /** As announced at the start, where it was. */
  sizeBytes: z.number().optional(),
  receivedBytes: z.number(),
  createdAtMs: z.number(),
  status: z.enum(["active", "final", "cancelled"]),
});

export type UploadSession = Readonly<z.infer<typeof UPLOAD_SESSION>>;
