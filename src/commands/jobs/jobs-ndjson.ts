import { text } from "node:stream/consumers";
import ndjson from "ndjson";
import type { ListedJob } from "./listed-job.ts";

/** A job a line. */
export async function jobsNdjson(jobs: readonly ListedJob[]): Promise<string> {
  const lines = ndjson.stringify();
  const written = text(lines);
  for (const job of jobs) lines.write(job);
  lines.end();
  return (await written).trimEnd();
}
