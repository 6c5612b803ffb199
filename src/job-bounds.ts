import type { JobBounds } from "./job/cut.ts";
import type { Settings } from "./options.ts";

/** No job is made that could never be queued: the enqueued tokens bound it too. */
export function jobBounds(
  settings: Pick<Settings, "maxJobRows" | "maxJobTokens" | "maxJobBytes" | "maxEnqueuedTokens">,
): JobBounds {
  return {
    maxRows: settings.maxJobRows,
    maxTokens: Math.min(settings.maxJobTokens, settings.maxEnqueuedTokens),
    maxBytes: settings.maxJobBytes,
  };
}
