/** Fetches the results of what has ended, and writes them into the column, job by job. */
import { MS_PER_SECOND } from "../clock.ts";
import { JobBlocked, ResultsDoubted } from "../errors.ts";
import type { DoubtedJobs } from "../gates/doubted-jobs.ts";
import type { Pause } from "../gates/outages.ts";
import { IDLE, type Lane } from "../gates/step.ts";
import type { World } from "../gates/world.ts";
import type { Job } from "../manifest/job.ts";
import { importResults, type ImportServices } from "./import.ts";

type ImportWorld = World &
  ImportServices &
  Readonly<{
    /** Those whose results are fetched again later; undefined: never. */
    doubted?: DoubtedJobs;
  }>;

export function importLane(world: ImportWorld, takes: (job: Job) => boolean = () => true): Lane {
  const { manifest, outages, blocked, doubted } = world;
  const pause: Pause = {};
  const isDue = (job: Job) =>
    takes(job) &&
    world.duties.imports(job) &&
    !blocked.has(job) &&
    !(doubted?.isResting(job) ?? false);
  return {
    next: (isQuiet) => {
      const restMs = outages.restMs(pause);
      if (restMs > 0) return restMs;
      // what is here already goes first
      const job = manifest.needing("write").find(isDue) ?? manifest.needing("fetch").find(isDue);
      if (job !== undefined) return () => importOne(world, job, pause);
      if (doubted === undefined) return IDLE;
      if (!doubted.isOver(isQuiet)) return doubted.untilNextMs();
      return async () => doubted.giveUp().forEach((error) => blocked.add(error));
    },
  };
}

async function importOne(world: ImportWorld, job: Job, pause: Pause): Promise<void> {
  const { doubted, blocked, outages, onEnded } = world;
  try {
    const done = await importResults(world, job);
    if (done !== undefined) onEnded(done);
    doubted?.delete(job.id);
  } catch (error) {
    if (error instanceof ResultsDoubted && doubted !== undefined) fetchLater(world, doubted, error);
    else if (error instanceof JobBlocked) {
      doubted?.delete(job.id);
      blocked.add(error);
    } else outages.restOrThrow(error, pause);
  }
}

function fetchLater({ report }: ImportWorld, doubted: DoubtedJobs, error: ResultsDoubted): void {
  const { message, hint, job } = error;
  const seconds = Math.round(doubted.add(error) / MS_PER_SECOND);
  report({ type: "warning", message, hint });
  report({ type: "waiting", why: `to fetch the results of job ${job} again`, seconds });
}
