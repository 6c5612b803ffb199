/** Looks at every submitted job's batch, each when it is due, until it has ended. */
import { MS_PER_SECOND } from "../clock.ts";
import { JobBlocked, UserError } from "../errors.ts";
import { IDLE, type Lane } from "../gates/step.ts";
import { withKeyOf } from "../gates/keys.ts";
import type { World } from "../gates/world.ts";
import { isOutage } from "../gemini/port.ts";
import { deleteInput } from "../jobs-folder/input-file.ts";
import type { Job } from "../manifest/job.ts";
import { needs } from "../manifest/states.ts";
import { pollJob } from "./poll-job.ts";
import { type PollSchedule, pollSchedule } from "./schedule.ts";
import { stuckNotices } from "./stuck.ts";

export type PollOptions = Readonly<{
  /** Undefined: adaptive. */
  pollIntervalMs: number | undefined;
  /** The age at which a batch is reported as stuck. */
  stuckAfterMs: number;
}>;

type Polling = World & Readonly<{ schedule: PollSchedule; tellStuck: (job: Job) => void }>;

/** `endsAtMs`: all are looked at then, for the last time. */
export function pollLane(world: World & PollOptions, endsAtMs = Infinity): Lane {
  const schedule = pollSchedule(world.clock, world.pollIntervalMs);
  const polling = { ...world, schedule, tellStuck: stuckNotices(world, world.stuckAfterMs) };
  let isOver = false;
  const lookLast = (jobs: readonly Job[]) => {
    isOver = true;
    return pollJobs(polling, jobs);
  };
  return {
    next: () => {
      const jobs = waitedFor(world);
      if (isOver || jobs.length === 0) return IDLE;
      const leftMs = endsAtMs - world.clock.elapsedMs();
      if (leftMs <= 0) return () => lookLast(jobs);
      const dueMs = schedule.untilDueMs(jobs);
      return dueMs > 0 ? Math.min(dueMs, leftMs) : () => lookAtDue(polling, jobs);
    },
  };
}

function waitedFor({ manifest, blocked, duties }: World): readonly Job[] {
  const isToPoll = (job: Job) => !blocked.has(job) && duties.has("poll", job.project);
  return manifest.needing("poll").filter(isToPoll);
}

/** Says how many are waited for, and when they are looked at next. */
async function lookAtDue(polling: Polling, jobs: readonly Job[]): Promise<void> {
  const { schedule, report } = polling;
  await pollJobs(polling, schedule.takeDue(jobs));
  const left = waitedFor(polling);
  if (left.length === 0) return;
  const nextPollSeconds = Math.ceil(schedule.untilDueMs(left) / MS_PER_SECOND);
  report({ type: "polled", pending: left.length, nextPollSeconds });
}

/** What is wrong with one job is said once all the others have been looked at. */
async function pollJobs(polling: Polling, jobs: readonly Job[]): Promise<void> {
  const { outages, blocked, report, signal } = polling;
  const failures: UserError[] = [];
  for (const job of jobs) {
    if (signal.aborted) break;
    try {
      await lookAtOne(polling, job);
    } catch (error) {
      // where Gemini has answered before, it will again: the others are not even asked now
      if (isOutage(error) && outages.hasAnswered) {
        const hint = "It is looked at again later; the batches go on.";
        report({ type: "warning", message: error.message, hint });
        break;
      }
      if (!(error instanceof UserError)) throw error;
      if (!(error instanceof JobBlocked)) failures.push(error);
      else {
        blocked.add(error);
        report({ type: "warning", message: error.message, hint: error.hint });
      }
    }
  }
  for (const failure of failures) throw failure;
}

async function lookAtOne(polling: Polling, job: Job): Promise<void> {
  const its = withKeyOf(polling, job);
  const after = await pollJob(its, job);
  polling.outages.hasAnswered = true;
  polling.tellStuck(after);
  if (needs(after) === "poll") return;
  polling.schedule.forget(job.id);
  polling.onEnded(after);
  await deleteInput(its, after);
}
