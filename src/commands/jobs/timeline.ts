import { MS_PER_SECOND } from "../../clock.ts";
import type { JobHistoryEntry, JobState } from "../../manifest/job.ts";

/** How long a job was in a state at a time; undefined for the one in which it has ended. */
export type Stay = Readonly<{ state: JobState; since: string; seconds: number | undefined }>;

/** By the wall clock, which may have been set meanwhile: never negative. `isOpen`: it goes on. */
export function timelineOf(
  history: readonly JobHistoryEntry[],
  isOpen: boolean,
  now: Date,
): Stay[] {
  const moves = history.filter(({ state }, at) => state !== history[at - 1]?.state);
  return moves.map(({ state, at }, index) => {
    const next = moves[index + 1];
    const endMs = next === undefined ? now.getTime() : Date.parse(next.at);
    const seconds = Math.max(0, Math.round((endMs - Date.parse(at)) / MS_PER_SECOND));
    return { state, since: at, seconds: next === undefined && !isOpen ? undefined : seconds };
  });
}
