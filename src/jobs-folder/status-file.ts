/** What the last watched command left behind: so that somebody is told of a change, not of a state. */
import { statusPath } from "../manifest/file-names.ts";
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { replaceFileUnlocked } from "../disk/durable-file.ts";
import { prepareFolder } from "./files.ts";

const status = z.object({
  version: z.literal(1),
  health: z.enum(["ok", "failed", "stalled", "budget"]),
  /** Of a failure: the reason for its exit code. */
  exitCode: z.number().nullable(),
  since: z.iso.datetime(),
  lastSuccessAt: z.iso.datetime().nullable(),
});

export type Status = Readonly<z.infer<typeof status>>;

/** Undefined where there is none, or none that can be read: it is no more than a memory. */
export async function readStatus(folder: string): Promise<Status | undefined> {
  const text = await readFile(statusPath(folder), "utf8").catch(() => "");
  try {
    return status.parse(JSON.parse(text));
  } catch {
    return undefined; // it is written anew
  }
}

export async function writeStatus(folder: string, content: Status): Promise<void> {
  await prepareFolder(folder);
  await replaceFileUnlocked(statusPath(folder), `${JSON.stringify(content)}\n`);
}
