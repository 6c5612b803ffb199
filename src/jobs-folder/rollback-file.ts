/**
 * `<job>.rollback.jsonl`: the rows that held exactly the job's vectors when its rollback began, a
 * key a line. It is durable before the journal says `rollingBack`, and that before the first row is
 * emptied. So when a rollback is repeated after a crash, a row of the list that is NULL counts as
 * emptied by it, and a row that was NULL before does not.
 */
import { exists } from "../disk/presence.ts";
import { createDurableFile, hashFile } from "../disk/durable-file.ts";
import { parseJsonObject, requireText } from "../row/json-value.ts";
import { readLines } from "../disk/jsonl.ts";
import { KeySet } from "../row/key-table.ts";
import type { JobFiles } from "../manifest/file-names.ts";
import type { Job } from "../manifest/job.ts";

export type RollbackList = NonNullable<Job["rollback"]>;

/** Writes the list; nothing is recorded by it. */
export async function writeRollbackFile(
  files: JobFiles,
  keys: AsyncIterable<readonly string[]>,
): Promise<RollbackList> {
  const file = await createDurableFile(files.rollback);
  let rows = 0;
  try {
    for await (const some of keys) {
      for (const key of some) await file.write(`${JSON.stringify({ key })}\n`);
      rows += some.length;
    }
    return { rows, file: await file.commit() };
  } finally {
    await file.abandon();
  }
}

/** The keys of the list; undefined where it is no longer the one that was recorded. */
export async function readRollbackFile(
  files: JobFiles,
  { rows, file }: RollbackList,
): Promise<KeySet | undefined> {
  if (!(await exists(files.rollback))) return undefined;
  if ((await hashFile(files.rollback)).sha256 !== file.sha256) return undefined;
  const keys = new KeySet(rows);
  for await (const lines of readLines(files.rollback)) {
    for (const { bytes } of lines) {
      if (bytes !== undefined) keys.add(requireText(parseJsonObject(bytes)["key"], "key"));
    }
  }
  return keys;
}
