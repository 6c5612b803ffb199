/** How it stands, in a sentence, and what to do: the first thing on the page. */
import type { Job } from "../../manifest/job.ts";
import { isOpen } from "../../manifest/states.ts";
import type { CommandName } from "../../settings/option.ts";
import { count, counted, duration } from "../../words/figures.ts";
import { MS_PER_SECOND } from "../../clock.ts";
import type { ReportData } from "./data.ts";

type Standing = Pick<ReportData, "coverage"> &
  Readonly<{
    jobs: readonly Readonly<{ job: Pick<Job, "state" | "requests" | "outstanding"> }>[];
  }>;

export type Verdict = Readonly<{
  tone: "good" | "bad" | "working";
  words: string;
  next: CommandName;
}>;

export function verdictOn({ coverage, jobs }: Standing): Verdict {
  const open = jobs.filter(({ job }) => isOpen(job));
  const failed = failedRows(jobs);
  if (open.length > 0) {
    const rows = open.reduce((sum, { job }) => sum + job.requests, 0);
    const words = `Under way: ${counted(rows, "row")} in ${counted(open.length, "job")}.`;
    return { tone: "working", words, next: "run" };
  }
  const pending = typeof coverage === "string" ? failed : coverage.pending;
  if (pending === 0) return { tone: "good", words: doneWords(coverage), next: "verify" };
  if (failed >= pending) {
    const words = `Done but for ${counted(pending, "row")} that failed.`;
    return { tone: "bad", words, next: "resubmit" };
  }
  const ofThem = failed === 0 ? "" : `, and ${count(failed)} failed`;
  const words = `Not finished: ${counted(pending, "row")} without a vector${ofThem}.`;
  return { tone: "working", words, next: "run" };
}

function doneWords(coverage: Standing["coverage"]): string {
  return typeof coverage === "string" ? "Every job has ended." : "Done: every row has a vector.";
}

/** Rows that wait in failed files. */
export function failedRows(jobs: Standing["jobs"]): number {
  return jobs.reduce((sum, { job }) => sum + job.outstanding.lines, 0);
}

/** How long the work took, how fast it went on average, and, while it goes on, how much longer. */
export function paceWords({
  coverage,
  jobs,
  sums: { written },
  span: { fromMs, toMs },
}: Standing & Pick<ReportData, "sums" | "span">): string {
  const seconds = (toMs - fromMs) / MS_PER_SECOND;
  const goesOn = jobs.some(({ job }) => isOpen(job));
  const took = goesOn
    ? `${duration(seconds)} since the first export`
    : `Took ${duration(seconds)}, from the first export to the last result`;
  if (written === 0 || seconds < 1) return took;
  const perSecond = written / seconds;
  const pace =
    perSecond >= 1
      ? `${counted(Math.round(perSecond), "row")} a second`
      : `${counted(Math.ceil(perSecond * SECONDS_PER_HOUR), "row")} an hour`;
  if (!goesOn || typeof coverage === "string") return `${took}, on average ${pace}`;
  const left = duration(coverage.pending / perSecond);
  return `${took}, on average ${pace}; at that pace about ${left} to go`;
}

const SECONDS_PER_HOUR = 3600;
