import { open } from "node:fs/promises";

/**
 * The whole of a file that is meant to be small, or undefined when it has more bytes than `maxBytes`,
 * of which no more are read: it may be a device or a pipe without an end. Rejects with the system's
 * error.
 */
export async function readSmallFile(path: string, maxBytes: number): Promise<string | undefined> {
  const handle = await open(path);
  try {
    const content = Buffer.alloc(maxBytes + 1);
    let length = 0;
    for (let read = 1; read > 0 && length < content.length; length += read) {
      read = (await handle.read(content, length, content.length - length)).bytesRead;
    }
    return length > maxBytes ? undefined : content.toString("utf8", 0, length);
  } finally {
    await handle.close();
  }
}
