import type { JobBounds } from "../jobs-folder/cut.ts";
import { largestJob, type QuotaLog } from "../manifest/quota/quota-log.ts";

/** What was learned while only a small job was queued is too little to cut a whole table by. */
const LEAST_SHARE = 0.05;

/** No new job is larger than what was learned of the model's quota lets through. */
export function learnedBounds(bounds: JobBounds, quota: QuotaLog): JobBounds {
  const least = Math.ceil(LEAST_SHARE * bounds.maxTokens);
  const maxTokens = Math.min(bounds.maxTokens, Math.max(least, largestJob(quota)));
  return { ...bounds, maxTokens };
}
