import type { Job } from "../manifest/job.ts";
import { isQueued } from "../manifest/states.ts";

/** How many jobs are in the queue of each project that something was sent to; empty where that is one alone. */
export function queuesOf(jobs: readonly Job[]): readonly (readonly [string, number])[] {
  const sent = Map.groupBy(jobs, ({ project }) => project ?? "");
  sent.delete("");
  const queues = [...sent].map(([name, own]) => [name, own.filter(isQueued).length] as const);
  return queues.length > 1 ? queues.toSorted(([a], [b]) => a.localeCompare(b)) : [];
}
