import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type FileDigest, PART_SUFFIX, replaceFile } from "../disk/durable-file.ts";

let made = 0;

/** For a request that is to be refused. What a crash leaves is a part file, which the next writer sweeps. */
export async function withThrowAwayFile<T>(
  folder: string,
  content: string,
  use: (file: FileDigest & Readonly<{ path: string }>) => Promise<T>,
): Promise<T> {
  const path = join(folder, `throw-away-${(made += 1)}${PART_SUFFIX}`);
  const digest = await replaceFile(path, content);
  try {
    return await use({ path, ...digest });
  } finally {
    await rm(path, { force: true });
  }
}
