import { heldUntil } from "../jobs-folder/input-file.ts";
import type { Job } from "../manifest/job.ts";

/** Which jobs cannot be sent again yet, until when, and why; undefined where there is none. */
export function heldText(jobs: readonly Job[]): string | undefined {
  const held = jobs.flatMap((job) => {
    const until = heldUntil(job);
    return until === undefined ? [] : [`${job.id} until ${minuteOf(until)} UTC at the latest`];
  });
  if (held.length === 0) return undefined;
  return `held: ${held.join(", ")}, since a create that comes late could make a batch of it as long as its uploaded file is at Gemini`;
}

const MINUTE_CHARS = "2026-11-22T10:00".length;

function minuteOf(time: Date): string {
  return time.toISOString().slice(0, MINUTE_CHARS).replace("T", " ");
}
