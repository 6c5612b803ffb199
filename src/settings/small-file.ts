import { open } from "node:fs/promises";

/**
 * The whole of a file that is meant to be small, or undefined when it has more bytes than `maxBytes`,
 * of which no more are read: it may be a device or a pipe without an end. UTF-8, or UTF-16 with its byte
 * order mark, as editors on Windows write it. Rejects with the system's error, or where it is no text.
 */
export async function readSmallFile(path: string, maxBytes: number): Promise<string | undefined> {
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
