import type { ExportSummary } from "../export/export.ts";
import { type Cost, type CostStop, costStop, spentForTarget, spentOn } from "../cost/cost.ts";
import { type IndexSummary, NO_INDEXES } from "../import/index-keeper.ts";
import { finalSums } from "../cost/final-sums.ts";
import { copiesOf, type Job } from "../manifest/job.ts";
import type { Sums } from "../row/sums.ts";
import { runPipeline, type PipelineEnd, type RunOptions, type RunServices } from "./pipeline.ts";
import { isOpen, needs } from "../manifest/states.ts";

export type RunSummary = Sums &
  Readonly<{
    jobs: readonly string[];
    /** Rows of these jobs that were embedded with another row of the same text. */
    copies: number;
    /** Of these, those that were embedded at once. */
    atOnce: readonly string[];
    /** Rows still NULL in the table. */
    remaining: number;
    cost: Cost;
    /** Rows that no job took, by the last pass. */
    skipped: PipelineEnd["exports"][number]["skipped"] | undefined;
    tooLongFile: string | undefined;
    /** Jobs that have not ended yet. */
    pending: readonly string[];
    failedFiles: readonly string[];
    timedOut: boolean;
    /** It stopped although rows were left that it would have taken. */
    isCutShort: boolean;
    /** Undefined unless the limit on cost held jobs back. */
    costStop: CostStop | undefined;
    indexes: IndexSummary;
  }>;

/** The whole work: see pipeline.ts. The sums count a row that was sent again once, as it ended. */
export async function run(services: RunServices, options: RunOptions): Promise<RunSummary> {
  const { manifest } = services;
  await reportGoal(services, options);
  const spentBefore = spentForTarget(manifest.jobs(), options.export.target, options.prices);
  const work = () => runPipeline(services, options);
  const stopOf = () => costStop(manifest, options.costLimit);
  const isAllIn = (end: PipelineEnd) => hasNothingUnderWay(end, stopOf());
  const { jobs, exports, timedOut } = await (services.indexes?.around(work, isAllIn) ?? work());
  const { pending: remaining } = await services.store.count();
  const last = exports.at(-1);
  return {
    ...finalSums(jobs),
    jobs: jobs.map((job) => job.id),
    copies: copiesOf(jobs),
    atOnce: jobs.filter((job) => job.lane === "sync").map((job) => job.id),
    remaining,
    cost: spentOn(jobs, options.prices),
    skipped: last?.skipped,
    tooLongFile: exports.find((each) => each.tooLongFile !== undefined)?.tooLongFile,
    pending: jobs.filter(isOpen).map((job) => job.id),
    failedFiles: jobs
      .filter((job) => job.outstanding.lines > 0)
      .map((job) => services.manifest.files(job.id).failed),
    timedOut,
    indexes: services.indexes?.summary ?? NO_INDEXES,
    isCutShort: timedOut || hasStaleRowsLeft(jobs, last),
    costStop: withExpected(stopOf(), spentBefore.usd + (options.expectedUsd ?? 0)),
  };
}

/** What is on its way is NULL still; a limit is one on the rows beside it. */
async function reportGoal(
  { store, manifest, report }: RunServices,
  { export: { limit } }: RunOptions,
): Promise<void> {
  const { pending } = await store.count();
  const onTheWay = manifest.jobs().filter(isOpen);
  const open = onTheWay.reduce((rows, { requests }) => rows + requests, 0);
  report({ type: "goal", rows: Math.min(pending, open + (limit ?? Infinity)) });
}

/** Rows that were not exported any more need their part as well. */
function withExpected(stop: CostStop | undefined, expectedUsd: number): CostStop | undefined {
  return stop && { ...stop, neededUsd: Math.max(stop.neededUsd, expectedUsd) };
}

/** Jobs that the limit on cost holds back wait for a person; nothing comes of them by itself. */
function hasNothingUnderWay({ timedOut, jobs }: PipelineEnd, stop: CostStop | undefined): boolean {
  const isHeld = (job: Job) => stop !== undefined && needs(job) === "send";
  return !timedOut && !jobs.some((job) => isOpen(job) && !isHeld(job));
}

/** The last pass was not the one that finds nothing more, and rows changed while they were away. */
function hasStaleRowsLeft(jobs: readonly Job[], last: ExportSummary | undefined): boolean {
  const wasLastPassEmpty = last === undefined || last.exported === 0;
  return (
    !wasLastPassEmpty &&
    jobs.some((job) => last.jobs.includes(job.id) && (job.sums?.stale ?? 0) > 0)
  );
}
