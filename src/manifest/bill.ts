import type { Job, JobLane } from "./job.ts";
import { isCancelled, needs } from "./states.ts";

/** Tokens of jobs: as they were estimated without correction, and as results told them. */
export type Bill = Readonly<{ estimated: number; counted: number }>;

export const NO_BILL: Bill = { estimated: 0, counted: 0 };

/** Rows that failed are on neither side. Undefined where the results told nothing. */
export function billedBy({
  billedTokens,
  sums,
  requests,
  uncorrectedTokens,
  recovered,
}: Job): Bill | undefined {
  // nobody here has seen the texts of a batch that was recovered
  if (billedTokens === undefined || sums === undefined || recovered) return undefined;
  const estimated = uncorrectedTokens * (1 - sums.failed / requests);
  return { estimated, counted: billedTokens };
}

export function addBills(a: Bill, b: Bill): Bill {
  return { estimated: a.estimated + b.estimated, counted: a.counted + b.counted };
}

/** Tokens of jobs that were or may have been paid for, by the way they went. */
export type Sent = Readonly<Record<JobLane, number>>;

export const NOTHING_SENT: Sent = { batch: 0, sync: 0 };

/** By the service's count where it gave one, and once more for each batch too many. */
export function sentBy(job: Job): Sent {
  if (!mayHaveCost(job)) return NOTHING_SENT;
  const { lane, tokens, billedTokens, duplicateBatches } = job;
  return { ...NOTHING_SENT, [lane]: (billedTokens ?? tokens) + duplicateBatches.length * tokens };
}

/** `times`: -1 takes it away. */
export function addSent(a: Sent, b: Sent, times = 1): Sent {
  return { batch: a.batch + times * b.batch, sync: a.sync + times * b.sync };
}

/** True when a request that is paid for may have left for the job, and was not answered by a no. */
export function mayHaveCost(job: Job): boolean {
  const { batch, unanswered, lane } = job;
  if (needs(job) === "send") return false;
  // given up: before anything was sent, or without knowing what became of it
  return !isCancelled(job) || batch !== undefined || unanswered || lane === "sync";
}
