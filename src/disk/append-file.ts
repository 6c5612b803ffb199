/**
 * Files that only grow. An append is durable once it resolves; one that fails (disk full) is taken
 * back, and where even that fails, the file takes no further one. A process that dies while it
 * appends leaves a torn last line: who opens the file again says where the whole ones end.
 */
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { syncFolder } from "./durable-file.ts";

export type AppendFile = {
  /** One after the other, in the order of the calls. Rejects with the system's error. */
  append(bytes: Buffer): Promise<void>;
  /** Waits for what is being appended. */
  close(): Promise<void>;
};

const FILE_MODE = 0o600;

/** Opens for appending after `endsAt`, where the last whole line ends; the rest is cut off. */
export async function openAppendFile(path: string, endsAt: number): Promise<AppendFile> {
  const handle = await open(path, endsAt === 0 ? "w" : "r+", FILE_MODE);
  try {
    await handle.truncate(endsAt);
    await syncFolder(dirname(path));
    return new Appender(path, handle, endsAt);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

class Appender implements AppendFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  #endsAt: number;
  #broken = false;
  #queue: Promise<void> = Promise.resolve();

  constructor(path: string, handle: FileHandle, endsAt: number) {
    this.#path = path;
    this.#handle = handle;
    this.#endsAt = endsAt;
  }

  append(bytes: Buffer): Promise<void> {
    const done = this.#queue.then(() => this.#write(bytes));
    this.#queue = done.catch(() => {});
    return done;
  }

  async close(): Promise<void> {
    await this.#queue;
    await this.#handle.close();
  }

  async #write(bytes: Buffer): Promise<void> {
    if (this.#broken) throw new Error(`${this.#path} ends in an append that failed`);
    try {
      await this.#writeAll(bytes);
      await this.#handle.datasync();
      this.#endsAt += bytes.length;
    } catch (error) {
      await this.#takeBack();
      throw error;
    }
  }

  async #writeAll(bytes: Buffer): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      const at = this.#endsAt + written;
      const step = await this.#handle.write(bytes, written, bytes.length - written, at);
      written += step.bytesWritten;
    }
  }

  /** After a failed append it may stand there in part or whole: cut it off, durably. */
  async #takeBack(): Promise<void> {
    try {
      await this.#handle.truncate(this.#endsAt);
      await this.#handle.datasync();
    } catch {
      this.#broken = true;
    }
  }
}
