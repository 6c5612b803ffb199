/** When each job came into which state, in the order of the journal: for timelines. */
import type { JobEvent } from "../manifest/event.ts";
import type { JobState } from "../manifest/job.ts";
import { move } from "../manifest/transitions.ts";
import type { ReadEvents } from "./open.ts";

export type StateChange = Readonly<{ job: string; state: JobState; at: string }>;

/** `read`: all that the manifest says. */
export async function readStateChanges(read: ReadEvents): Promise<StateChange[]> {
  const states = new Map<string, JobState>();
  const changes: StateChange[] = [];
  const enter = (job: string, event: JobEvent["type"], at: string) => {
    const before = states.get(job);
    const state = move(job, before, event);
    if (state === before) return;
    states.set(job, state);
    changes.push({ job, state, at });
  };
  await read((event) => {
    if (!("job" in event)) return;
    enter(event.job, event.type, event.at);
    if (event.type !== "resubmitted") return;
    for (const child of event.children) enter(child.job, "exported", event.at);
  });
  return changes;
}
