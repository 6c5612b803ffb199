/**
 * The canary: the first job of a target, or of tables that were asked for as one, is small and goes through to the
 * column before the rest is paid for. Where a setting, the model or the table is wrong in a way that shows only in
 * results, it costs a hundred rows. It is through when a job of the target is in the column with most of its rows;
 * what was sent again from it belongs to it. Jobs of other targets have nothing to do with it.
 */
import { UserError } from "../errors.ts";
import type { JobBounds } from "../jobs-folder/cut.ts";
import { readFailedLines } from "../jobs-folder/failed-file.ts";
import { finalSums } from "../cost/final-sums.ts";
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import type { Sums } from "../row/sums.ts";
import type { IsOwn, Siblings, Target } from "../row/target.ts";
import { isOpen, isImported, needs } from "../manifest/states.ts";

export const CANARY_ROWS = 100;
/** Fewer rows cost a few cents, and are not worth waiting twice for. */
const WORTH_ROWS = 5_000;

export function isCanaryWorth(jobs: readonly Job[], covers: IsOwn, rows: number): boolean {
  return rows > WORTH_ROWS && !isThrough(jobs.filter((job) => covers(job.target)));
}

/**
 * Whether the next job that is cut is the small one. `retried`: jobs whose failed rows are sent again
 * first: one of this target is small enough to show what there is to show.
 */
export function isCanaryToCome(
  jobs: readonly Job[],
  covers: IsOwn,
  { rows, retried }: Readonly<{ rows: number; retried: readonly Job[] }>,
): boolean {
  const open = jobs.filter(isOpen);
  const isOnItsWay = [...open, ...retried].some((job) => covers(job.target));
  return isCanaryWorth(jobs, covers, rows) && !isOnItsWay;
}

export function canaryBounds(bounds: JobBounds): JobBounds {
  return { ...bounds, maxRows: Math.min(bounds.maxRows, CANARY_ROWS) };
}

export class Canary {
  readonly #manifest: Manifest;
  readonly targets: readonly Target[];
  readonly has: IsOwn;
  readonly covers: IsOwn;
  readonly #endedBefore: ReadonlySet<string>;
  #isThrough = false;
  #hasCut = false;

  /**
   * What came of a table that `refuses` vectors says nothing of the others. `endedBefore`: jobs of earlier runs, which
   * are over: they neither sing nor stop this one. Among several who share the manifest there are none: what came of
   * the first is the same for whoever comes later.
   */
  constructor(
    { manifest, refuses }: Readonly<{ manifest: Manifest; refuses: IsOwn }>,
    { targets, has }: Pick<Siblings, "targets" | "has">,
    endedBefore: ReadonlySet<string>,
  ) {
    this.#manifest = manifest;
    this.targets = targets;
    this.has = has;
    this.covers = (target) => has(target) && !refuses(target);
    this.#endedBefore = endedBefore;
  }

  get isThrough(): boolean {
    return (this.#isThrough ||= isThrough(this.#ownJobs()));
  }

  /** The next job of the target is the small one, where there is none yet. */
  boundsOfNext(bounds: JobBounds): JobBounds {
    if (this.#hasCut || this.isThrough || this.#ownJobs().length > 0) return bounds;
    this.#hasCut = true;
    return canaryBounds(bounds);
  }

  /** True while the rest waits for what becomes of this one. */
  mayBe(job: Job): boolean {
    return !this.isThrough && this.covers(job.target);
  }

  /**
   * Which exported jobs may be sent as things are now: the canary, what became of it, and all once it
   * is through. To be asked anew after a change.
   */
  gate(): (job: Job) => boolean {
    if (this.isThrough) return () => true;
    const family = this.#family();
    const passing = new Set((family.length > 0 ? family : this.#ownJobs().slice(0, 1)).map(idOf));
    return (job) => passing.has(job.id) || !this.covers(job.target);
  }

  /** True where it came to nothing. To be asked while no job is in hand. */
  hasFallen(): boolean {
    const family = this.isThrough ? [] : this.#family();
    if (family.length === 0 || family.some(isOpen)) return false;
    // rows that changed, went or were filled meanwhile say nothing against it
    this.#isThrough = !mostFailed(finalSums(family));
    return !this.#isThrough;
  }

  /** Says so. */
  async fall(): Promise<UserError> {
    const family = this.#family();
    return canaryFailure(this.#manifest, family, finalSums(family));
  }

  /** What was sent, and what came of its failed rows. */
  #family(): Job[] {
    const family: Job[] = [];
    const ids = new Set<string>();
    for (const job of this.#ownJobs()) {
      const isUnsent = needs(job) === "send" && job.submissions === 0;
      if (isUnsent && !job.parents.some((parent) => ids.has(parent))) continue;
      ids.add(job.id);
      family.push(job);
    }
    return family;
  }

  #ownJobs(): Job[] {
    const jobs = this.#manifest.jobs().filter((job) => this.covers(job.target));
    return jobs.filter((job) => !this.#endedBefore.has(job.id));
  }
}

function idOf({ id }: Job): string {
  return id;
}

function isThrough(jobs: readonly Job[]): boolean {
  return jobs.some(
    (job) =>
      isImported(job) && job.sums !== undefined && job.sums.written > 0 && !mostFailed(job.sums),
  );
}

function mostFailed({ requests, failed }: Sums): boolean {
  return failed * 2 > requests;
}

async function canaryFailure(
  manifest: Manifest,
  family: readonly Job[],
  { requests, failed }: Sums,
): Promise<UserError> {
  const [first] = family;
  const last = family.findLast((job) => job.outstanding.lines > 0);
  const why =
    last === undefined ? "" : `: ${await firstFailure((await manifest.bring(last)).failed)}`;
  return new UserError(
    `Of the first ${requests} rows, sent alone as a trial (job ${first?.id}), ${failed} failed${why}. Nothing else was sent.`,
    {
      hint: `\`vecfill jobs ${last?.id ?? first?.id}\` says more. Mend the cause, then ${againText(manifest)}; --no-canary sends the rest all the same.`,
    },
  );
}

function againText({ isShared }: Manifest): string {
  return isShared
    ? "`vecfill resubmit` sends these once more, for all who share the manifest"
    : "run the same command again";
}

async function firstFailure(path: string): Promise<string> {
  for await (const { error } of readFailedLines(path))
    if (error !== undefined) return error.message;
  return "no reason is recorded";
}
