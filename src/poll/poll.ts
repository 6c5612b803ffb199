/** Poll: looks at every submitted job's batch until each has ended. */
import type { StageServices } from "../manifest/stage-services.ts";
import { MS_PER_SECOND } from "../clock.ts";
import { JobBlocked, UserError } from "../errors.ts";
import { isOutage } from "../gemini/port.ts";
import { deleteInput } from "../jobs-folder/input-file.ts";
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { pollJob } from "./poll-job.ts";
import { PollSchedule } from "./schedule.ts";
import { StuckNotices } from "./stuck.ts";
import { needs } from "../manifest/states.ts";

export type PollOptions = Readonly<{
  /** Undefined: adaptive. */
  intervalMs: number | undefined;
  /** Look once and leave. */
  once: boolean;
  /** Give up waiting after so long; the batches go on. */
  timeoutMs: number | undefined;
  /** The age at which a batch is reported as stuck. */
  stuckAfterMs: number;
}>;

export type PollSummary = Readonly<{ ended: readonly string[]; pending: readonly string[] }>;

export async function pollAll(services: StageServices, options: PollOptions): Promise<PollSummary> {
  const { manifest, clock, signal } = services;
  const schedule = new PollSchedule(clock, options.intervalMs);
  const stuck = new StuckNotices(options.stuckAfterMs);
  const endsAtMs = clock.elapsedMs() + (options.timeoutMs ?? Infinity);
  const ended: string[] = [];
  for (;;) {
    ended.push(...(await pollDue(services, schedule, stuck)));
    const pending = submittedJobs(manifest);
    const leftMs = endsAtMs - clock.elapsedMs();
    const isOver = options.once || leftMs <= 0 || signal.aborted;
    const isDone = schedule.waitedFor(pending).length === 0;
    if (isDone || isOver) return { ended, pending: pending.map((job) => job.id) };
    const waitMs = schedule.untilDueMs(pending);
    reportNextLook(services, schedule);
    // what is not due before the end is looked at then, for the last time
    if (waitMs > leftMs) for (const { id } of pending) schedule.forget(id);
    await sleepUnlessAborted(services, Math.min(waitMs, leftMs));
  }
}

/** One look at every submitted job that is due; ids of those that have ended. */
export async function pollDue(
  services: StageServices,
  schedule: PollSchedule,
  stuck: StuckNotices,
): Promise<string[]> {
  const ended: string[] = [];
  let failure: UserError | undefined;
  for (const job of schedule.takeDue(submittedJobs(services.manifest))) {
    if (services.signal.aborted) break;
    try {
      const after = await pollJob(services, job);
      schedule.noteAnswer();
      stuck.look(services, after);
      if (needs(after) === "look") continue;
      schedule.forget(job.id);
      ended.push(job.id);
      await deleteInput(services, after);
    } catch (error) {
      // where Gemini has answered before, it will again: the others are not even asked now
      if (isOutage(error) && schedule.hasAnswered) {
        warnOfOutage(services, error);
        break;
      }
      if (error instanceof JobBlocked) {
        schedule.block(error);
        services.report({ type: "warning", message: error.message, hint: error.hint });
        continue;
      }
      // what is wrong with one job is said once all the others have been looked at
      if (!(error instanceof UserError)) throw error;
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  return ended;
}

/** Says how many are waited for, and when they are looked at next. */
export function reportNextLook(
  { manifest, report }: Pick<StageServices, "manifest" | "report">,
  schedule: PollSchedule,
): void {
  const jobs = schedule.waitedFor(submittedJobs(manifest));
  if (jobs.length === 0) return;
  const nextLookSeconds = Math.ceil(schedule.untilDueMs(jobs) / MS_PER_SECOND);
  report({ type: "looked", pending: jobs.length, nextLookSeconds });
}

function warnOfOutage({ report }: StageServices, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  report({ type: "warning", message, hint: "It is looked at again later; the batches go on." });
}

export function submittedJobs(manifest: Manifest): readonly Job[] {
  return manifest.needing("look");
}

async function sleepUnlessAborted({ clock, signal }: StageServices, ms: number): Promise<void> {
  try {
    await clock.sleep(ms, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
