import type { Clock } from "../clock.ts";
import type { ResultsDoubted } from "../errors.ts";
import type { Job } from "../manifest/job.ts";

const FIRST_PAUSE_MS = 60_000;
const MAX_PAUSE_MS = 15 * 60_000;
const GROWTH = 2;
/** With nothing else under way. */
const WAITED_FOR_MS = 60 * 60_000;

type Doubted = Readonly<{ error: ResultsDoubted; pauseMs: number; dueMs: number }>;

export type DoubtedJobs = ReturnType<typeof doubtedJobs>;

/** Jobs whose results did not prove to be theirs: when each is fetched again, and until when. */
export function doubtedJobs(clock: Clock) {
  const jobs = new Map<string, Doubted>();
  /** Since when nothing else is under way. */
  let aloneSinceMs: number | undefined;
  return {
    has: ({ id }: Job) => jobs.has(id),
    /** Says how long it waits: longer each time. */
    add: (error: ResultsDoubted) => {
      const before = jobs.get(error.job)?.pauseMs;
      const pauseMs =
        before === undefined ? FIRST_PAUSE_MS : Math.min(before * GROWTH, MAX_PAUSE_MS);
      jobs.set(error.job, { error, pauseMs, dueMs: clock.elapsedMs() + pauseMs });
      return pauseMs;
    },
    delete: (job: string) => jobs.delete(job),
    isResting: ({ id }: Job) => (jobs.get(id)?.dueMs ?? 0) > clock.elapsedMs(),
    /** Infinite where none waits. */
    untilNextMs: () =>
      Math.max(0, Math.min(...[...jobs.values()].map(({ dueMs }) => dueMs)) - clock.elapsedMs()),
    /** True where nothing else has been under way for as long as they are waited for. */
    isOver: (isAlone: boolean) => {
      const nowMs = clock.elapsedMs();
      aloneSinceMs = isAlone && jobs.size > 0 ? (aloneSinceMs ?? nowMs) : undefined;
      return nowMs - (aloneSinceMs ?? nowMs) >= WAITED_FOR_MS;
    },
    giveUp: () => {
      const given = [...jobs.values()].map(({ error }) => error);
      jobs.clear();
      return given;
    },
  };
}
