import type { Job } from "../manifest/job.ts";
import type { StageServices } from "../jobs-folder/stage-services.ts";
import { type BlockedJobs, blockedJobs } from "./blocked-jobs.ts";
import { ALL_DUTIES, type Duties } from "./duties.ts";
import { Outages } from "./outages.ts";

/** What the lanes of one drive share. */
export type World = StageServices &
  Readonly<{
    /** Ends them all. */
    stop: AbortController;
    outages: Outages;
    blocked: BlockedJobs;
    /** Which jobs may be begun now, by canary and blocked tables (`run.ts`). The limit on cost is asked apart from it. */
    gate: () => (job: Job) => boolean;
    /** Which of the lanes work here, where several processes share the work. */
    duties: Duties;
    /** Told of each job whose batch or import has ended. */
    onEnded: (job: Job) => void;
  }>;

/** Of a stage by itself, in which no outage is retried; of a run, `firstMs` is how long it waits at first. */
export function worldOf<S extends StageServices>(
  services: S,
  firstMs?: number,
  blocked = blockedJobs(services.manifest),
): S & World {
  const stop = new AbortController();
  const signal = AbortSignal.any([services.signal, stop.signal]);
  const outages = new Outages(services, firstMs);
  const open = { gate: () => () => true, duties: ALL_DUTIES, onEnded: () => {} };
  return { ...services, ...open, signal, stop, outages, blocked };
}
