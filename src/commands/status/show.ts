/** One screen: the column, what is at Gemini, how fast it goes, what failed, who is at work, what it cost. */
import { askDatabase, type Coverage, firstStep, targetToTell } from "../../cli/coverage.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { MS_PER_SECOND } from "../../clock.ts";
import { spentOn } from "../../cost/cost.ts";
import { pricesOf } from "../../cost/tariff.ts";
import type { LockHolder } from "../../disk/folder-lock.ts";
import { readFailures } from "../../words/failures.ts";
import { jobInHand } from "../../import/in-hand.ts";
import { atWork } from "../../jobs-folder/open.ts";
import type { Job } from "../../manifest/job.ts";
import { isAtGemini, isBack, isOpen, isToSend } from "../../manifest/states.ts";
import { columnName, sameTarget } from "../../row/target.ts";
import { targetOf } from "../../settings/config.ts";
import { atWorkText } from "../../words/at-work-text.ts";
import { failureLines, failuresJson, mendLines } from "../../words/failures-text.ts";
import * as words from "../../words/figures.ts";
import { noFolderText } from "../../words/no-folder-text.ts";
import { aligned, type Fact, said, textOf } from "../../words/text-lines.ts";
import { queuesOf } from "../../words/queues.ts";
import { failedRows, verdictOn } from "../../words/verdict.ts";

type Standing = Awaited<ReturnType<typeof standingOf>>;

/** Takes no lock, and needs no key. */
export async function showStatus(context: CommandContext): Promise<CommandResult> {
  const standing = await standingOf(context);
  const { busy, verdict, coverage } = standing;
  const step = verdict.next === "plan" ? await firstStep(context) : verdict.next;
  return {
    json: statusJson(standing),
    text: statusText(standing),
    // whoever is at work takes it further
    next: busy === undefined ? step && context.next(step) : undefined,
    remaining: typeof coverage === "string" ? undefined : coverage.pending,
  };
}

async function standingOf(context: CommandContext) {
  const { services, settings, clock, report } = context;
  const manifest = await services.view();
  for (const message of manifest.warnings) report({ type: "warning", message, hint: undefined });
  const target = targetToTell(manifest.jobs(), settings) ?? targetOf(settings);
  const jobs = manifest.jobs().filter((job) => sameTarget(job.target, target));
  const coverage = await askDatabase(context, target, manifest);
  const busy = await atWork(settings.jobsDir, clock);
  const now = clock.now();
  const store = typeof coverage === "string" ? undefined : await context.services.store(target);
  const failures = await readFailures(jobs, (job) => manifest.bring(job), store);
  return {
    target,
    now,
    coverage,
    busy,
    verdict: verdictOn({ coverage, jobs, failed: failures.waiting }),
    atGemini: { ...placeOf(jobs, isAtGemini), ...oldestOf(jobs.filter(isAtGemini)) },
    queues: queuesOf(jobs),
    results: placeOf(jobs, isBack),
    inHand: store && (await jobInHand(store, manifest, jobs)),
    notSent: placeOf(jobs, isToSend),
    underWay: placeOf(jobs, isOpen).rows,
    speed: busy && speedOf(jobs, coverage, busy, now),
    failures,
    cost: spentOn(jobs, pricesOf(settings)),
    noFolder: await noFolderText(settings),
  };
}

type Place = Readonly<{ jobs: number; rows: number }>;

function placeOf(jobs: readonly Job[], isThere: (job: Job) => boolean): Place {
  const there = jobs.filter(isThere);
  return { jobs: there.length, rows: there.reduce((sum, { requests }) => sum + requests, 0) };
}

/** In the sync lane nothing was submitted. */
function oldestOf(jobs: readonly Job[]) {
  const ages = jobs.map((job) => ({ oldest: job.id, since: job.submittedAt ?? job.updatedAt }));
  return ages.toSorted((a, b) => a.since.localeCompare(b.since))[0];
}

/** By what came in since that command began; undefined as long as that tells too little. */
function speedOf(
  jobs: readonly Job[],
  coverage: Coverage | string,
  { since }: LockHolder,
  now: Date,
) {
  const seconds = (now.getTime() - Date.parse(since)) / MS_PER_SECOND;
  const written = jobs
    .filter(({ updatedAt }) => updatedAt >= since)
    .reduce((sum, { sums }) => sum + (sums?.written ?? 0), 0);
  if (written === 0 || seconds < 1 || typeof coverage === "string") return undefined;
  const rowsPerSecond = written / seconds;
  const etaSeconds = Math.max(0, coverage.pending - failedRows(jobs)) / rowsPerSecond;
  const doneAt = new Date(now.getTime() + etaSeconds * MS_PER_SECOND).toISOString();
  return { rowsPerSecond, etaSeconds: Math.round(etaSeconds), doneAt };
}

function statusText(standing: Standing): string {
  const { target, now, verdict, busy, failures, cost, results, notSent, noFolder } = standing;
  const { settled } = failures;
  const failed = [
    ...failureLines(failures),
    ...mendLines(failures),
    settled > 0 && `Failed before, and mended or gone by now: ${words.counted(settled, "row")}.`,
  ];
  const money = `about ${words.dollars(cost.usd)} so far, ${words.counted(cost.tokens, "token")}`;
  const facts: Fact[] = [
    ...columnFacts(standing),
    ["at Gemini", atGeminiText(standing)],
    ["results", results.jobs > 0 ? `${placeText(results)}, ${backText(standing)}` : undefined],
    ["not sent", notSent.jobs > 0 ? placeText(notSent) : undefined],
    ["in no job", inNoJobText(standing)],
    ["to fill", toFillText(standing)],
    ["pace", busy && paceText(standing)],
    ...said(failed).map((line, at): Fact => [at === 0 ? "failed" : "", line]),
    ["at work", busy && atWorkText(busy, now)],
    ["cost", cost.tokens > 0 ? money : undefined],
  ];
  return textOf([
    `${columnName(target)}, ${target.model}, ${target.dimensions} dimensions`,
    noFolder,
    verdict.words,
    ...aligned(facts),
  ]);
}

const BAR_COLUMNS = 30;

function columnFacts({ coverage }: Standing): Fact[] {
  if (typeof coverage === "string") return [["column", `not known: ${coverage}`]];
  const { total, pending } = coverage;
  const share = words.percent(total - pending, total);
  const full = Math.floor((share / 100) * BAR_COLUMNS);
  const of = `${words.count(total - pending)} of ${words.counted(total, "row")}`;
  return [
    ["column", `${"█".repeat(full)}${"░".repeat(BAR_COLUMNS - full)} ${share}%`],
    ["", `${of} with a vector`],
  ];
}

function placeText({ jobs, rows }: Place): string {
  return `${words.counted(rows, "row")} in ${words.counted(jobs, "job")}`;
}

/** While jobs are under way: then nobody has looked whether a run would take the rest. */
function inNoJobText({ coverage, underWay, inHand, failures }: Standing): string | undefined {
  if (typeof coverage === "string" || underWay === 0) return undefined;
  const rows = coverage.pending - underWay + (inHand?.filled ?? 0) - failures.waiting;
  return rows > 0
    ? `${words.counted(rows, "row")}; \`vecfill plan\` says which are left out, and why`
    : undefined;
}

/** Which is which only a pass over all of them tells. */
function toFillText({ coverage, underWay, verdict }: Standing): string | undefined {
  if (typeof coverage === "string" || underWay > 0 || verdict.next !== "run") return undefined;
  return `${words.counted(coverage.pending, "row")}; \`vecfill plan\` says which are paid for already, left out, or to be paid`;
}

function backText({ inHand }: Standing): string {
  if (inHand === undefined) return "not in the column yet";
  return `of which ${words.count(inHand.filled)} of job ${inHand.job} are in the column already`;
}

function atGeminiText({ atGemini, queues, now }: Standing): string | undefined {
  const { oldest, since } = atGemini;
  if (since === undefined) return undefined;
  const age = words.duration((now.getTime() - Date.parse(since)) / MS_PER_SECOND);
  const each = queues.map(([name, jobs]) => `, ${jobs} of ${name}`);
  return `${placeText(atGemini)}${each.join("")}, oldest ${oldest} since ${words.minute(since)} UTC (${age})`;
}

function paceText({ speed }: Standing): string {
  if (speed === undefined) return "not known yet";
  const { rowsPerSecond, etaSeconds, doneAt } = speed;
  return `${words.pace(rowsPerSecond)}; done in about ${words.roughly(etaSeconds)}, at ${words.minute(doneAt)} UTC`;
}

function statusJson(standing: Standing): Record<string, unknown> {
  const { target, coverage, busy, verdict, atGemini, results, notSent, speed, cost } = standing;
  const column = typeof coverage === "string" ? undefined : coverage;
  const withEmbedding = column && column.total - column.pending;
  return {
    target,
    verdict: verdict.words,
    total: column?.total ?? null,
    withEmbedding: withEmbedding ?? null,
    withoutEmbedding: column?.pending ?? null,
    percentComplete: column ? words.percent(column.total - column.pending, column.total) : null,
    atGemini,
    results: { ...results, written: standing.inHand?.filled ?? 0 },
    notSent,
    failed: standing.failures.waiting,
    failures: failuresJson(standing.failures),
    speed: speed ?? null,
    atWork: busy ?? null,
    cost: { tokens: cost.tokens, usd: words.decimal(cost.usd) },
  };
}
