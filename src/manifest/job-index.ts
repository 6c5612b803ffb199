/**
 * The jobs in the order of their ids, and the open ones by what they need: kept as jobs change, since
 * whoever works on thirty thousand of them asks after every event what there is to do.
 */
import { type Kin, sameColumn, sameTarget, type Target } from "../row/target.ts";
import {
  addBills,
  addSent,
  type Bill,
  billedBy,
  NO_BILL,
  NOTHING_SENT,
  type Sent,
  sentBy,
} from "./bill.ts";
import type { Job } from "./job.ts";
import { type Need, needs } from "./states.ts";

export class JobIndex {
  readonly #all: SortedJobs;
  readonly #needing = new Map<Need, SortedJobs>();
  /** By target, of the jobs whose results told what was counted. */
  readonly #bills = new Map<Target, Bill>();
  readonly #sent = new Map<Target, Sent>();
  /** By target, how many jobs have no parents. */
  readonly #selections = new Map<Target, number>();

  constructor(jobs: Iterable<Job>) {
    this.#all = new SortedJobs([...jobs].toSorted(byId));
    for (const [need, own] of Map.groupBy(this.#all.seen(), needs)) {
      if (need !== undefined) this.#needing.set(need, new SortedJobs(own));
    }
    for (const job of this.#all.seen()) {
      this.#addBill(job);
      this.#addSent(job, 1);
      this.#addSelection(job);
    }
  }

  /** `before`: the same job as it was; undefined for a new one. */
  change(before: Job | undefined, after: Job): void {
    this.#all.put(after);
    const [was, is] = [before && needs(before), needs(after)];
    if (was !== undefined && was !== is) this.#of(was).remove(after);
    if (is !== undefined) this.#of(is).put(after);
    // a bill stays what it is, whatever becomes of the job
    if (before?.billedTokens === undefined) this.#addBill(after);
    if (before === undefined) this.#addSelection(after);
    else this.#addSent(before, -1);
    this.#addSent(after, 1);
  }

  /** What is returned stays as it is when jobs change later. */
  all(): readonly Job[] {
    return this.#all.seen();
  }

  /** Those that need one of these, in the order of their ids; of one need as they are, until the next event. */
  needing(...wanted: readonly Need[]): readonly Job[] {
    const lists = wanted
      .map((need) => this.#of(need).asTheyAre())
      .filter(({ length }) => length > 0);
    return lists.length > 1 ? lists.flat().toSorted(byId) : (lists[0] ?? []);
  }

  /** What the target's jobs were estimated at and billed, as `billedBy` has it of one. */
  billed(target: Target): Bill {
    const own = [...this.#bills].filter(([other]) => sameTarget(other, target));
    return own.map(([, bill]) => bill).reduce(addBills, NO_BILL);
  }

  /** What of the jobs of each target was or may have been paid for; one target may stand here more than once. */
  sent(): MapIterator<[Target, Sent]> {
    return this.#sent.entries();
  }

  selections(target: Target, kin?: Kin): number {
    const isOwn = (other: Target) => sameColumn(other, target) || kin?.has(other) === true;
    return this.#selections.entries().reduce((sum, [of, jobs]) => sum + (isOwn(of) ? jobs : 0), 0);
  }

  #addSelection({ target, parents }: Job): void {
    if (parents.length > 0) return;
    this.#selections.set(target, (this.#selections.get(target) ?? 0) + 1);
  }

  #addSent(job: Job, times: 1 | -1): void {
    const before = this.#sent.get(job.target) ?? NOTHING_SENT;
    this.#sent.set(job.target, addSent(before, sentBy(job), times));
  }

  #addBill(job: Job): void {
    const bill = billedBy(job);
    if (bill === undefined) return;
    this.#bills.set(job.target, addBills(this.#bills.get(job.target) ?? NO_BILL, bill));
  }

  #of(need: Need): SortedJobs {
    const own = this.#needing.get(need) ?? new SortedJobs([]);
    this.#needing.set(need, own);
    return own;
  }
}

/** Its order is kept by place: nothing is sorted again. */
class SortedJobs {
  readonly #jobs: Job[];
  /** Handed out, and as the list is; undefined once it has changed. */
  #seen: readonly Job[] | undefined;

  constructor(jobs: readonly Job[]) {
    this.#jobs = [...jobs];
  }

  seen(): readonly Job[] {
    this.#seen ??= [...this.#jobs];
    return this.#seen;
  }

  /** Not copied: with each event it is another. */
  asTheyAre(): readonly Job[] {
    return this.#jobs;
  }

  put(job: Job): void {
    const place = this.#placeOf(job);
    this.#jobs.splice(place, this.#jobs[place]?.id === job.id ? 1 : 0, job);
    this.#seen = undefined;
  }

  remove(job: Job): void {
    const place = this.#placeOf(job);
    if (this.#jobs[place]?.id !== job.id) return;
    this.#jobs.splice(place, 1);
    this.#seen = undefined;
  }

  /** Of the job, or where it belongs. */
  #placeOf(job: Job): number {
    let [low, high] = [0, this.#jobs.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#jobs[middle];
      if (other !== undefined && byId(other, job) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Two that were written at once may have been recorded in another order. */
function byId(a: Job, b: Job): number {
  return Number(a.id) - Number(b.id);
}
