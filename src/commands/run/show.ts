import { INTERRUPTED_EARLY, copiesLines, skippedLines, sumsText } from "../../words/sums-text.ts";
import { usdOfRun } from "../../plan/lane-cost.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { targetOf } from "../../settings/config.ts";
import { type ExitReason, type UserError, usageError } from "../../errors.ts";
import type { Plan } from "../../plan/plan.ts";
import { tableName } from "../../row/target.ts";
import { readManifest } from "../../jobs-folder/open.ts";
import { droppedIndexesText } from "../../words/dropped-index-text.ts";
import {
  costLimit,
  laneChoice,
  planOnly,
  plansOf,
  runFromSettings,
  type StageContext,
} from "../../stages.ts";
import { count, counted, decimal, dollars } from "../../words/figures.ts";
import { costStopJson, costStopText } from "../../words/cost-text.ts";
import { writeCostWarnings } from "../../words/write-cost-text.ts";
import { balanced } from "../../row/sums.ts";
import { writeCost } from "../../row/write-cost.ts";
import type { PartSummary, RunSummary } from "../../run/run.ts";
import { forEachTarget, worstOf } from "../../cli/each-target.ts";
import { textOf } from "../../words/text-lines.ts";

export async function showRun(context: CommandContext): Promise<CommandResult> {
  if (context.settings.dryRun) return forEachTarget(context, showDryRun);
  return runResult(context, await runFromSettings(context, (each) => agreedPlans(context, each)));
}

function runResult({ next, signal, targets }: CommandContext, summary: RunSummary): CommandResult {
  const isShared = targets.length > 1;
  const { requests, written, failed, stale, filled, gone, jobs, remaining, cost, pending } =
    summary;
  const sums = { requests, written, failed, stale, filled, gone };
  if (!balanced(sums)) throw new Error(`the sums do not balance: ${JSON.stringify(sums)}`);
  const unfinished = pending.length > 0 || summary.isCutShort;
  const rebuilding = summary.indexes.missing.length > 0 ? ["--rebuild-index"] : [];
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
      ...(isShared ? { targets: summary.parts.map(partJson) } : {}),
    },
    text: runText(summary, signal.aborted, isShared),
    next: unfinished ? next("run", ...rebuilding) : failed > 0 ? next("resubmit") : undefined,
    exit: isShared ? worstOf(summary.parts.map(exitOfPart)) : exitOf(summary, unfinished),
  };
}

function partJson({ name, target, error, pending, ...sums }: PartSummary): object {
  const { requests, written, failed, stale, filled, gone, remaining } = sums;
  const said = { remaining: remaining ?? null, pending, error: error?.message ?? null };
  return {
    target: name ?? tableName(target),
    requests,
    written,
    failed,
    stale,
    filled,
    gone,
    ...said,
  };
}

function exitOfPart(part: PartSummary): ExitReason {
  if (part.error !== undefined) return part.error.exit === "unfinished" ? "unfinished" : "fatal";
  if (part.isHeld && part.pending.length > 0) return "costLimit";
  if (part.pending.length > 0 || part.isCutShort) return "unfinished";
  return part.failed > 0 ? "rowsFailed" : "done";
}

function partText({ name, target, error, written, failed, remaining = 0 }: PartSummary): string {
  if (error !== undefined) return `${name ?? tableName(target)}: ${error.message}`;
  const ill = failed > 0 ? `, ${count(failed)} failed` : "";
  return `${name ?? tableName(target)}: ${count(written)} written${ill}, ${count(remaining)} still without a vector.`;
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

/** The interactive API may tell no counts; the estimate then stands for the bill. */
function costBasis({ tokens, usd, billedUsd }: RunSummary["cost"]): string {
  const isCounted = billedUsd >= usd;
  return `${count(tokens)} tokens${isCounted ? "" : ", in part estimated: Gemini did not count them all"}`;
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

function runText(summary: RunSummary, isInterrupted: boolean, isShared: boolean): string {
  const { cost, remaining, pending, skipped, tooLongFile, timedOut, failedFiles } = summary;
  const { costStop, atOnce } = summary;
  return textOf([
    summary.jobs.length === 0 ? noJobsText(summary, isInterrupted) : sumsText(summary, failedFiles),
    // what was on its way when the last pass began has ended since
    ...(skipped === undefined
      ? []
      : skippedLines({ skipped: { ...skipped, inFlight: 0 }, tooLongFile })),
    atOnce.length > 0 &&
      `Embedded at once, at full price: ${counted(atOnce.length, "job")} (${atOnce.join(", ")}).`,
    pending.length > 0 &&
      `${counted(pending.length, "job")} not ended yet: ${pending.join(", ")}${timedOut ? " (--timeout is over; the batches go on)" : ""}.`,
    ...(isShared
      ? summary.parts.map(partText)
      : [`${counted(remaining, "row")} of the table still without a vector.`]),
    costStop === undefined ? "" : costStopText(costStop),
    cost.tokens > 0 ? `Cost: about ${dollars(cost.usd)} for ${costBasis(cost)}.` : "",
  ]);
}

function noJobsText({ timedOut }: RunSummary, isInterrupted: boolean): string {
  if (isInterrupted) return INTERRUPTED_EARLY;
  return timedOut ? "--timeout was over before there was a job." : "Nothing to do.";
}

/**
 * The plans that were agreed to; none where nobody needs one: everything is agreed beforehand and
 * nothing limits it. Throws a UserError where it is refused.
 */
async function agreedPlans(
  { services, settings, targets, confirm }: CommandContext,
  each: readonly StageContext[],
): Promise<readonly Plan[]> {
  const limit = costLimit(settings, targets);
  if (settings.yes && limit === undefined) return [];
  const gemini = await services.gemini();
  const manifest = await services.manifest();
  const plans = await plansOf(each, { manifest, gemini });
  const sum = (of: (plan: Plan) => number) => plans.reduce((all, plan) => all + of(plan), 0);
  const spentUsd = sum((plan) => plan.spentUsd);
  const left = Math.max(0, (limit?.maxUsd ?? Infinity) - spentUsd);
  const usd = Math.min(
    sum((plan) => usdOfRun(plan, laneChoice(settings))),
    left,
  );
  const before = spentUsd > 0 ? `, after ${dollars(spentUsd)} so far` : "";
  const upTo = usd < left ? `about ${dollars(usd)}` : `up to --max-cost, ${dollars(usd)}`;
  const [rows, jobs] = [sum(({ total }) => total.rows), sum(({ total }) => total.jobs)];
  const tables = plans.map(({ target }) => tableName(target)).join(", ");
  const question = `This run would spend ${upTo}${before}: ${counted(rows, "row")} of ${tables}, about ${count(sum(({ total }) => total.tokens))} tokens, in ${counted(jobs, "job")}. Go on?`;
  if (usd <= settings.consentAbove || (await confirm(question))) return plans;
  throw notAgreed();
}

function notAgreed(): UserError {
  return usageError(
    "Not agreed to: nothing was sent.",
    "`vecfill plan` tells what it would be; --limit takes fewer rows, --max-cost spends less.",
  );
}
