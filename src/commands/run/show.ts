import { INTERRUPTED_EARLY, copiesLines, skippedLines } from "../../words/sums-text.ts";
import { usdOfRun } from "../../plan/lane-cost.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { endingOf } from "../../cli/ending.ts";
import { targetOf } from "../../settings/config.ts";
import { type ExitReason, type UserError, usageError } from "../../errors.ts";
import type { Plan } from "../../plan/plan.ts";
import { tableName } from "../../row/target.ts";
import { readManifest } from "../../jobs-folder/open.ts";
import { droppedIndexesText } from "../../words/dropped-index-text.ts";
import {
  costLimit,
  laneChoice,
  planFromSettings,
  planOnly,
  runFromSettings,
} from "../../stages.ts";
import { count, counted, decimal, dollars } from "../../words/figures.ts";
import { costStopJson, costStopText } from "../../words/cost-text.ts";
import { writeCostWarnings } from "../../words/write-cost-text.ts";
import { balanced } from "../../row/sums.ts";
import { writeCost } from "../../row/write-cost.ts";
import type { RunSummary } from "../../run/run.ts";
import { ANN_DIMENSIONS_MAX, vectorType } from "../../row/width.ts";
import { textOf } from "../../words/text-lines.ts";

export async function showRun(context: CommandContext): Promise<CommandResult> {
  if (context.settings.dryRun) return showDryRun(context);
  const startedMs = context.clock.elapsedMs();
  const summary = await runFromSettings(context, () => agreedPlan(context));
  return runResult(context, summary, await endingOf(context, summary, startedMs));
}

type Ending = Awaited<ReturnType<typeof endingOf>>;

async function runResult(
  context: CommandContext,
  summary: RunSummary,
  ending: Ending,
): Promise<CommandResult> {
  const { next, signal } = context;
  const { requests, written, failed, stale, filled, gone, jobs, remaining, cost, pending } =
    summary;
  const sums = { requests, written, failed, stale, filled, gone };
  if (!balanced(sums)) throw new Error(`the sums do not balance: ${JSON.stringify(sums)}`);
  const unfinished = pending.length > 0 || summary.isCutShort;
  return {
    json: {
      ...sums,
      copies: summary.copies,
      jobs,
      embedded: summary.atOnce,
      remaining,
      cost: { tokens: cost.tokens, usd: decimal(cost.usd) },
      costStop: costStopJson(summary.costStop),
      indexes: summary.indexes,
      ...ending.json,
    },
    text: textOf([runText(summary, ending, signal.aborted), await indexText(context, summary)]),
    next: nextOf(next, summary, ending, unfinished),
    exit: exitOf(summary, unfinished),
    remaining,
  };
}

/** A limit leaves rows that the same command takes next; what failed for good waits for a person. */
function nextOf(
  next: CommandContext["next"],
  { indexes, remaining, failed, skipped, jobs }: RunSummary,
  { hasRetryable }: Ending,
  unfinished: boolean,
): string | undefined {
  const leftOut = skipped && skipped.empty + skipped.tooLong + skipped.failedBefore;
  const hasMore = jobs.length > 0 && remaining > failed + (leftOut ?? 0);
  if (unfinished || hasMore)
    return next("run", ...(indexes.missing.length > 0 ? ["--rebuild-index"] : []));
  if (hasRetryable) return next("resubmit");
  return remaining === 0 ? next("verify") : undefined;
}

/** A column that is full is there to be searched. */
async function indexText(
  { services, settings }: CommandContext,
  { written, remaining, indexes }: RunSummary,
): Promise<string> {
  if (written === 0 || remaining > 0 || indexes.missing.length > 0) return "";
  const target = targetOf(settings);
  const description = await (await services.store(target)).describe();
  const type = vectorType(description.embedding.typeName);
  if (type === undefined || target.dimensions > ANN_DIMENSIONS_MAX[type]) return "";
  if (writeCost(description, 0).indexes.length > 0) return "";
  return `There is no index for searches yet: create index on ${tableName(target)} using hnsw (${target.embedding} ${type}_cosine_ops);`;
}

/** What is at Gemini comes first: a limit that was reached is still reached afterwards. */
function exitOf({ costStop, timedOut, failed }: RunSummary, unfinished: boolean): ExitReason {
  if (costStop !== undefined && !timedOut) return "costLimit";
  if (unfinished) return "unfinished";
  return failed > 0 ? "rowsFailed" : "done";
}

async function showDryRun(context: CommandContext): Promise<CommandResult> {
  const planned = await planOnly(context);
  const { pending, total, skipped } = planned;
  const usd = usdOfRun(planned, laneChoice(context.settings));
  await warnOfIndexes(context, total.rows);
  return {
    json: {
      dryRun: true,
      exported: pending.rows,
      copies: total.copies,
      skipped,
      jobs: [],
      jobCount: total.jobs,
      tokens: total.tokens,
      usd: decimal(usd),
    },
    text: [
      `Would export ${counted(pending.rows, "row")} into ${counted(pending.jobs, "job")} and submit ${counted(total.jobs, "job")}: about ${count(total.tokens)} tokens for about ${dollars(usd)}.`,
      ...copiesLines(total.copies),
      ...skippedLines({ skipped, tooLongFile: undefined }),
    ].join("\n"),
    next: total.rows > 0 ? context.next("run") : undefined,
  };
}

async function warnOfIndexes(
  { services, settings, report }: CommandContext,
  rows: number,
): Promise<void> {
  const target = targetOf(settings);
  const manifest = await readManifest(settings.jobsDir);
  const cost = writeCost(await (await services.store(target)).describe(), rows);
  const costly = rows > 0 ? writeCostWarnings(target, cost, rows) : [];
  for (const warning of [...costly, ...droppedIndexesText(manifest.droppedIndexes())]) {
    report({ type: "warning", ...warning });
  }
}

function runText(summary: RunSummary, ending: Ending, isInterrupted: boolean): string {
  const { remaining, pending, skipped, tooLongFile, timedOut, costStop, atOnce } = summary;
  const isNothing = summary.jobs.length === 0;
  return textOf([
    ...(isNothing ? [noJobsText(summary, isInterrupted)] : ending.sums),
    // what was on its way when the last pass began has ended since
    ...(skipped === undefined
      ? []
      : skippedLines({ skipped: { ...skipped, inFlight: 0 }, tooLongFile })),
    atOnce.length > 0 &&
      `Embedded at once, at full price: ${counted(atOnce.length, "job")} (${atOnce.join(", ")}).`,
    pending.length > 0 &&
      `${counted(pending.length, "job")} not ended yet: ${pending.join(", ")}${timedOut ? " (--timeout is over; the batches go on)" : ""}.`,
    remainingText(remaining),
    costStop === undefined ? "" : costStopText(costStop),
    ...(isNothing ? [] : ending.figures),
  ]);
}

function remainingText(rows: number): string {
  if (rows === 0) return "Every row has a vector.";
  return rows === 1 ? "1 row has no vector yet." : `${count(rows)} rows have no vector yet.`;
}

function noJobsText({ timedOut }: RunSummary, isInterrupted: boolean): string {
  if (isInterrupted) return INTERRUPTED_EARLY;
  return timedOut ? "--timeout was over before there was a job." : "Nothing to do.";
}

/**
 * The plan that was agreed to; undefined where nobody needs one: everything is agreed beforehand and
 * nothing limits it. Throws a UserError where it is refused.
 */
async function agreedPlan(context: CommandContext): Promise<Plan | undefined> {
  const { services, settings, confirm } = context;
  const limit = costLimit(settings);
  if (settings.yes && limit === undefined) return undefined;
  const gemini = await services.gemini();
  const manifest = await services.manifest();
  const planned = await planFromSettings(context, { manifest, gemini });
  const left = Math.max(0, (limit?.maxUsd ?? Infinity) - planned.spentUsd);
  const usd = Math.min(usdOfRun(planned, laneChoice(settings)), left);
  const isUnlimited = usd < left;
  if (usd <= settings.consentAbove || (await confirm(question(planned, usd, isUnlimited)))) {
    return planned;
  }
  throw notAgreed();
}

function question({ total, target, spentUsd }: Plan, usd: number, isUnlimited: boolean): string {
  const before = spentUsd > 0 ? `, after ${dollars(spentUsd)} so far` : "";
  const upTo = isUnlimited ? `about ${dollars(usd)}` : `up to --max-cost, ${dollars(usd)}`;
  return `This run would spend ${upTo}${before}: ${counted(total.rows, "row")} of ${tableName(target)}, about ${count(total.tokens)} tokens, in ${counted(total.jobs, "job")}. Go on?`;
}

function notAgreed(): UserError {
  return usageError(
    "Not agreed to: nothing was sent.",
    "`vecfill plan` tells what it would be; --limit takes fewer rows, --max-cost spends less.",
  );
}
