import { createHash } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { explainWriteError, type FileDigest, PART_SUFFIX } from "../disk/durable-file.ts";

/** For a request that is to be refused. A crash leaves a part file, which the next writer sweeps. */
export async function withThrowAwayFile<T>(
  folder: string,
  content: string,
  use: (file: FileDigest & Readonly<{ path: string }>) => Promise<T>,
): Promise<T> {
  const path = join(folder, `throw-away${PART_SUFFIX}`);
  try {
    await writeFile(path, content, { mode: 0o600 });
  } catch (error) {
    throw explainWriteError(error, path);
  }
  const sha256 = createHash("sha256").update(content).digest("hex");
  try {
    return await use({ path, bytes: Buffer.byteLength(content), sha256 });
  } finally {
    await rm(path, { force: true });
  }
}
