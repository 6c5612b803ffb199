import { exists } from "../disk/presence.ts";
import { hashFile } from "../disk/durable-file.ts";
import type { JobFiles } from "../manifest/file-names.ts";
import type { Job } from "../manifest/job.ts";

/** True when the results file is there, and is the one that was recorded. */
export async function hasResults(files: JobFiles, { resultsFile }: Job): Promise<boolean> {
  if (resultsFile === undefined || !(await exists(files.results))) return false;
  return (await hashFile(files.results)).sha256 === resultsFile.sha256;
}
