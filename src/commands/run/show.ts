import { INTERRUPTED_EARLY, copiesLines, inHandText, skippedLines } from "../../words/sums-text.ts";
import { usdOfRun } from "../../plan/lane-cost.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { whatIsLeft } from "../../cli/coverage.ts";
import { endingOf } from "../../cli/ending.ts";
import { geminiElsewhere } from "../../cli/gemini-address.ts";
import { RUN_OPTIONS } from "../../cli/run-options.ts";
import type { Manifest } from "../../manifest/manifest.ts";
import { type Flags, flagValues, targetOf } from "../../settings/config.ts";
import { type ExitReason, type UserError, usageError } from "../../errors.ts";
import { NONE_SKIPPED, type Skipped } from "../../row/skipped.ts";
import { hasWork, type Plan } from "../../plan/plan.ts";
import { sameTarget, tableName } from "../../row/target.ts";
import { droppedIndexesText } from "../../words/dropped-index-text.ts";
import {
  agreeFromSettings,
  costLimit,
  laneChoice,
  planOnly,
  plansOf,
  runFromSettings,
  type StageContext,
} from "../../composition/stages.ts";
import { refuseAlone } from "../../composition/kept-manifest.ts";
import { isWhole } from "../../words/verdict.ts";
import type { CostStop } from "../../cost/cost.ts";
import { count, counted, decimal, dollars, someJobs } from "../../words/figures.ts";
import {
  costStopJson,
  costStopText,
  enoughFlag,
  withHeadroom,
  wouldStopText,
} from "../../words/cost-text.ts";
import { writeCostWarnings } from "../../words/write-cost-text.ts";
import { balanced } from "../../row/sums.ts";
import { writeCost } from "../../row/write-cost.ts";
import type { RunSummary } from "../../run/run.ts";
import { forEachTable, withLeaves, worstOf } from "../../cli/each-target.ts";
import { ANN_DIMENSIONS_MAX, vectorType } from "../../row/width.ts";
import { textOf } from "../../words/text-lines.ts";
import { exitOfPart, partJson, partText } from "./parts.ts";

export async function showRun(context: CommandContext, flags: Flags): Promise<CommandResult> {
  if (context.settings.dryRun) return showDryRun(context);
  refuseAlone(context.settings);
  const its = await withLeaves(context);
  if (flagValues(RUN_OPTIONS, flags).detach) return showDetached(its);
  const { clock, confirm } = its;
  let startedMs = clock.elapsedMs();
  // neither the start of a database nor the wait for an answer is work on rows
  const begun = <T>(value: T): T => {
    startedMs = clock.elapsedMs();
    return value;
  };
  const asking = { ...its, confirm: async (what: string) => begun(await confirm(what)) };
  const summary = await runFromSettings(its, (each) => agreedPlans(asking, begun(each)));
  return runResult(its, summary, await endingOf(its, summary, startedMs));
}

/** The work is its workers'. */
async function showDetached(context: CommandContext): Promise<CommandResult> {
  const { services, settings, next } = context;
  if (settings.manifestIn !== "postgres") throw notShared();
  await agreeFromSettings(context, (each) => agreedPlans(context, each, true));
  const { agreedCost = 0 } = (await services.manifest()).limits() ?? {};
  const workers = (await services.workers()).filter(({ isLate }) => !isLate).length;
  return {
    json: { detached: true, agreedUsd: decimal(agreedCost), workers },
    text: `Agreed: workers may spend ${dollars(agreedCost)} in all. ${counted(workers, "worker")} ${workers === 1 ? "is" : "are"} at work now.`,
    next: workers === 0 ? next("worker", "--drain") : next("jobs", "--workers"),
  };
}

function notShared(): UserError {
  return usageError(
    "--detach leaves the work to workers, and a manifest in a folder has none.",
    "Leave --detach out; or add --manifest postgres, or set VECFILL_MANIFEST=postgres.",
  );
}

type Ending = Awaited<ReturnType<typeof endingOf>>;

async function runResult(
  context: CommandContext,
  summary: RunSummary,
  ending: Ending,
): Promise<CommandResult> {
  const { next, signal, targets } = context;
  const isShared = targets.length > 1;
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
      restored: summary.restored,
      remaining: remaining ?? null,
      cost: { tokens: cost.tokens, usd: decimal(cost.usd) },
      costStop: costStopJson(summary.costStop),
      indexes: summary.indexes,
      ...ending.json,
      ...(isShared ? { targets: summary.parts.map(partJson) } : {}),
    },
    text: textOf([
      runText(summary, ending, signal.aborted),
      await othersText(context, summary),
      jobs.length > 0 && geminiElsewhere(context.environment),
      ...(isShared ? summary.parts.map(partText) : [await indexText(context, summary)]),
    ]),
    next: nextOf(next, summary, ending, unfinished || (await hasMore(context, summary))),
    exit: worstOf([exitOf(summary, unfinished), ...summary.parts.map(exitOfPart)]),
    remaining,
  };
}

/** A run takes all jobs of the folder to their end. */
async function othersText(
  { services, targets }: CommandContext,
  { jobs }: RunSummary,
): Promise<string> {
  const manifest = await services.manifest();
  const asked = targets.map(targetOf);
  const others = jobs
    .map((id) => manifest.job(id))
    .filter(({ target }) => !asked.some((each) => sameTarget(each, target)));
  if (others.length === 0) return "";
  const requests = others.reduce((sum, job) => sum + job.requests, 0);
  return `Of these, ${counted(requests, "request")} are of other targets' jobs: ${someJobs(others.map(({ id }) => id))}.`;
}

/** A limit leaves rows that the same command takes next; what failed for good waits for a person. */
function nextOf(
  next: CommandContext["next"],
  { indexes, remaining, failed, skipped, costStop, jobs }: RunSummary,
  { hasRetryable }: Ending,
  goesOn: boolean,
): string | undefined {
  const { failedBefore, paidBefore } = skipped ?? NONE_SKIPPED;
  const rebuild = indexes.missing.length > 0 ? ["--rebuild-index"] : [];
  if (goesOn) return next("run", ...rebuild, ...enoughFlag(costStop));
  if (hasRetryable) return next("resubmit");
  // the table refused them: there it is told why
  if (paidBefore > 0) return next("import", "--again");
  if (remaining === 0) return next("verify");
  // what failed in an earlier run waits for a person, who has to know of what; so do rows of which nothing was told
  const isUntold = jobs.length > 0 && (remaining ?? 0) > failed + leftOutRows(skipped);
  return isUntold || (failed === 0 && failedBefore > 0) ? next("status") : undefined;
}

/** Rows are left that a run would take. */
async function hasMore(context: CommandContext, summary: RunSummary): Promise<boolean> {
  const { jobs, remaining = 0, failed, skipped, parts } = summary;
  const { services, targets, signal } = context;
  if (jobs.length === 0 || remaining <= failed + leftOutRows(skipped)) return false;
  if (signal.aborted) return true;
  // a pass that a limit ended has not seen what lies behind
  const manifest = await services.manifest();
  for (const settings of targets) {
    const target = targetOf(settings);
    const pending = parts.find((part) => sameTarget(part.target, target))?.remaining ?? 0;
    const store = await services.store(target);
    const left = await whatIsLeft({ ...context, settings }, target, { store, manifest, pending });
    if (pending > 0 && !isWhole({ pending, leftOut: left })) return true;
  }
  return false;
}

function leftOutRows(skipped: Skipped = NONE_SKIPPED): number {
  return skipped.empty + skipped.tooLong + skipped.failedBefore + skipped.paidBefore;
}

/** A column that is full is there to be searched. */
async function indexText(
  { services, settings }: CommandContext,
  { written, remaining, indexes }: RunSummary,
): Promise<string> {
  if (written === 0 || remaining !== 0 || indexes.missing.length > 0) return "";
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
  const plans: Plan[] = [];
  const result = await forEachTable(context, (its) => dryRunOf(its, plans));
  const stop = await wouldStop(context, plans);
  const json = { ...result.json, costStop: costStopJson(stop) };
  if (stop === undefined) return { ...result, json };
  const text = `${result.text}\n${wouldStopText(stop)}`;
  return { ...result, json, text, next: context.next("run", ...enoughFlag(stop)) };
}

/** Where the limit on cost, which they share, lets less through than all of it. */
async function wouldStop(
  { services, settings }: CommandContext,
  plans: readonly Plan[],
): Promise<CostStop | undefined> {
  const isShared = settings.manifestIn === "postgres";
  const shared = isShared ? (await services.view()).limits() : undefined;
  const { maxUsd } = costLimit(settings, undefined, shared);
  const spentUsd = sumOver(plans, (plan) => plan.spentUsd);
  const usd = sumOver(plans, (plan) => usdOfRun(plan, laneChoice(settings)));
  const neededUsd = spentUsd + usd;
  return usd > 0 && neededUsd > maxUsd ? { spentUsd, maxUsd, neededUsd } : undefined;
}

function sumOver(plans: readonly Plan[], figure: (plan: Plan) => number): number {
  return plans.reduce((sum, plan) => sum + figure(plan), 0);
}

async function dryRunOf(context: CommandContext, plans: Plan[]): Promise<CommandResult> {
  const planned = await planOnly(context);
  plans.push(planned);
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
      wouldText(planned, usd),
      ...copiesLines(total.copies),
      ...skippedLines({ skipped, tooLongFile: undefined }),
    ].join("\n"),
    next: hasWork(planned) ? context.next("run") : undefined,
    selected: pending.rows,
  };
}

function wouldText(planned: Plan, usd: number): string {
  const { pending, total } = planned;
  if (total.rows === 0) return hasWork(planned) ? "Nothing new to send." : "Nothing to do.";
  return `Would export ${counted(pending.rows, "row")} into ${counted(pending.jobs, "job")} and submit ${counted(total.jobs, "job")}: about ${count(total.tokens)} tokens for about ${dollars(usd)}.`;
}

async function warnOfIndexes(
  { services, settings, report }: CommandContext,
  rows: number,
): Promise<void> {
  const target = targetOf(settings);
  const manifest = await services.view();
  const cost = writeCost(await (await services.store(target)).describe(), rows);
  const costly = rows > 0 ? writeCostWarnings(target, cost, rows) : [];
  for (const warning of [...costly, ...droppedIndexesText(manifest.droppedIndexes())]) {
    report({ type: "warning", ...warning });
  }
}

function runText(summary: RunSummary, ending: Ending, isInterrupted: boolean): string {
  const { remaining, pending, skipped, tooLongFile, timedOut, costStop, atOnce } = summary;
  const { restored } = summary;
  const isNothing = summary.jobs.length === 0;
  return textOf([
    ...(isNothing && restored === 0 ? [noJobsText(summary, isInterrupted)] : []),
    ...(isNothing ? [] : ending.sums),
    restored > 0 && restoredText(restored),
    // what was on its way when the last pass began has ended since
    ...(skipped === undefined
      ? []
      : skippedLines({ skipped: { ...skipped, inFlight: 0 }, tooLongFile })),
    atOnce.length > 0 &&
      `Embedded at once, at full price: ${counted(atOnce.length, "job")} (${atOnce.join(", ")}).`,
    pending.length > 0 &&
      `${counted(pending.length, "job")} not ended yet: ${pending.join(", ")}${timedOut ? " (--timeout is over; the batches go on)" : ""}.`,
    summary.inHand && inHandText(summary.inHand),
    remaining === undefined ? "" : remainingText(remaining),
    costStop === undefined ? "" : costStopText(costStop),
    ...(isNothing ? [] : ending.figures),
  ]);
}

function restoredText(rows: number): string {
  return `Written again, at no cost: ${counted(rows, "row")} that had lost ${rows === 1 ? "its vector" : "their vectors"}.`;
}

function remainingText(rows: number): string {
  if (rows === 0) return "Every row has a vector.";
  return `${counted(rows, "row")} ${rows === 1 ? "has" : "have"} no vector yet.`;
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
  { services, settings, confirm }: CommandContext,
  each: readonly StageContext[],
  detach = false,
): Promise<readonly Plan[]> {
  const manifest = await services.manifest();
  const limit = costLimit(settings, undefined, manifest.limits());
  if (settings.yes && limit.maxUsd === Infinity && !detach) return [];
  const gemini = await services.gemini();
  const plans = await plansOf(each, { manifest, gemini });
  const sum = (of: (plan: Plan) => number) => sumOver(plans, of);
  const spentUsd = sum((plan) => plan.spentUsd);
  const left = Math.max(0, limit.maxUsd - spentUsd);
  const usd = Math.min(
    sum((plan) => usdOfRun(plan, laneChoice(settings))),
    left,
  );
  const before = spentUsd > 0 ? `, after ${dollars(spentUsd)} so far` : "";
  const upTo = usd < left ? `about ${dollars(usd)}` : `up to --max-cost, ${dollars(usd)}`;
  const [rows, jobs] = [sum(({ total }) => total.rows), sum(({ total }) => total.jobs)];
  const names = each.map(({ settings: its }) => its.siblings?.name ?? tableName(its));
  const tables = [...new Set(names)].join(", ");
  const question = `This run would spend ${upTo}${before}: ${counted(rows, "row")} of ${tables}, about ${count(sum(({ total }) => total.tokens))} tokens, in ${counted(jobs, "job")}. Go on?`;
  if (usd > settings.consentAbove && !(await confirm(question))) throw notAgreed();
  await recordAgreed(manifest, spentUsd + usd);
  return plans;
}

/** For workers that ask nobody. What was agreed to before stays so. */
async function recordAgreed(manifest: Manifest, usd: number): Promise<void> {
  const { agreedCost = 0 } = manifest.limits() ?? {};
  const agreed = withHeadroom(usd);
  if (manifest.isShared && agreed > agreedCost) await manifest.recordLimits({ agreedCost: agreed });
}

function notAgreed(): UserError {
  return usageError(
    "Not agreed to: nothing was sent.",
    "`vecfill plan` tells what it would be; --limit takes fewer rows, --max-cost spends less.",
  );
}
