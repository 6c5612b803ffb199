/**
 * Files that are there whole or not at all: written beside their place, synced, renamed into it,
 * and the folder synced. After a crash there is the old file or the new one, and perhaps a
 * `.part`, which nobody reads and, in the jobs folder, a later run sweeps.
 */
import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { UserError } from "../errors.ts";
import { readBlocks } from "./file-blocks.ts";
import { errorCode } from "./presence.ts";

/** `sha256` in lowercase hex. */
export type FileDigest = Readonly<{ bytes: number; sha256: string }>;

export type DurableFile = {
  /** Bytes accepted so far. */
  readonly bytes: number;
  /**
   * Takes the content over at once and in order; it may be reused. Resolves when there is room for
   * more. Rejects with a UserError when the disk is full or the place may not be written.
   */
  write(content: string | Uint8Array): Promise<void>;
  /** Makes the file durable under its own name. Once it resolves, nothing can take it away. */
  commit(): Promise<FileDigest>;
  /** Closes and removes the part. Harmless after `commit` or a failure, and when repeated. */
  abandon(): Promise<void>;
};

/** What is appended to the name of a file that is not complete yet. */
export const PART_SUFFIX = ".part";

const FILE_MODE = 0o600;
const BLOCK_BYTES = 1024 * 1024;
/** Most files end within it. */
const FIRST_BLOCK_BYTES = 32 * 1024;
/** A UTF-16 code unit takes at most so many bytes in UTF-8. */
export const MAX_BYTES_A_UNIT = 3;

/**
 * Starts `<path>.part`, in place of one that a crash left behind. The folder must be there, and nobody
 * else write this file meanwhile.
 */
export async function createDurableFile(path: string): Promise<DurableFile> {
  return startPart(path, path + PART_SUFFIX);
}

/** The file holds exactly this content once it resolves, and the old one until then. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<FileDigest> {
  return filled(await createDurableFile(path), content);
}

/**
 * The same where others may write this very file at the same time: each writes a part of its own, and
 * the last to finish stays. See `isUnlockedPart` for what a crash leaves.
 */
export async function replaceFileUnlocked(
  path: string,
  content: string | Uint8Array,
): Promise<FileDigest> {
  const own = randomBytes(PART_ID_BYTES).toString("hex");
  return filled(await startPart(path, `${path}.${own}${PART_SUFFIX}`), content);
}

const PART_ID_BYTES = 4;
const UNLOCKED_PART = /\.[0-9a-f]{8}\.part$/;

/** Whether a file of this name may be somebody's who holds no lock, and is at work on it. */
export function isUnlockedPart(name: string): boolean {
  return UNLOCKED_PART.test(name);
}

async function startPart(path: string, part: string): Promise<DurableFile> {
  return explained(path, async () => {
    await rm(part, { force: true });
    return new PartFile(path, part, await open(part, "wx", FILE_MODE));
  });
}

async function filled(file: DurableFile, content: string | Uint8Array): Promise<FileDigest> {
  try {
    await file.write(content);
    return await file.commit();
  } finally {
    await file.abandon();
  }
}

/** Reads the file once, in constant memory. Rejects with the system's error. */
export async function hashFile(path: string): Promise<FileDigest> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const block of readBlocks(path)) {
    hash.update(block);
    bytes += block.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** The CRC-32 of its first so many bytes, to be gone on with. */
export async function crcOfStart(path: string, bytes: number): Promise<number> {
  let crc = 0;
  let left = bytes;
  for await (const block of readBlocks(path)) {
    crc = crc32(block.subarray(0, left), crc);
    left -= Math.min(left, block.length);
    if (left === 0) break;
  }
  return crc;
}

/** Makes renames and removals within the folder survive a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open a folder, and keeps the names itself.
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The system's error as one for people, where a person can mend it; else the error as it is. */
export function explainWriteError(error: unknown, path: string): unknown {
  const mend = MENDS[errorCode(error)];
  if (mend === undefined) return error;
  return new UserError(`Cannot write ${path}: ${mend.why}.`, { hint: mend.hint, cause: error });
}

type Mend = Readonly<{ why: string; hint: string }>;

/** An empty folder in its place would know of no job, and pay again for what is under way. */
const MOVE = "move the whole jobs folder to another disk and name it with --jobs-dir";

const DISK_FULL: Mend = {
  why: "the disk is full",
  hint: `Make room on that disk, or ${MOVE}. Then run the same command again.`,
};
const NOT_ALLOWED: Mend = {
  why: "this user may not write there",
  hint: `Give this user write permission on the folder, or ${MOVE}.`,
};

const MENDS: Readonly<Record<string, Mend | undefined>> = {
  ENOSPC: DISK_FULL,
  EDQUOT: { ...DISK_FULL, why: "this user's disk quota is used up" },
  EACCES: NOT_ALLOWED,
  EPERM: NOT_ALLOWED,
  EFBIG: {
    why: "it has reached the largest size allowed there",
    hint: `Raise the limit (\`ulimit -f\`), ${MOVE}, or export smaller jobs with --max-job-bytes.`,
  },
  ENOENT: {
    why: "its folder is not there any more",
    hint: "Was the jobs folder moved or deleted meanwhile? Put it back, or name its new place with --jobs-dir: an empty one knows of no job, and pays again for what is under way.",
  },
  EROFS: { why: "the file system is read-only", hint: `Mount it for writing, or ${MOVE}.` },
};

class PartFile implements DurableFile {
  readonly #path: string;
  readonly #part: string;
  readonly #handle: FileHandle;
  readonly #hash = createHash("sha256");
  #bytes = 0;
  #block: Buffer = Buffer.allocUnsafe(FIRST_BLOCK_BYTES);
  #used = 0;
  /** Of a block that is written, to be filled again. */
  #spare: Buffer | undefined;
  /** Settles when every full block is written; stays rejected once one could not be. */
  #written: Promise<void> = Promise.resolve();
  #state: "open" | "committing" | "closed" | "committed" = "open";

  constructor(path: string, part: string, handle: FileHandle) {
    this.#path = path;
    this.#part = part;
    this.#handle = handle;
  }

  get bytes(): number {
    return this.#bytes;
  }

  write(content: string | Uint8Array): Promise<void> {
    this.#requireOpen();
    if (typeof content !== "string") this.#put(content);
    else if (this.#used + content.length * MAX_BYTES_A_UNIT > this.#block.length)
      this.#put(Buffer.from(content));
    else this.#putText(content);
    return this.#written;
  }

  #putText(text: string): void {
    const bytes = this.#block.write(text, this.#used);
    this.#bytes += bytes;
    this.#used += bytes;
  }

  #put(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    let rest = bytes;
    while (this.#used + rest.length >= this.#block.length) {
      const room = this.#block.length - this.#used;
      this.#fill(rest.subarray(0, room));
      this.#startBlock();
      rest = rest.subarray(room);
    }
    this.#fill(rest);
  }

  #fill(bytes: Uint8Array): void {
    this.#block.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  async commit(): Promise<FileDigest> {
    this.#requireOpen();
    this.#state = "committing";
    this.#flush();
    await explained(this.#path, async () => {
      await this.#finish();
      await rename(this.#part, this.#path);
      await syncFolder(dirname(this.#path));
    });
    this.#state = "committed";
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  async abandon(): Promise<void> {
    // By now the part's name may belong to the next writer.
    if (this.#state === "committed") return;
    // Whoever wrote has been told of a failed write already.
    await Promise.allSettled([this.#written]);
    await this.#close();
    await rm(this.#part, { force: true });
  }

  #requireOpen(): void {
    if (this.#state !== "open") throw new Error(`${this.#path} is not open for writing any more`);
  }

  #startBlock(): void {
    this.#flush();
    this.#block = this.#spare ?? Buffer.allocUnsafe(BLOCK_BYTES);
    this.#spare = undefined;
    this.#used = 0;
  }

  #flush(): void {
    const [block, used] = [this.#block, this.#used];
    this.#written = this.#written.then(() => this.#append(block, used));
  }

  async #append(block: Buffer, used: number): Promise<void> {
    const bytes = block.subarray(0, used);
    this.#hash.update(bytes);
    await explained(this.#path, () => this.#handle.appendFile(bytes));
    if (block.length === BLOCK_BYTES) this.#spare = block;
  }

  async #finish(): Promise<void> {
    try {
      await this.#written;
      await this.#handle.sync();
    } finally {
      await this.#close();
    }
  }

  async #close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    await this.#handle.close();
  }
}

async function explained<Result>(path: string, deed: () => Promise<Result>): Promise<Result> {
  try {
    return await deed();
  } catch (error) {
    throw explainWriteError(error, path);
  }
}
