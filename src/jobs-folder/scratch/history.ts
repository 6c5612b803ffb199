import type { JournalEvent } from "../../manifest/event.ts";
import { apply, emptyState } from "../../manifest/fold.ts";
import type { Job } from "../../manifest/job.ts";
import type { ReadEvents } from "../open.ts";

/** All that was recorded, oldest first, and the jobs that it comes to. */
export type History = Readonly<{ events: readonly JournalEvent[]; jobs: readonly Job[] }>;

export async function historyFrom(read: ReadEvents): Promise<History> {
  const events: JournalEvent[] = [];
  const state = emptyState();
  await read((event) => events.push(event));
  // a job's state changes in place: the events stay as they were
  for (const event of events) apply(state, event);
  return { events, jobs: [...state.jobs.values()] };
}
