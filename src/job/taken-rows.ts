import { KeySet } from "../key-table.ts";
import { sameTarget, type Target } from "../target.ts";
import { readFailedLines } from "./failed-file.ts";
import { exists } from "./files.ts";
import { isUnfinished, type ManifestView } from "./manifest.ts";
import { checkRequestFile, readRequestKeys } from "./request-file.ts";

/**
 * Which rows are not to be exported again: those of unfinished jobs, and those that wait in failed
 * files. A row whose text changed has another key and is not among them. Eight bytes a row. Throws a
 * UserError where a request file is not the one recorded: its rows would be paid for twice.
 */
export type TakenRows = Readonly<{ inFlight: KeySet; failedBefore: KeySet }>;

export async function readTakenRows(manifest: ManifestView, target: Target): Promise<TakenRows> {
  const taken = { inFlight: new KeySet(), failedBefore: new KeySet() };
  for (const job of manifest.jobs()) {
    if (!sameTarget(job.target, target)) continue;
    const files = manifest.files(job.id);
    if (isUnfinished(job)) {
      await checkRequestFile(files, job);
      for await (const keys of readRequestKeys(files))
        for (const key of keys) taken.inFlight.add(key);
    } else if (job.outstanding.lines > 0 && (await exists(files.failed))) {
      for await (const line of readFailedLines(files.failed)) taken.failedBefore.add(line.key);
    }
  }
  return taken;
}
