/** Tells what becomes of each job, as the journal has it, whichever stage records it. */
import type { Prices } from "./tariff.ts";
import type { JobReport, Report } from "../progress.ts";
import { NO_ROWS } from "../row/sums.ts";
import { spentOn } from "./cost.ts";
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { isOpen } from "../manifest/states.ts";

/**
 * The same manifest. Its warnings and its unfinished jobs are reported at once, and each job when it
 * has changed.
 */
export function reportedManifest(manifest: Manifest, report: Report, prices: Prices): Manifest {
  const told = (job: Job): Job => {
    report(jobReport(job, prices));
    return job;
  };
  for (const message of manifest.warnings) report({ type: "warning", message, hint: undefined });
  for (const job of manifest.jobs()) if (isOpen(job)) told(job);
  return {
    ...manifest,
    recordExported: async (job, isFree) => told(await manifest.recordExported(job, isFree)),
    recordRecovered: async (job) => told(await manifest.recordRecovered(job)),
    record: async (event, inHand) => told(await manifest.record(event, inHand)),
    recordIf: async (holds, event) => {
      const job = await manifest.recordIf(holds, event);
      return job && told(job);
    },
    recordResubmitted: async (children, parents) => {
      const made = await manifest.recordResubmitted(children, parents);
      for (const { job } of parents) told(manifest.job(job.id));
      return made.map(told);
    },
  };
}

function jobReport(job: Job, prices: Prices): JobReport {
  const { requests, ...outcomes } = { ...(job.sums ?? NO_ROWS), requests: job.requests };
  const { id, state, submittedAt, outstanding } = job;
  return {
    type: "job",
    job: id,
    state,
    requests,
    tokens: job.billedTokens ?? job.tokens,
    usd: spentOn([job], prices).usd,
    ...outcomes,
    passedOn: outcomes.failed - outstanding.lines,
    submittedAt,
  };
}
