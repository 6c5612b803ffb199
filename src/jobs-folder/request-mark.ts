import { createHash } from "node:crypto";
import type { Job } from "../manifest/job.ts";

const MARK_DIGITS = 16;

/**
 * What a job's vectors depend on, the model and the request lines to the byte, in hex. Its number is not
 * enough to know its answers by: after a backup was put back, another job may get the same one.
 */
export function requestMarkOf({
  target,
  requestFile,
}: Pick<Job, "target" | "requestFile">): string {
  const hash = createHash("sha256").update(`${target.model}\n${requestFile.sha256}`);
  return hash.digest("hex").slice(0, MARK_DIGITS);
}
