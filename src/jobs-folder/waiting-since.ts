/**
 * How long rows have waited for a vector, as far as the manifest can tell: since they were first exported.
 * Of a row that no job has it knows nothing, so this is the least.
 */
import type { Job } from "../manifest/job.ts";
import { isOpen } from "../manifest/states.ts";

/** `job`: which has the rows now. */
export type WaitingSince = Readonly<{ job: string; since: string }>;

/** Of rows on their way, or in a failed file; undefined where there are none. */
export function waitingSince(jobs: readonly Job[]): WaitingSince | undefined {
  const created = new Map<string, string>();
  // parents come before their children
  for (const { id, createdAt, parents } of jobs) {
    created.set(
      id,
      [createdAt, ...parents.map((parent) => created.get(parent) ?? createdAt)].toSorted()[0] ??
        createdAt,
    );
  }
  const waiting = jobs
    .filter((job) => isOpen(job) || job.outstanding.lines > 0)
    .map(({ id, createdAt }) => ({ job: id, since: created.get(id) ?? createdAt }));
  return waiting.toSorted((a, b) => (a.since < b.since ? -1 : 1))[0];
}
