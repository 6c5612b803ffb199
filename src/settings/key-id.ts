import { createHash } from "node:crypto";
import type { Secret } from "./secret.ts";

/**
 * Tells keys apart without telling the key: only the key that made a batch is sure to see it. The
 * same key at another address, such as the emulator's, sees other batches, so it is another one.
 */
export function keyIdOf(apiKey: Secret, baseUrl?: string): string {
  const address = baseUrl === undefined ? "" : `\n${new URL(baseUrl).origin}`;
  const hash = createHash("sha256").update(apiKey.reveal() + address);
  return hash.digest("hex").slice(0, KEY_ID_DIGITS);
}

const KEY_ID_DIGITS = 12;
