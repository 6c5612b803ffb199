import { heldUntil } from "../jobs-folder/input-file.ts";
import type { Job } from "../manifest/job.ts";
import { minute } from "./figures.ts";

/** Which jobs cannot be sent again yet, until when, and why; undefined where there is none. */
export function heldText(jobs: readonly Job[]): string | undefined {
  const held = jobs.flatMap((job) => {
    const until = heldUntil(job);
    return until === undefined ? [] : [`${job.id} until ${minute(until)} UTC at the latest`];
  });
  if (held.length === 0) return undefined;
  return `held: ${held.join(", ")}, since a create that comes late could make a batch of it as long as its uploaded file is at Gemini`;
}
