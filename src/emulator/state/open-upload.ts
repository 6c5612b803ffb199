/** A resumable upload under way. It outlives a restart, so that `query` can still be answered. */
import { MessageType } from "../http/proto-json.ts";

export const SESSION_LIFE_MS = 7 * 24 * 60 * 60 * 1000;
/** Every chunk but the last is a multiple of this. */
export const CHUNK_GRANULARITY_BYTES = 262_144;

export type UploadSession = Readonly<{
  id: string;
  project: string;
  mimeType: string;
  displayName: string;
  /** The id the client asked for; undefined when the service chooses. */
  wantedId: string | undefined;
  /** As announced at the start, where it was. */
  sizeBytes: number | undefined;
  receivedBytes: number;
  createdAtMs: number;
  status: "active" | "final" | "cancelled";
}>;

const RECORD = new MessageType(
  "id",
  "project",
  "mimeType",
  "displayName",
  "wantedId",
  "sizeBytes",
  "receivedBytes",
  "createdAtMs",
  "status",
);
const STATUSES = ["active", "final", "cancelled"] as const;

export function readUploadSession(value: unknown): UploadSession {
  const record = RECORD.open(value, "upload");
  return {
    id: record.string("id") ?? "",
    project: record.string("project") ?? "",
    mimeType: record.string("mimeType") ?? "",
    displayName: record.string("displayName") ?? "",
    wantedId: record.string("wantedId"),
    sizeBytes: record.int("sizeBytes"),
    receivedBytes: record.int("receivedBytes") ?? 0,
    createdAtMs: record.int("createdAtMs") ?? 0,
    status: STATUSES.find((status) => status === record.string("status")) ?? "cancelled",
  };
}
