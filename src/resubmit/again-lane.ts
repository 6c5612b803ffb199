/** Sends failed rows again that may succeed, those of many jobs in few: they wait for more until they fill one or none can come. */
import type { DoubtedJobs } from "../gates/doubted-jobs.ts";
import { IDLE, type Lane, type Step } from "../gates/step.ts";
import type { World } from "../gates/world.ts";
import { isStuck } from "../jobs-folder/batch-age.ts";
import { fillings, type JobBounds } from "../jobs-folder/cut.ts";
import type { Job } from "../manifest/job.ts";
import { jobOfOtherSpace } from "../manifest/vector-space.ts";
import { learnedBounds } from "../quota/learned-bounds.ts";
import { sameTarget } from "../row/target.ts";
import { type Pool, Pools } from "./pool.ts";
import { resubmitJobs, retryableBelow } from "./resubmit.ts";

/** What a job needs that may still leave rows to be sent again. */
const UNDER_WAY = ["look", "write", "fetch", "embed", "settle"] as const;

type AgainWorld = World &
  Readonly<{
    bounds: JobBounds;
    maxAttempts: number;
    stuckAfterMs: number;
    doubted: DoubtedJobs;
    /** Another folder's batches are no reason to wait, nor to leave what failed in them. */
    beside?: boolean;
  }>;

export class AgainLane implements Lane {
  readonly #world: AgainWorld;
  readonly #pools = new Pools();

  constructor(world: AgainWorld) {
    this.#world = world;
  }

  get isEmpty(): boolean {
    return this.#pools.isEmpty;
  }

  /** A job that has ended. */
  readonly add = (job: Job): void => {
    const { maxAttempts, beside } = this.#world;
    // the folder that has sent it may do so itself
    if (job.recovered && beside !== true) return;
    if (job.outstanding.retryable > 0 && job.attempt < maxAttempts) this.#pools.add(job);
  };

  next(): Step {
    const hasWork = !this.#world.outages.halted.aborted && this.#pools.some(this.#isDue);
    return hasWork ? () => this.sendDue() : IDLE;
  }

  async sendDue(): Promise<void> {
    for (const pool of this.#pools.take(this.#isDue)) await this.#send(pool);
  }

  readonly #isDue = ({ first: { target }, size }: Pool): boolean => {
    const { manifest, bounds } = this.#world;
    if (fillings(size, learnedBounds(bounds, manifest.quota(target.model))) >= 1) return true;
    const mayFailRows = (job: Job) => sameTarget(job.target, target) && this.#isWaitedFor(job);
    return !UNDER_WAY.some((need) => manifest.needing(need).some(mayFailRows));
  };

  #isWaitedFor(job: Job): boolean {
    const { blocked, doubted, clock, stuckAfterMs } = this.#world;
    return !blocked.has(job) && !doubted.has(job) && !isStuck(job, clock.now(), stuckAfterMs);
  }

  async #send({ first: { target }, jobs }: Pool): Promise<void> {
    const { manifest, bounds, maxAttempts, blocked } = this.#world;
    // they wait: no run decides between two vector spaces
    if (jobOfOtherSpace(manifest.jobs(), target) !== undefined || blocked.refuses(target)) return;
    await resubmitJobs(this.#world, [...jobs.values()], bounds, retryableBelow(maxAttempts));
  }
}
