/** Sends failed rows again that may succeed, those of many jobs in few: they wait for more until they fill one or none can come. */
import { HoldLost } from "../errors.ts";
import type { DoubtedJobs } from "../gates/doubted-jobs.ts";
import { IDLE } from "../gates/step.ts";
import type { World } from "../gates/world.ts";
import { isStuck } from "../jobs-folder/batch-age.ts";
import { fillings, type JobBounds } from "../jobs-folder/cut.ts";
import { recordDeadBatch } from "../jobs-folder/dead-batch.ts";
import type { Job } from "../manifest/job.ts";
import { jobOfOtherSpace } from "../gates/vector-space.ts";
import { learnedBounds } from "../quota/learned-bounds.ts";
import { sameTarget } from "../row/target.ts";
import { count } from "../words/figures.ts";
import { type Pool, Pools } from "./pool.ts";
import { everyLine, resubmitJobs, type ResubmitServices, retryableLine } from "./resubmit.ts";

/** What a job needs that may still leave rows to be sent again. */
const UNDER_WAY = ["poll", "write", "fetch", "embed", "settle"] as const;

type AgainWorld = World &
  Readonly<{
    bounds: JobBounds;
    maxAttempts: number;
    stuckAfterMs: number;
    doubted: DoubtedJobs;
    /** Another folder's batches are no reason to wait, nor to leave what failed in them. */
    beside?: boolean;
  }>;

export function againLane(world: AgainWorld) {
  const pools = new Pools();
  const isDue = (pool: Pool) => isPoolDue(world, pool);
  const addEnded = (job: Job) => {
    const { maxAttempts, beside } = world;
    // the folder that has sent it may do so itself
    if (job.recovered && beside !== true) return;
    if (job.outstanding.retryable > 0 && job.attempt < maxAttempts) pools.add(job);
  };
  const sendDue = async () => {
    const due = pools.take(isDue);
    try {
      for (const pool of due) await sendPool(world, pool);
    } catch (error) {
      // others took lines of one of them: what is left of all goes again
      if (!(error instanceof HoldLost)) throw error;
      for (const id of due.flatMap(({ jobs }) => [...jobs.keys()]))
        addEnded(world.manifest.job(id));
    }
  };
  return {
    /** A job that has ended. */
    add: addEnded,
    isEmpty: () => pools.isEmpty,
    next: () => {
      const mayWork = world.duties.has("resubmit") && !world.outages.halted.aborted;
      return mayWork && pools.some(isDue) ? sendDue : IDLE;
    },
    sendDue,
  };
}

function isPoolDue(world: AgainWorld, { first: { target }, size }: Pool): boolean {
  const { manifest, bounds, blocked, doubted, clock, stuckAfterMs } = world;
  if (fillings(size, learnedBounds(bounds, manifest.quotas(target.model))) >= 1) return true;
  const isWaitedFor = (job: Job) =>
    !blocked.has(job) && !doubted.has(job) && !isStuck(job, clock.now(), stuckAfterMs);
  const mayFailRows = (job: Job) => sameTarget(job.target, target) && isWaitedFor(job);
  return !UNDER_WAY.some((need) => manifest.needing(need).some(mayFailRows));
}

async function sendPool(world: AgainWorld, { first: { target }, jobs }: Pool): Promise<void> {
  const { manifest, bounds, blocked } = world;
  // they wait: no run decides between two vector spaces
  if (jobOfOtherSpace(manifest.jobs(), target) !== undefined || blocked.refuses(target)) return;
  await resubmitJobs(world, [...jobs.values()], bounds, retryableLine);
}

/**
 * A job that Gemini does not take, however empty its queue is, is made again as smaller ones. Its rows were never
 * sent, so they have been tried no more often than before. Were this interrupted, they wait in its failed file, and
 * any run sends them again.
 */
export async function cutAgain(
  services: ResubmitServices,
  job: Job,
  bounds: JobBounds,
): Promise<readonly Job[]> {
  const unsent = { ...job, attempt: job.attempt - 1 };
  const message = "larger than what Gemini takes at once: cut again";
  const ended = await recordDeadBatch(services.manifest, unsent, "cancelled", { message });
  const made = await resubmitJobs(services, [ended], bounds, everyLine);
  services.report({
    type: "warning",
    message: `Job ${job.id} of ${count(job.tokens)} tokens was refused although nothing of this folder was queued: its rows go in ${count(made.length)} smaller jobs. Nothing of it was paid.`,
    hint: undefined,
  });
  return made;
}
