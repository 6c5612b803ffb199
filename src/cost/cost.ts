/**
 * What jobs cost: by the service's own count of tokens where it gave one, else by the estimate that
 * was recorded with the job. Whether a batch without results is billed is not published, so all that
 * was sent counts; so does a create whose answer was lost, a second batch of the same job, and what was given up. A
 * limit on cost that counted less could be passed.
 */
import { type Prices, priceOf } from "./tariff.ts";
import { type IsOwn, isOneOf, sameTarget, type Target } from "../row/target.ts";
import { mayHaveCost, type Sent } from "../manifest/bill.ts";
import type { Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { type LaneChoice, laneOf } from "./lane.ts";

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
  /** Infinite: none. */
  maxUsd: number;
  prices: Prices;
  /** Which jobs that were not sent yet will be embedded at once; undefined: none. */
  lane?: LaneChoice | undefined;
  /** What these have cost counts as one; any other target counts by itself. */
  together?: IsOwn;
  /** No more than what somebody has agreed to, either. */
  asAgreed?: boolean;
}>;

/** Where the limit stopped: what it would have to be for all of these jobs to be sent. */
export type CostStop = Readonly<{
  spentUsd: number;
  maxUsd: number;
  neededUsd: number;
  /** It is what somebody has agreed to. */
  isAgreed?: boolean;
}>;

/** Of a manifest: the jobs that wait to be sent, and what was sent before them. */
export type Books = Pick<ManifestView, "needing" | "sent"> & Partial<Pick<ManifestView, "limits">>;

/** Those who share a manifest have one limit on all of it, as it was set last; undefined: none. */
function limitNow(
  { limits }: Pick<Books, "limits">,
  given: CostLimit | undefined,
): CostLimit | undefined {
  const { maxCost = given?.maxUsd, targets, agreedCost } = limits?.() ?? {};
  const agreedUsd = given?.asAgreed === true ? (agreedCost ?? 0) : Infinity;
  const maxUsd = typeof maxCost === "number" ? maxCost : Infinity;
  if (given === undefined || Math.min(maxUsd, agreedUsd) === Infinity) return undefined;
  const its = {
    ...given,
    ...(targets && { together: isOneOf(targets) }),
    asAgreed: agreedUsd < maxUsd,
  };
  return { ...its, maxUsd: Math.min(maxUsd, agreedUsd) };
}

/**
 * The exported jobs, in order, that the limit lets through one after the other: what the manifest's
 * jobs of the same target have cost counts, whichever command sent them. At the first that would pass
 * it the rest of its target, or of those that it shares the limit with, is held back too, small jobs as
 * well. `isAsked`: others are as if they were not there.
 */
export function* withinLimit(
  books: Books,
  given: CostLimit | undefined,
  isAsked: (job: Job) => boolean = () => true,
): Generator<Job, void, undefined> {
  const limit = limitNow(books, given);
  const ledger = limit && new Ledger(books, limit);
  for (const job of books.needing("send")) {
    if (isAsked(job) && ledger?.takes(job) !== false) yield job;
  }
}

/** Of the targets that the limit stops, the one that lacks most; undefined where it stops none. */
export function costStop(books: Books, given: CostLimit | undefined): CostStop | undefined {
  const limit = limitNow(books, given);
  if (limit === undefined) return undefined;
  const waiting = books.needing("send");
  const passing = new Set(withinLimit(books, given));
  const held = waiting.filter((job) => !passing.has(job));
  const targets = [...new Set(held.map((job) => job.target))];
  const stops = targets.map((target): CostStop => {
    const shares = sharingWith(target, limit);
    const own = waiting.filter((job) => shares(job.target));
    const spentUsd = usdOf(books, target, limit);
    const neededUsd = own.reduce(
      (sum, job) => sum + costOf(job, limit.prices, limit.lane).usd,
      spentUsd,
    );
    return { spentUsd, maxUsd: limit.maxUsd, neededUsd, ...(limit.asAgreed && AGREED) };
  });
  return stops.toSorted((a, b) => b.neededUsd - a.neededUsd)[0];
}

const AGREED = { isAgreed: true };

/** Those that spend from the same limit, the target among them. */
function sharingWith(target: Target, { together }: CostLimit): IsOwn {
  return together?.(target) === true ? together : isOneOf([target]);
}

function usdOf(books: Books, target: Target, limit: CostLimit): number {
  const shares = sharingWith(target, limit);
  const usdOfOne = ([{ model }, { batch, sync }]: [Target, Sent]) =>
    priceOf(batch, limit.prices(model, "batch")) + priceOf(sync, limit.prices(model, "sync"));
  const own = books.sent().filter(([its]) => shares(its));
  return own.map(usdOfOne).reduce((sum, usd) => sum + usd, 0);
}

/** What each target will have cost when the jobs that were let through are sent. */
class Ledger {
  readonly #books: Books;
  readonly #limit: CostLimit;
  readonly #usd = new Map<Target, number>();
  readonly #held = new Set<Target>();

  constructor(books: Books, limit: CostLimit) {
    this.#books = books;
    this.#limit = limit;
  }

  takes(job: Job): boolean {
    const target = this.#own(job.target);
    if (this.#held.has(target)) return false;
    const before = this.#usd.get(target) ?? usdOf(this.#books, target, this.#limit);
    const usd = before + costOf(job, this.#limit.prices, this.#limit.lane).usd;
    if (usd > this.#limit.maxUsd) this.#held.add(target);
    this.#usd.set(target, usd > this.#limit.maxUsd ? before : usd);
    return usd <= this.#limit.maxUsd;
  }

  /** The target under which its like, or one that shares the limit, was first met. */
  #own(target: Target): Target {
    if (this.#usd.has(target)) return target;
    return this.#usd.keys().find(sharingWith(target, this.#limit)) ?? target;
  }
}

export function spentForTarget(jobs: readonly Job[], target: Target, prices: Prices): Cost {
  return spentOn(
    jobs.filter((job) => sameTarget(job.target, target)),
    prices,
  );
}

export function addCosts(a: Cost, b: Cost): Cost {
  return { tokens: a.tokens + b.tokens, usd: a.usd + b.usd, billedUsd: a.billedUsd + b.billedUsd };
}
