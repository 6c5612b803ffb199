import { count, fields, text } from "./http/json.ts";
import type { FileDigest } from "../disk/durable-file.ts";
import type { RequestFile } from "./port.ts";

/** A file as the service describes it. */
export type StoredFile = Readonly<{
  name: string;
  bytes: number | undefined;
  /** The service's own encoding of the SHA-256. */
  hash: string | undefined;
  state: string;
  expiresAt: string | undefined;
  errorMessage: string | undefined;
}>;

export function parseFile(answer: unknown): StoredFile | undefined {
  const file = fields(answer);
  const name = text(file["name"]);
  if (name === undefined) return undefined;
  return {
    name,
    bytes: count(file["sizeBytes"]),
    hash: text(file["sha256Hash"]),
    state: text(file["state"]) ?? "",
    expiresAt: text(file["expirationTime"]),
    errorMessage: text(fields(file["error"])["message"]),
  };
}

/** Size and hash are both told, and both ours. */
export function holds(stored: StoredFile, file: RequestFile): boolean {
  return stored.hash !== undefined && !contradicts(stored, file);
}

/** Size or hash is told, and is not ours. */
export function contradicts(stored: StoredFile, file: FileDigest): boolean {
  const sizeDiffers = stored.bytes !== undefined && stored.bytes !== file.bytes;
  const hashDiffers = stored.hash !== undefined && !hashForms(file).includes(stored.hash);
  return sizeDiffers || hashDiffers;
}

/**
 * The service sends the base64 of the hex digits' text (seen in a recorded answer). The base64 of
 * the digest itself, which its documentation can be read to mean, is accepted too.
 */
function hashForms({ sha256 }: FileDigest): string[] {
  return [
    Buffer.from(sha256, "latin1").toString("base64"),
    Buffer.from(sha256, "hex").toString("base64"),
  ];
}
