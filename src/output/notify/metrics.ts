/** What is measured: the jobs as the manifest has them, and how the last command ended. */
import { MS_PER_SECOND } from "../../clock.ts";
import type { Prices } from "../../cost/tariff.ts";
import { batchAgeMs } from "../../jobs-folder/batch-age.ts";
import { spentOn } from "../../cost/cost.ts";
import { finalSums } from "../../cost/final-sums.ts";
import type { Job } from "../../manifest/job.ts";
import { isRolledBack, JOB_STATES, needs } from "../../manifest/states.ts";
import { waitingSince } from "../../jobs-folder/waiting-since.ts";
import type { Status } from "../../jobs-folder/status-file.ts";
import { decimal } from "../../words/figures.ts";
import { queuesOf } from "../../words/queues.ts";
import type { Metric } from "./exposition.ts";

export type Measured = Readonly<{
  jobsDir: string;
  /** Undefined where the manifest cannot be read. */
  jobs: readonly Job[] | undefined;
  prices: Prices;
  now: Date;
  status: Status;
  /** Undefined while the command runs. */
  exitCode: number | undefined;
  seconds: number;
  /** As a run counted them. */
  withoutVector: number | undefined;
  /** As a run counted them at its start, where a trigger tells. */
  changedTexts: number | undefined;
}>;

type Sample = Metric["samples"][number];

/** Every sample carries the folder: files of several folders may be read together. */
export function metricsOf(measured: Measured): Metric[] {
  const { jobsDir, jobs, prices, now, status, exitCode, seconds } = measured;
  const one = (value: number | undefined, labels: Sample["labels"] = {}): Sample[] =>
    value === undefined ? [] : [{ labels: { jobs_dir: jobsDir, ...labels }, value }];
  const counter = (name: string, help: string, value: number | undefined): Metric => ({
    ...gauge(name, help, one(value)),
    type: "counter",
  });
  const spent = jobs && spentOn(jobs, prices);
  return [
    gauge(
      "jobs",
      "Jobs in the manifest, by state.",
      Object.entries(jobStates(jobs)).flatMap(([state, number]) => one(number, { state })),
    ),
    gauge(
      "rows",
      "Rows in the manifest's jobs, by outcome; open has none yet.",
      Object.entries(outcomes(jobs)).flatMap(([outcome, number]) => one(number, { outcome })),
    ),
    gauge(
      "queued_jobs",
      "Jobs in the queue of each project, where there are several.",
      queuesOf(jobs ?? []).flatMap(([project, number]) => one(number, { project })),
    ),
    counter("tokens_total", "Tokens sent, as counted by the service or estimated.", spent?.tokens),
    counter(
      "cost_usd_total",
      "Estimated cost of all that was sent, in US dollars.",
      spent && Number(decimal(spent.usd)),
    ),
    gauge(
      "oldest_batch_age_seconds",
      "Age of the oldest batch that has not ended; 0 where there is none.",
      one(jobs && oldestSeconds(jobs, now)),
    ),
    gauge(
      "oldest_waiting_row_age_seconds",
      "Since the first export of the oldest row that waits in a job or a failed file; 0 where none does.",
      one(jobs && waitingSeconds(jobs, now)),
    ),
    gauge(
      "rows_without_vector",
      "Rows whose embedding is NULL, as the last run counted them at its start and at its end.",
      one(measured.withoutVector),
    ),
    gauge(
      "rows_with_changed_text",
      "Rows whose vector is of another text, as the last run counted them at its start.",
      one(measured.changedTexts),
    ),
    gauge(
      "health",
      "1 for the state that the last command left, else 0.",
      HEALTHS.flatMap((state) => one(Number(status.health === state), { state })),
    ),
    gauge("last_run_exit_code", "Exit code of the last command.", one(exitCode)),
    gauge("last_run_duration_seconds", "How long it took, or takes so far.", one(seconds)),
    gauge("last_run_timestamp_seconds", "When this was written.", one(unix(now))),
    gauge(
      "last_success_timestamp_seconds",
      "When a command last ended with exit code 0.",
      status.lastSuccessAt === null ? [] : one(unix(new Date(status.lastSuccessAt))),
    ),
  ];
}

function gauge(name: string, help: string, samples: readonly Sample[]): Metric {
  return { name: `vecfill_${name}`, help, type: "gauge", samples };
}

const HEALTHS: readonly Status["health"][] = ["ok", "failed", "stalled", "budget"];

/** All states, so that a series does not vanish when its last job moves on. */
function jobStates(jobs: readonly Job[] | undefined): Record<string, number> {
  if (jobs === undefined) return {};
  const counts = new Map<string, number>(JOB_STATES.map((state) => [state, 0]));
  for (const { state } of jobs) counts.set(state, (counts.get(state) ?? 0) + 1);
  return Object.fromEntries(counts);
}

function outcomes(jobs: readonly Job[] | undefined): Record<string, number> {
  if (jobs === undefined) return {};
  const { written, failed, stale, filled, gone } = finalSums(
    jobs.filter((job) => !isRolledBack(job)),
  );
  const rolledBack = rows(jobs, (job) => (isRolledBack(job) ? (job.sums?.written ?? 0) : 0));
  const open = rows(jobs, (job) => (job.sums === undefined ? job.requests : 0));
  return { written, failed, stale, filled, gone, rolledBack, open };
}

function rows(jobs: readonly Job[], of: (job: Job) => number): number {
  return jobs.reduce((sum, job) => sum + of(job), 0);
}

function oldestSeconds(jobs: readonly Job[], now: Date): number {
  const ages = jobs.filter((job) => needs(job) === "poll").map((job) => batchAgeMs(job, now));
  return Math.round(Math.max(0, ...ages) / MS_PER_SECOND);
}

function waitingSeconds(jobs: readonly Job[], now: Date): number {
  const since = waitingSince(jobs)?.since;
  return since === undefined ? 0 : Math.max(0, unix(now) - unix(new Date(since)));
}

function unix(time: Date): number {
  return Math.round(time.getTime() / MS_PER_SECOND);
}
