/** Embed: the sync lane. Jobs become results at once, at full price, one after the other. */
import { type Books, type CostLimit, withinLimit } from "../cost/cost.ts";
import type { Job } from "../manifest/job.ts";
import { isForSync, type LaneChoice } from "../cost/lane.ts";
import { embedJob, type EmbedServices } from "./embed-job.ts";

export type EmbedOptions = Readonly<{
  /** Undefined: only what was begun. */
  lane?: LaneChoice | undefined;
  /** Undefined: none. */
  costLimit?: CostLimit | undefined;
}>;

export type EmbedSummary = Readonly<{
  embedded: readonly string[];
  /** Interrupted, or held back by the limit on cost; those that were begun go on where they stopped. */
  left: readonly string[];
}>;

export async function embedAll(
  services: EmbedServices,
  options: EmbedOptions,
): Promise<EmbedSummary> {
  const { manifest, signal } = services;
  const embedded: string[] = [];
  while (!signal.aborted) {
    const job = nextToEmbed(manifest, options);
    if (job === undefined) break;
    if ((await embedJob(services, job)) !== undefined) embedded.push(job.id);
    else if (isForSync(manifest.job(job.id), options.lane)) break;
  }
  const left = manifest.jobs().filter((each) => isForSync(each, options.lane));
  return { embedded, left: left.map((job) => job.id) };
}

/** What was begun first: it counts as paid for already. Then the oldest that the limit lets through. */
export function nextToEmbed(
  books: Books,
  { lane, costLimit }: EmbedOptions,
  mayBegin?: (job: Job) => boolean,
): Job | undefined {
  const [begun] = books.needing("embed");
  if (begun !== undefined || lane === undefined || lane.lane === "batch") return begun;
  return withinLimit(books, costLimit, mayBegin).find((job) => isForSync(job, lane));
}
