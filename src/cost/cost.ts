/**
 * What jobs cost: by the service's own count of tokens where it gave one, else by the estimate that
 * was recorded with the job. Whether a batch without results is billed is not published, so all that
 * was sent counts; so does a create whose answer was lost, a second batch of the same job, and what was given up. A
 * limit on cost that counted less could be passed.
 */
import { type Prices, priceOf } from "./tariff.ts";
import { sameTarget, type Target } from "../row/target.ts";
import type { Job } from "../manifest/job.ts";
import { type LaneChoice, laneOf } from "./lane.ts";
import { isCancelled, needs } from "../manifest/states.ts";

export type Cost = Readonly<{
  tokens: number;
  usd: number;
  /** The part of `usd` that rests on the service's own count of tokens. */
  billedUsd: number;
}>;

export const NO_COST: Cost = { tokens: 0, usd: 0, billedUsd: 0 };

/** What a job costs or, where it was not sent yet, will cost. */
export function costOf(job: Job, prices: Prices, lane?: LaneChoice): Cost {
  const price = prices(job.target.model, laneOf(job, lane));
  const usd = priceOf(job.billedTokens ?? job.tokens, price);
  const duplicates = job.duplicateBatches.length;
  return {
    tokens: (job.billedTokens ?? job.tokens) + duplicates * job.tokens,
    usd: usd + priceOf(duplicates * job.tokens, price),
    billedUsd: job.billedTokens === undefined ? 0 : usd,
  };
}

/** What was spent on these jobs; those that were not sent have cost nothing. */
export function spentOn(jobs: readonly Job[], prices: Prices): Cost {
  return jobs
    .filter(mayHaveCost)
    .map((job) => costOf(job, prices))
    .reduce(addCosts, NO_COST);
}

export type CostLimit = Readonly<{
  maxUsd: number;
  prices: Prices;
  /** Which jobs that were not sent yet will be embedded at once; undefined: none. */
  lane?: LaneChoice | undefined;
}>;

/** Where the limit stopped: what it would have to be for all of these jobs to be sent. */
export type CostStop = Readonly<{ spentUsd: number; maxUsd: number; neededUsd: number }>;

/**
 * The exported jobs, in order, that the limit lets through one after the other: what the manifest's
 * jobs of the same target have cost counts, whichever command sent them. At the first that would pass
 * it the rest of its target is held back too: a job is not sent because it is small.
 */
export function withinLimit(jobs: readonly Job[], limit: CostLimit | undefined): readonly Job[] {
  const waiting = jobs.filter((job) => needs(job) === "send");
  if (limit === undefined || waiting.length === 0) return waiting;
  const ledger = new Ledger(jobs, limit);
  return waiting.filter((job) => ledger.takes(job));
}

/** Of the targets that the limit stops, the one that lacks most; undefined where it stops none. */
export function costStop(jobs: readonly Job[], limit: CostLimit | undefined): CostStop | undefined {
  if (limit === undefined) return undefined;
  const passing = new Set(withinLimit(jobs, limit));
  const held = jobs.filter((job) => needs(job) === "send" && !passing.has(job));
  const targets = [...new Set(held.map((job) => job.target))];
  const stops = targets.map((target): CostStop => {
    const own = jobs.filter((job) => sameTarget(job.target, target));
    const waiting = own.filter((job) => needs(job) === "send");
    const spentUsd = spentOn(own, limit.prices).usd;
    const neededUsd = waiting.reduce(
      (sum, job) => sum + costOf(job, limit.prices, limit.lane).usd,
      spentUsd,
    );
    return { spentUsd, maxUsd: limit.maxUsd, neededUsd };
  });
  return stops.toSorted((a, b) => b.neededUsd - a.neededUsd)[0];
}

/** What each target has cost, and what it will have when the jobs that were let through are sent. */
class Ledger {
  readonly #limit: CostLimit;
  readonly #usd = new Map<Target, number>();
  readonly #held = new Set<Target>();

  constructor(jobs: readonly Job[], limit: CostLimit) {
    this.#limit = limit;
    for (const job of jobs.filter(mayHaveCost)) this.#add(job);
  }

  takes(job: Job): boolean {
    const target = this.#own(job.target);
    const usd =
      (this.#usd.get(target) ?? 0) + costOf(job, this.#limit.prices, this.#limit.lane).usd;
    if (this.#held.has(target) || usd > this.#limit.maxUsd) {
      this.#held.add(target);
      return false;
    }
    this.#usd.set(target, usd);
    return true;
  }

  #add(job: Job): void {
    const target = this.#own(job.target);
    const usd = costOf(job, this.#limit.prices, this.#limit.lane).usd;
    this.#usd.set(target, (this.#usd.get(target) ?? 0) + usd);
  }

  /** The target under which its like was first met. */
  #own(target: Target): Target {
    if (this.#usd.has(target)) return target;
    return [...this.#usd.keys()].find((known) => sameTarget(known, target)) ?? target;
  }
}

export function spentForTarget(jobs: readonly Job[], target: Target, prices: Prices): Cost {
  return spentOn(
    jobs.filter((job) => sameTarget(job.target, target)),
    prices,
  );
}

/** True when a request that is paid for may have left for the job, and was not answered by a no. */
function mayHaveCost(job: Job): boolean {
  const { batch, submissions, lane } = job;
  if (needs(job) === "send") return false;
  // given up: before anything was sent, or without knowing what became of it
  return !isCancelled(job) || batch !== undefined || submissions > 0 || lane === "sync";
}

export function addCosts(a: Cost, b: Cost): Cost {
  return {
    tokens: a.tokens + b.tokens,
    usd: a.usd + b.usd,
    billedUsd: a.billedUsd + b.billedUsd,
  };
}
