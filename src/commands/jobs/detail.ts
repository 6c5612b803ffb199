import { MS_PER_SECOND } from "../../clock.ts";
import type { Prices } from "../../cost/tariff.ts";
import { heldUntil } from "../../jobs-folder/input-file.ts";
import { BATCH_LIFE_HOURS, batchAgeMs, isStuck } from "../../jobs-folder/batch-age.ts";
import { costOf } from "../../cost/cost.ts";
import { rolledBackRows } from "../../cost/final-sums.ts";
import type { JobFiles } from "../../manifest/file-names.ts";
import {
  type Cleanable,
  type FileRecord,
  type Job,
  type JobHistoryEntry,
  linesOf,
} from "../../manifest/job.ts";
import { bytes, count, counted, dollars, duration } from "../../words/figures.ts";
import { outcomes } from "../../output/progress-lines.ts";
import { aligned, type Fact } from "../../words/text-lines.ts";
import type { Stay } from "./timeline.ts";
import { projectName } from "../../row/project.ts";
import { columnName } from "../../row/target.ts";
import { needs } from "../../manifest/states.ts";

/** What is known of a batch that has not ended, and what tokens cost. */
export type Waiting = Readonly<{
  prices: Prices;
  now: Date;
  stuckAfterMs: number;
  /** The command that gives the job up. */
  cancel: string;
  /** Rows of the sync lane that were answered so far, while it is at work. */
  answered: number | undefined;
  /** Why rows failed. */
  failures: readonly string[];
  timeline: readonly Stay[];
}>;

/** Everything about one job, a fact a line, and its history, oldest first. */
export function jobDetail(
  job: Job,
  files: JobFiles,
  history: readonly JobHistoryEntry[],
  waiting: Waiting,
): string {
  const facts = [
    ...whatItIs(job, waiting.prices),
    ...whereItIs(job, waiting),
    ...whatBecame(job, waiting),
    ...filesOf(job, files),
  ];
  return [
    ...aligned(facts),
    "",
    "timeline (UTC)",
    ...timelineLines(waiting.timeline),
    "",
    "history (UTC)",
    ...historyLines(history),
  ].join("\n");
}

function whatItIs(job: Job, prices: Prices): Fact[] {
  const { target } = job;
  return [
    ["job", job.id],
    ["state", job.state],
    ["lane", job.lane === "sync" ? "sync: embedded at once, at full price" : undefined],
    ["rows", count(job.requests)],
    ["same text", sameText(job)],
    ["tokens", tokens(job)],
    ["cost", `about ${dollars(costOf(job, prices).usd)}`],
    ["target", `${columnName(target)}, key ${target.id}, text ${target.text}`],
    ["model", `${target.model}, ${target.dimensions} dimensions, ${target.taskType}`],
    ["attempt", String(job.attempt)],
    ["made from", listed(job.parents)],
    ["resubmitted as", listed(job.children)],
  ];
}

function sameText({ copies }: Job): string | undefined {
  return copies && `${counted(copies.rows, "row")} of them not sent: another one has the text`;
}

function whereItIs(job: Job, waiting: Waiting): Fact[] {
  return [
    ["project", projectName(job.project) || undefined],
    ["batch", job.batch],
    ["display name", job.displayName],
    ["submitted", job.submittedAt],
    ["embedded so far", answeredOf(job, waiting)],
    ["waiting for", needs(job) === "poll" ? waitingFor(job, waiting) : undefined],
    ["further batches", listed(job.duplicateBatches)],
    ["uploaded as", job.remoteFile?.name],
    ["held until", heldUntil(job)?.toISOString()],
  ];
}

function answeredOf(job: Job, { answered }: Waiting): string | undefined {
  return answered === undefined
    ? undefined
    : `${count(answered)} of ${counted(linesOf(job), "request")}`;
}

function waitingFor(job: Job, { now, stuckAfterMs, cancel }: Waiting): string {
  const age = duration(batchAgeMs(job, now) / MS_PER_SECOND);
  if (!isStuck(job, now, stuckAfterMs)) return age;
  return `${age}, stuck: Gemini ends it ${BATCH_LIFE_HOURS} hours after it was made; to give it up: ${cancel}`;
}

function whatBecame(job: Job, { failures }: Waiting): Fact[] {
  const { sums, outstanding, error } = job;
  const { lines, retryable } = outstanding;
  const hope =
    retryable === 0 ? "for good" : `of which ${count(retryable)} may succeed if sent again`;
  const code = error?.code === undefined ? "" : ` (code ${error.code})`;
  return [
    ["outcome", sums && `${outcomes(sums)}${rolledBackText(rolledBackRows([job]))}`],
    ["still failed", lines === 0 ? undefined : `${counted(lines, "row")}, ${hope}`],
    ...failures.map((line, at): Fact => [at === 0 ? "failures" : "", line]),
    ["error", error === undefined ? undefined : `${error.message}${code}`],
  ];
}

function rolledBackText(rows: number): string {
  return rows === 0 ? "" : `; ${counted(rows, "row")} rolled back since`;
}

function filesOf(job: Job, files: JobFiles): Fact[] {
  const { requestFile, copies, resultsFile, failedFile, rollback, cleaned } = job;
  const told = (path: string, file: FileRecord | undefined, name?: Cleanable) => {
    if (file === undefined) return undefined;
    const isGone = name !== undefined && cleaned.includes(name);
    return `${path}, ${bytes(file.bytes)}${isGone ? ", deleted by clean" : ""}`;
  };
  return [
    ["request file", told(files.requests, requestFile, "requests")],
    ["copies file", told(files.copies, copies?.file, "requests")],
    ["results file", told(files.results, resultsFile, "results")],
    ["failed file", told(files.failed, failedFile)],
    ["rollback file", told(files.rollback, rollback?.file, "rollback")],
  ];
}

function tokens({ billedTokens, tokens: estimated }: Job): string {
  return billedTokens === undefined ? `about ${count(estimated)}` : count(billedTokens);
}

function listed(names: readonly string[]): string | undefined {
  return names.length === 0 ? undefined : names.join(", ");
}

const SECOND_CHARS = "2026-11-22T10:00:00".length;

function second(time: string): string {
  return time.slice(0, SECOND_CHARS).replace("T", " ");
}

function timelineLines(timeline: readonly Stay[]): string[] {
  const width = Math.max(0, ...timeline.map(({ state }) => state.length));
  return timeline.map(({ state, since, seconds }, at) => {
    const isLast = at === timeline.length - 1;
    const length = seconds === undefined ? "" : `${duration(seconds)}${isLast ? " so far" : ""}`;
    return `  ${second(since)}  ${state.padEnd(width)}  ${length}`.trimEnd();
  });
}

function historyLines(history: readonly JobHistoryEntry[]): string[] {
  const width = Math.max(0, ...history.map(({ event }) => event.length));
  return history.map(({ at, event, note }) =>
    `  ${second(at)}  ${event.padEnd(width)}  ${note ?? ""}`.trimEnd(),
  );
}
