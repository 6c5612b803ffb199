import { atWork, readHistory } from "../../jobs-folder/open.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { firstStep } from "../../cli/coverage.ts";
import { pricesOf } from "../../cost/tariff.ts";
import { countAnswered } from "../../jobs-folder/checkpoint.ts";
import type { Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { queueWindow } from "../../composition/stages.ts";
import { eventNote } from "../../words/event-note.ts";
import { counted, someJobs } from "../../words/figures.ts";
import { heldText } from "../../words/held-text.ts";
import { droppedIndexesText } from "../../words/dropped-index-text.ts";
import { fullText } from "../../quota/full-text.ts";
import { nextTry, windowNow } from "../../quota/next-try.ts";
import type { LockHolder } from "../../disk/folder-lock.ts";
import { readFailures } from "../../words/failures.ts";
import { atWorkText } from "../../words/at-work-text.ts";
import { failureLines, failuresJson, mendLines } from "../../words/failures-text.ts";
import { noFolderText, placeText } from "../../words/no-folder-text.ts";
import { textOf } from "../../words/text-lines.ts";
import { nextStep } from "../../words/verdict.ts";
import { jobsCsv } from "./jobs-csv.ts";
import { jobsNdjson } from "./jobs-ndjson.ts";
import { jobDetail } from "./detail.ts";
import { listedJob, type ListedJob } from "./listed-job.ts";
import { jobsTable } from "./jobs-table.ts";
import { timelineOf } from "./timeline.ts";
import { isAskedFor, watchJobs } from "./jobs-watch.ts";
import { isDead, isOpen, needs } from "../../manifest/states.ts";

/** Lists all jobs, or shows the one with this id. Without `--reconcile` it changes nothing. */
export async function showJobs(
  context: CommandContext,
  [id]: readonly string[],
): Promise<CommandResult> {
  if (context.settings.workers) return showWorkers(context);
  if (context.settings.reconcile) await settle(context);
  if (context.settings.watch) await watchJobs(context, id);
  const manifest = await context.services.view();
  for (const message of manifest.warnings) {
    context.report({ type: "warning", message, hint: undefined });
  }
  for (const warning of droppedIndexesText(manifest.droppedIndexes())) {
    context.report({ type: "warning", ...warning });
  }
  return id === undefined ? listJobs(context, manifest) : showJob(context, manifest, id);
}

/** Whoever was heard of within its lease, or a little later. */
async function showWorkers({ services, settings }: CommandContext): Promise<CommandResult> {
  const workers = await services.workers();
  const none =
    settings.manifestIn === "postgres"
      ? "Nobody works on the shared manifest."
      : "Only a shared manifest (--manifest postgres) has workers.";
  const lines = workers.map(
    ({ host, pid, command, duties, since, seconds, isLate }) =>
      `${host} ${pid}  ${command}  since ${since}, seen ${seconds} s ago: ${isLate ? "gone, or held up: others go on" : duties.join(", ") || "waits"}`,
  );
  return { json: { workers }, text: lines.length === 0 ? none : lines.join("\n") };
}

/** Only what is shown is made: there may be tens of thousands of jobs. */
async function listJobs(context: CommandContext, manifest: ManifestView): Promise<CommandResult> {
  const { settings, next, width } = context;
  const busy = await busyWith(context);
  const all = manifest.jobs();
  const jobs = all.filter((job) => isAskedFor(job, settings.state));
  const prices = pricesOf(settings);
  const listed = () => jobs.map((job) => listedJob(job, prices));
  const text = async () => {
    if (isData) return dataText(settings.format, listed());
    if (all.length === 0)
      return (await noFolderText(settings)) || `There are no jobs in ${placeText(settings)} yet.`;
    return jobs.length === 0
      ? noneText(context, all)
      : [jobsTable(jobs, prices, width), ...heldJobs(all), ...fullQueue(context, manifest)].join(
          "\n",
        );
  };
  const isData = isForPrograms(settings.format);
  const missing = manifest.droppedIndexes().map(({ index }) => index.name);
  const step = all.length === 0 ? await firstStep(context) : nextStep(jobs);
  return {
    json: settings.json ? { jobs: listed(), indexes: { missing }, atWork: busy ?? null } : {},
    text: settings.json ? "" : textOf([await text(), !isData && busyText(context, busy)]),
    next: busy === undefined ? (step ? next(step) : buildIndexes(missing, next)) : undefined,
    isData,
  };
}

/** Undefined where nobody but this command works in the folder: whoever does takes the jobs further. */
async function busyWith({ settings, clock }: CommandContext): Promise<LockHolder | undefined> {
  const holder = await atWork(settings.jobsDir, clock);
  return holder?.pid === process.pid && settings.reconcile ? undefined : holder;
}

function busyText({ clock }: CommandContext, busy: LockHolder | undefined): string {
  return busy === undefined ? "" : `At work: ${atWorkText(busy, clock.now())}.`;
}

/** A job that was imported may have rows that failed all the same. */
function noneText({ settings, next }: CommandContext, all: readonly Job[]): string {
  const asked = settings.state ?? [];
  const none = `None of ${counted(all.length, "job")} is ${asked.join(" or ")}.`;
  const ids = all.filter((job) => job.outstanding.lines > 0).map(({ id }) => id);
  const [first] = ids;
  if (first === undefined || !asked.some((state) => isDead({ state }))) return none;
  return `${none}\nRows failed in ${someJobs(ids)} all the same: \`${next("jobs", first)}\` says why.`;
}

function isForPrograms(format: string): boolean {
  return format === "csv" || format === "ndjson";
}

function dataText(format: string, jobs: readonly ListedJob[]): string | Promise<string> {
  return format === "csv" ? jobsCsv(jobs) : jobsNdjson(jobs);
}

function buildIndexes(
  missing: readonly string[],
  next: CommandContext["next"],
): string | undefined {
  return missing.length === 0 ? undefined : next("import", "--rebuild-index");
}

function heldJobs(jobs: readonly Job[]): string[] {
  const text = heldText(jobs);
  return text === undefined ? [] : [`Jobs ${text}.`];
}

/** What the next job waits for. */
function fullQueue({ settings, clock }: CommandContext, manifest: ManifestView): string[] {
  const job = manifest.jobs().find((each) => needs(each) === "send");
  if (job === undefined) return [];
  const jobs = manifest.jobs().filter(({ project }) => project === job.project);
  const nowMs = clock.now().getTime();
  const log = manifest.quota(job.target.model, job.project);
  const { quotaWaitMs } = settings;
  const window = windowNow(manifest, queueWindow(settings));
  const next = nextTry(job, { jobs, window, log, quotaWaitMs, nowMs });
  return next.atMs <= nowMs ? [] : [fullText(next, jobs, log)];
}

/** Throws a UserError when there is no such job. */
async function showJob(
  context: CommandContext,
  manifest: ManifestView,
  given: string,
): Promise<CommandResult> {
  const { settings, next, clock } = context;
  const job = manifest.job(given);
  const { id } = job;
  const files = manifest.files(id);
  const failures = await readFailures([job], (each) => manifest.bring(each));
  const prices = pricesOf(settings);
  const listed = listedJob(job, prices);
  const history = await readHistory(context.services.events, id, eventNote);
  const waiting = {
    now: clock.now(),
    stuckAfterMs: settings.stuckAfterMs,
    cancel: next("cancel", id),
    answered: needs(job) === "embed" ? await countAnswered(files, job) : undefined,
    prices,
    failures: [...failureLines(failures), ...mendLines(failures)],
    timeline: timelineOf(history, isOpen(job), clock.now()),
  };
  const busy = isOpen(job) ? await busyWith(context) : undefined;
  const step = busy === undefined ? nextStep([job]) : undefined;
  const isData = isForPrograms(settings.format);
  const { timeline } = waiting;
  return {
    json: {
      jobs: [listed],
      target: job.target,
      failures: failuresJson(failures),
      timeline,
      history,
      atWork: busy ?? null,
    },
    text: isData
      ? await dataText(settings.format, [listed])
      : textOf([jobDetail(job, files, history, waiting), busyText(context, busy)]),
    isData,
    next: step && next(step, ...(step === "resubmit" ? [files.failed] : [])),
  };
}

/**
 * Finds out what became of uncertain submissions, and whether any job has a second batch; it takes
 * the lock and the key only where something was ever submitted.
 */
async function settle({ services, settings, ...context }: CommandContext): Promise<void> {
  const view = await services.view();
  if (!view.jobs().some((job) => job.submissions > 0)) return;
  const { reconcile } = await import("../../run/alone.ts");
  const keyed = await services.keys();
  const manifest = await services.manifest();
  await reconcile({ ...context, ...keyed, manifest }, settings.reconcileGraceMs);
}
