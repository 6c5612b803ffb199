import { open } from "node:fs/promises";
import { isMissing } from "../../disk/presence.ts";
import type { UserError } from "../../errors.ts";

const BYTES_MAX = 1_000_000;

type Refuse = (what: string, cause?: unknown) => UserError;

/** Undefined where it is not there and need not be. `refuse` makes an error of what else is wrong with it. */
export async function readIfThere(
  path: string,
  { isWanted, refuse }: Readonly<{ isWanted: boolean; refuse: Refuse }>,
): Promise<string | undefined> {
  try {
    const content = await readSmallFile(path, BYTES_MAX);
    if (content !== undefined) return content;
  } catch (error) {
    if (isMissing(error) && !isWanted) return undefined;
    throw refuse(
      `cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  }
  throw refuse(`is over ${BYTES_MAX} bytes`);
}

/**
 * The whole of a file that is meant to be small, or undefined when it has more bytes than `maxBytes`,
 * of which no more are read: it may be a device or a pipe without an end. UTF-8, or UTF-16 with its byte
 * order mark, as editors on Windows write it. Rejects with the system's error, or where it is no text.
 */
async function readSmallFile(path: string, maxBytes: number): Promise<string | undefined> {
  const handle = await open(path);
  try {
    const content = Buffer.alloc(maxBytes + 1);
    let length = 0;
    for (let read = 1; read > 0 && length < content.length; length += read) {
      read = (await handle.read(content, length, content.length - length)).bytesRead;
    }
    return length > maxBytes ? undefined : decoded(content.subarray(0, length));
  } finally {
    await handle.close();
  }
}

function decoded(content: Buffer): string {
  const [first, second] = content;
  const isUtf16 = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  // a decoder leaves the mark itself out
  const encoding = isUtf16 ? (first === 0xff ? "utf-16le" : "utf-16be") : "utf-8";
  const text = new TextDecoder(encoding).decode(content);
  if (!text.includes("\0")) return text;
  throw new Error("it is no text in UTF-8; it holds zero bytes, as UTF-16 does");
}
