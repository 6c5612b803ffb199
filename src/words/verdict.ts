/** How it stands with a column, in a sentence, and what to do about it. */
import { MS_PER_SECOND } from "../clock.ts";
import type { Job } from "../manifest/job.ts";
import { isOpen, nextCommand } from "../manifest/states.ts";
import { count, counted, duration, pace, roughly } from "./figures.ts";

/** Rows that a run does not take, by why. */
export type LeftOut = Readonly<{ empty: number; tooLong: number; failedBefore: number }>;

type Standing = Readonly<{
  /**
   * Of the rows in all, those without a vector; else why the database was not asked. `leftOut`: of these, as many as
   * there are before the first that a run takes; undefined where nobody looked.
   */
  coverage: Readonly<{ total: number; pending: number; leftOut?: LeftOut | undefined }> | string;
  jobs: readonly Pick<Job, "state" | "requests" | "outstanding">[];
  /** Rows that failed and wait still; where nobody asked the table, those of every failed line. */
  failed?: number;
}>;

export type Verdict = Readonly<{
  tone: "good" | "bad" | "working";
  words: string;
  /** Undefined where a person has to mend something first. */
  next: "plan" | "run" | "verify" | "resubmit" | undefined;
}>;

export function verdictOn({ coverage, jobs, failed = failedRows(jobs) }: Standing): Verdict {
  const open = jobs.filter(isOpen);
  const step = open.length + failed > 0 ? nextStep(jobs) : undefined;
  if (open.length > 0) {
    const rows = open.reduce((sum, { requests }) => sum + requests, 0);
    const words = `Under way: ${counted(rows, "row")} in ${counted(open.length, "job")}.`;
    return { tone: "working", words, next: step };
  }
  if (typeof coverage === "string") return endedVerdict(jobs.length, failed, step);
  const { pending, leftOut = { empty: 0, tooLong: 0, failedBefore: failed } } = coverage;
  if (pending === 0)
    return { tone: "good", words: "Done: every row has a vector.", next: "verify" };
  if (isWhole({ pending, leftOut })) {
    const words = `Done but for ${counted(pending, "row")} ${whyText(leftOut)}.`;
    return { tone: leftOut.failedBefore > 0 ? "bad" : "good", words, next: step };
  }
  const ofThem = failed === 0 ? "" : `, of which ${count(failed)} failed`;
  const words = `Not finished: ${counted(pending, "row")} without a vector${ofThem}.`;
  return { tone: "working", words, next: step ?? (jobs.length === 0 ? "plan" : "run") };
}

/** Where nobody asked the table, which may have rows that no job has seen. */
function endedVerdict(jobs: number, failed: number, step: Verdict["next"]): Verdict {
  if (jobs === 0) return { tone: "working", words: "There are no jobs yet.", next: "plan" };
  if (failed === 0) return { tone: "good", words: "Every job has ended.", next: "verify" };
  const words = `Every job has ended; ${counted(failed, "row")} failed.`;
  return { tone: "bad", words, next: step };
}

/** The one command that takes these jobs all the way; undefined where there is nothing left to do with them. */
export function nextStep(
  jobs: readonly Pick<Job, "state" | "outstanding">[],
): "run" | "resubmit" | undefined {
  const command = nextCommand(jobs);
  return command === undefined || command === "resubmit" ? command : "run";
}

/** Whether no run takes any of them. */
export function isWhole({
  pending,
  leftOut,
}: Readonly<{ pending: number; leftOut?: LeftOut | undefined }>): boolean {
  if (leftOut === undefined) return false;
  return leftOut.empty + leftOut.tooLong + leftOut.failedBefore >= pending;
}

/** `that failed`, or each reason with its number. */
function whyText({ empty, tooLong, failedBefore }: LeftOut): string {
  const reasons: [number, string][] = [
    [failedBefore, "that failed"],
    [empty, "without text"],
    [tooLong, "too long for the model"],
  ];
  const there = reasons.filter(([rows]) => rows > 0);
  const [[, only] = [0, ""], ...more] = there;
  if (more.length === 0) return only;
  return `that no run takes: ${there.map(([rows, why]) => `${count(rows)} ${why}`).join(", ")}`;
}

/** Rows that wait in failed files. */
export function failedRows(jobs: Standing["jobs"]): number {
  return jobs.reduce((sum, { outstanding }) => sum + outstanding.lines, 0);
}

/** How long the work took, how fast it went on average, and, while it goes on, how much longer. */
export function paceWords({
  coverage,
  jobs,
  sums: { written },
  span: { fromMs, toMs },
}: Standing &
  Readonly<{
    sums: Readonly<{ written: number }>;
    span: Readonly<{ fromMs: number; toMs: number }>;
  }>): string {
  const seconds = (toMs - fromMs) / MS_PER_SECOND;
  const goesOn = jobs.some(isOpen);
  const took = goesOn
    ? `${duration(seconds)} since the first export`
    : `Took ${duration(seconds)}, from the first export to the last result`;
  if (written === 0 || seconds < 1) return took;
  const average = `${took}, on average ${pace(written / seconds)}`;
  if (!goesOn || typeof coverage === "string") return average;
  return `${average}; at that pace about ${roughly((coverage.pending * seconds) / written)} to go`;
}
