import { statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { exists } from "./presence.ts";

/** Bytes that are free on the disk of the folder, or of the one in which it would be made. */
export async function freeBytes(folder: string): Promise<number> {
  const { blocks, bavail, bsize } = await statfs(await nearestFolder(folder));
  // some file systems do not tell
  return blocks === 0 ? Infinity : bavail * bsize;
}

/** The folder itself, or the nearest above it that is there. */
export async function nearestFolder(folder: string): Promise<string> {
  const path = resolve(folder);
  return !(await exists(path)) && dirname(path) !== path ? nearestFolder(dirname(path)) : path;
}
