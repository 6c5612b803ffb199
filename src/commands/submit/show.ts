import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { usageError } from "../../errors.ts";
import { pricesOf } from "../../cost/tariff.ts";
import { addCosts, type Books, costOf, NO_COST, withinLimit } from "../../cost/cost.ts";
import type { Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { begunAtOnce, isForSync, type LaneChoice, laneOf, laneToGoOn } from "../../cost/lane.ts";
import { costLimitOfSubmit, laneChoice, submitFromSettings } from "../../composition/stages.ts";
import type { Settings } from "../../settings/options.ts";
import { costStopJson, costStopText, enoughFlag } from "../../words/cost-text.ts";
import { count, counted, dollars } from "../../words/figures.ts";
import type { SubmitSummary } from "../../run/alone.ts";
import { isToSend, needs } from "../../manifest/states.ts";
import { textOf } from "../../words/text-lines.ts";

export async function showSubmit(context: CommandContext): Promise<CommandResult> {
  if (context.settings.dryRun) return showDryRun(context);
  await agree(context);
  const summary = await submitFromSettings(context);
  const manifest = await context.services.manifest();
  return submitResult(context, summary, manifest.jobs());
}

function submitResult(
  { settings, next }: CommandContext,
  summary: SubmitSummary,
  jobs: readonly Job[],
): CommandResult {
  const { submitted, adopted, embedded, left } = summary;
  const begun = begunAtOnce(jobs).filter((id) => !left.includes(id));
  const waiting = [...summary.waiting, ...left, ...begun];
  const polls = jobs.some((job) => needs(job) === "poll");
  const isOpen = waiting.length > 0;
  const isForOthers = waiting.length > begun.length;
  const lane = isForOthers ? laneFlag(settings) : laneToGoOn(jobs);
  const again = next("submit", ...lane, ...enoughFlag(summary.costStop));
  const first = jobs.length === 0 ? next("export") : undefined;
  return {
    json: { submitted, adopted, waiting, embedded, costStop: costStopJson(summary.costStop) },
    text: submitText(summary, begun, next),
    next: embedded.length > 0 ? next("import") : polls ? next("poll") : isOpen ? again : first,
    exit: summary.costStop !== undefined ? "costLimit" : isOpen ? "unfinished" : "done",
  };
}

/** A limit on what this one command spends. Throws a UserError where it is refused. */
async function agree({ services, settings, confirm }: CommandContext): Promise<void> {
  // a missing key is told before anybody is asked
  await services.gemini();
  const manifest = await services.manifest();
  const jobs = [...withinLimit(ownBooks(manifest), costLimitOfSubmit(settings, manifest))];
  const prices = pricesOf(settings);
  const lane = laneChoice(settings);
  const cost = jobs.map((job) => costOf(job, prices, lane)).reduce(addCosts, NO_COST);
  if (settings.yes || cost.usd <= settings.consentAbove) return;
  const rows = jobs.reduce((sum, job) => sum + job.requests, 0);
  const what = `${counted(jobs.length, "job")} with ${counted(rows, "row")}, about ${count(cost.tokens)} tokens`;
  if (await confirm(`This would spend about ${dollars(cost.usd)}: ${what}. Go on?`)) return;
  throw usageError(
    "Not agreed to: nothing was sent.",
    "`vecfill jobs` tells what each job would cost; --max-cost spends less.",
  );
}

/** What is given here does not hold for those who share the manifest before it is agreed to. */
function ownBooks(manifest: ManifestView): Books {
  return { ...manifest, limits: () => undefined };
}

async function showDryRun({ services, settings, next }: CommandContext): Promise<CommandResult> {
  const choice = laneChoice(settings);
  const isOpen = (job: Job) => isToSend(job) || isForSync(job, choice);
  const jobs = (await services.view()).jobs().filter(isOpen);
  const { batch = [], sync = [] } = Object.groupBy(jobs, (job) => laneOf(job, choice));
  const ids = jobs.map((job) => job.id);
  const isLeft = choice.lane === "batch" && batch.length === 0;
  return {
    json: { submitted: [], adopted: [], waiting: ids, embedded: [], dryRun: true },
    text: textOf([
      (sync.length === 0 || batch.length > 0) &&
        `Would submit ${listedJobs(batch)}, as far as the quota allows.`,
      sync.length > 0 && atOnceText(sync, choice),
    ]),
    next:
      jobs.length > 0
        ? next("submit", ...(isLeft ? laneToGoOn(jobs) : laneFlag(settings)))
        : undefined,
  };
}

/** Among the batches only what was begun is of the other lane, and waits for it. */
function atOnceText(jobs: readonly Job[], { lane }: LaneChoice): string {
  return lane === "batch"
    ? `Would leave as begun in the sync lane: ${jobs.map((job) => job.id).join(", ")}.`
    : `Would embed ${listedJobs(jobs)}, at once.`;
}

function listedJobs(jobs: readonly Job[]): string {
  const tokens = jobs.reduce((sum, job) => sum + job.tokens, 0);
  return `${counted(jobs.length, "job")} (${jobs.map((job) => job.id).join(", ")}), about ${count(tokens)} tokens`;
}

/** What a next command needs to take the same way. */
function laneFlag({ lane }: Pick<Settings, "lane">): string[] {
  return lane === "batch" ? [] : ["--lane", lane];
}

function submitText(
  { submitted, adopted, waiting, why, costStop, embedded, left }: SubmitSummary,
  begun: readonly string[],
  next: CommandContext["next"],
): string {
  const done = submitted.length + adopted.length + embedded.length;
  const lines = [
    done + waiting.length + left.length + begun.length === 0 ? "Nothing to submit." : "",
    submitted.length > 0 &&
      `Submitted ${counted(submitted.length, "job")}: ${submitted.join(", ")}.`,
    adopted.length > 0 ? `Found at Gemini and adopted: ${adopted.join(", ")}.` : "",
    waiting.length > 0 && `Waiting: ${waiting.join(", ")}${why === undefined ? "" : ` (${why})`}.`,
    embedded.length > 0 ? `Embedded at once: ${embedded.join(", ")}.` : "",
    left.length > 0 ? `Not embedded to the end: ${left.join(", ")}.` : "",
    begun.length > 0 &&
      `Left as begun in the sync lane: ${begun.join(", ")}; to go on: ${next("submit", "--lane", "sync")}`,
    costStop === undefined ? "" : costStopText(costStop),
  ];
  return textOf(lines);
}
