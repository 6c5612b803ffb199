/**
 * Each stage as the settings have it, for its command and for scripts. A stage is loaded when it is called
 * first, so that no command waits for the code of another.
 */
import type { Clock } from "../clock.ts";
import type { CostLimit } from "../cost/cost.ts";
import type { LaneChoice } from "../cost/lane.ts";
import { pricesOf, QUOTAS } from "../cost/tariff.ts";
import type { ExportOptions, ExportSummary } from "../export/export.ts";
import type { Crew } from "../gates/duties.ts";
import { eachProject, withKeyOf } from "../gates/keys.ts";
import { type Keyed, projectOf } from "../jobs-folder/stage-services.ts";
import type { Batch, Gemini } from "../gemini/port.ts";
import type { IndexKeeper } from "../import/index-keeper.ts";
import type { JobBounds } from "../jobs-folder/cut.ts";
import type { Job } from "../manifest/job.ts";
import type { Limits } from "../manifest/quota/set-limits.ts";
import type { Manifest, ManifestView } from "../manifest/manifest.ts";
import { usdOfRun } from "../plan/lane-cost.ts";
import type { Plan } from "../plan/plan.ts";
import { isOpen, needs } from "../manifest/states.ts";
import { freeBytes } from "../disk/free-space.ts";
import { fileBytes } from "../row/result-line/result-size.ts";
import type { Report } from "../progress.ts";
import { JobBlocked, UserError } from "../errors.ts";
import type { ResubmitServices } from "../resubmit/resubmit.ts";
import { type IsOwn, isOneOf, sameTarget, type Target } from "../row/target.ts";
import type { ImportSummary, PollSummary, SubmitSummary } from "../run/alone.ts";
import type { Part, PartSummary, RunOptions, RunServices, RunSummary } from "../run/run.ts";
import { ifNamed } from "../settings/access.ts";
import { hasGeminiKey } from "../settings/environment/gemini-access.ts";
import { targetOf, restOf } from "../settings/config.ts";
import type { Environment } from "../settings/environment/env-file.ts";
import type { Settings } from "../settings/options.ts";
import { bytes, someJobs } from "../words/figures.ts";
import type { ChangedTexts } from "../row/question.ts";
import type { NearRow, RowEnd, Store } from "../store/port.ts";
import type { Beside } from "../submit/others.ts";

/** What a stage needs to be run as the settings say: by its command, or by a script. */
export type StageContext = Readonly<{
  services: Readonly<{
    manifest(): Promise<Manifest>;
    setLimits(): Promise<void>;
    view(): Promise<ManifestView>;
    crew(): Promise<Crew | undefined>;
    keys(): Promise<Keyed>;
    gemini(): Promise<Gemini>;
    redact(text: string): string;
    store(target: Target): Promise<Store>;
    targetMarkOf(target: Target): Promise<string | undefined>;
  }>;
  settings: Settings;
  /** Of each of several targets. */
  targets?: readonly Settings[];
  /** Nobody is asked: it spends what somebody has agreed to before. */
  asAgreed?: boolean;
  report: Report;
  signal: AbortSignal;
  clock: Clock;
}>;

/** A dry run counts, takes no lock and writes nothing. */
export async function exportFromSettings(context: StageContext): Promise<ExportSummary> {
  const { services, settings, report, signal } = context;
  if (settings.dryRun) return wouldExport(context);
  const { exportAll } = await import("../export/export.ts");
  const options = exportOptions(context);
  const store = await services.store(options.target);
  const manifest = await services.manifest();
  await tryTarget(context, manifest, options.target);
  const keyed = await ifNamed(() => services.keys());
  if (keyed !== undefined) await checkBeside(context, { manifest, ...keyed }, options.target);
  if (!settings.beside) await checkRowsKnown(manifest, options);
  const { PaidRows } = await import("../import/again/paid-for.ts");
  const fetch = keyed && fetcherOfResults(context, { manifest, ...keyed });
  const { beside } = settings;
  const known = { manifest, store, report, beside, ...(fetch && { fetch }) };
  const askPaid = () => new PaidRows(known, options.target, options.kin).ask;
  return exportAll({ store, manifest, report, signal, askPaid }, options);
}

/** Of imported jobs, as Gemini has them still. */
export function fetcherOfResults(
  context: StageContext,
  { manifest, ...keyed }: Readonly<{ manifest: Manifest }> & Keyed,
) {
  return async (job: Job) => {
    const { refetchResults } = await import("../import/download.ts");
    const tables = await withTables(context, manifest);
    return refetchResults({ ...tables, ...keyed }, job);
  };
}

async function wouldExport(context: StageContext): Promise<ExportSummary> {
  const { services, settings } = context;
  const manifest = await services.view();
  const keyed = await ifNamed(() => services.keys());
  if (keyed !== undefined) await checkBeside(context, { manifest, ...keyed }, targetOf(settings));
  const planned = await planFromSettings(context, {
    manifest,
    gemini: undefined,
    limit: settings.limit,
    canary: false,
  });
  const { rows: exported, copies, tokens, jobs: jobCount } = planned.pending;
  const nothing = { jobs: [], tooLongFile: undefined };
  return { ...nothing, exported, copies, skipped: planned.skipped, tokens, jobCount };
}

/** Rows that are on their way must not be selected, and of some jobs nobody knows yet which they are. */
async function checkRowsKnown(
  manifest: Manifest,
  { target, kin }: Pick<ExportOptions, "target" | "kin">,
): Promise<void> {
  const { jobsWithoutRows } = await import("../jobs-folder/found-rows.ts");
  const jobs = (await jobsWithoutRows(manifest, target, kin)).map(({ id }) => id);
  if (jobs.length === 0) return;
  throw new UserError(
    `Which rows job ${someJobs(jobs)} asks for is not known before the batch has ended: its request file is not in this folder. What is selected now might be paid for twice.`,
    {
      hint: "`vecfill run` waits for the results, which tell, and then selects the rest. With --beside nothing is waited for.",
      exit: "unfinished",
    },
  );
}

function exportOptions(context: Pick<StageContext, "settings" | "targets">): ExportOptions {
  const { settings } = context;
  const { siblings, kin, limit, onTooLong } = settings;
  const its = { name: nameAmongSeveral(context), target: targetOf(settings), siblings, kin };
  return { ...its, bounds: jobBounds(settings), limit, onTooLong };
}

/** Undefined where there is one target alone: then files need no name of it. */
export function nameAmongSeveral({
  settings,
  targets = [],
}: Pick<StageContext, "settings" | "targets">): string | undefined {
  return targets.length > 1 ? settings.target : undefined;
}

export async function submitFromSettings(context: StageContext): Promise<SubmitSummary> {
  const { settings } = context;
  const { submit } = await import("../run/alone.ts");
  const sending = await withGemini(context);
  const targets = new Set(sending.manifest.needing("send").map(({ target }) => target));
  for (const target of targets) await tryTarget(context, sending.manifest, target);
  for (const target of targets) await checkBeside(context, sending, target);
  await context.services.setLimits();
  return submit(sending, {
    window: queueWindow(settings),
    reconcileGraceMs: settings.reconcileGraceMs,
    costLimit: costLimitOfSubmit(settings, sending.manifest),
    lane: laneChoice(settings),
  });
}

export async function pollFromSettings(context: StageContext): Promise<PollSummary> {
  const { poll } = await import("../run/alone.ts");
  return poll(await withGemini(context), context.settings);
}

/** What sends to Gemini and looks there. The key is asked for before the folder is locked. */
async function withGemini({ services, report, clock, signal }: StageContext) {
  const keyed = await services.keys();
  const manifest = await services.manifest();
  const targetMarkOf = (target: Target) => services.targetMarkOf(target);
  return { ...keyed, manifest, report, clock, signal, targetMarkOf };
}

export async function importFromSettings(context: StageContext): Promise<ImportSummary> {
  const { services } = context;
  const { importEnded } = await import("../run/alone.ts");
  const manifest = await services.manifest();
  const keyed = await services.keys();
  return importEnded({
    ...(await withTables(context, manifest)),
    ...keyed,
    indexes: await indexKeeper(context, manifest),
  });
}

/** `pending`: recovered now or before, and not ended yet. */
export type Recovered = Readonly<{
  jobs: readonly Job[];
  pending: readonly string[];
  imported: ImportSummary;
}>;

/** Makes jobs of other folders' batches, and imports what has ended of them. Jobs of this folder stay as they are. */
export async function recoverFromSettings(context: StageContext): Promise<Recovered> {
  const { recoverBatches } = await import("../submit/recover.ts");
  const { pollJob } = await import("../poll/poll-job.ts");
  const { importEnded } = await import("../run/alone.ts");
  const { target } = exportOptions(context);
  const store = await context.services.store(target);
  const sending = await withGemini(context);
  const { manifest } = sending;
  const jobs: Job[] = [];
  for (const own of eachProject(sending)) {
    const batches = await recoverableFromSettings(context, own);
    jobs.push(...(await recoverBatches({ ...own, store }, batches, target)));
  }
  const underWay = () => manifest.needing("poll").filter(({ recovered }) => recovered);
  for (const job of underWay()) {
    if (context.signal.aborted) break;
    // what stands against one is said when it is looked at next
    await pollJob(withKeyOf(sending, job), job).catch((error: unknown) => {
      if (!(error instanceof JobBlocked)) throw error;
    });
  }
  const tables = { ...sending, ...(await withTables(context, manifest)) };
  const imported = await importEnded(tables, ({ recovered }) => recovered);
  return { jobs, pending: underWay().map(({ id }) => id), imported };
}

/** With one key. Throws where no database is named. */
export async function recoverableFromSettings(
  context: StageContext,
  { gemini, manifest }: Pick<Asked, "gemini" | "manifest">,
): Promise<readonly Batch[]> {
  const { services, clock, signal } = context;
  const { recoverable } = await import("../submit/recover.ts");
  const { target } = exportOptions(context);
  await services.store(target);
  const mark = (await services.targetMarkOf(target)) ?? "";
  return recoverable({ gemini, manifest, now: clock.now(), signal }, mark);
}

/** What writes results, also once more. */
export async function withTables(
  { services, settings, report, clock, signal }: StageContext,
  manifest: Manifest,
) {
  const { createPacer } = await import("../import/pace.ts");
  const redact = (text: string) => services.redact(text);
  const storeOf = (target: Target) => services.store(target);
  const pacer = createPacer(settings.pace, clock);
  const { resultsGraceMs } = settings;
  return { manifest, report, clock, signal, redact, storeOf, pacer, resultsGraceMs };
}

export async function indexKeeper(context: StageContext, manifest: Manifest): Promise<IndexKeeper> {
  const { IndexKeeper } = await import("../import/index-keeper.ts");
  const rebuild = context.settings.rebuildIndex;
  return new IndexKeeper({ ...(await withTables(context, manifest)), rebuild });
}

/** `paid`: what came of rows that the table had refused, and that were offered to it instead of being sent. */
export type Resubmitted = Readonly<{
  jobs: readonly Job[];
  paid: readonly RowEnd[];
  /** Lines that are sent with the text that failed for good. */
  unmended: number;
}>;

/** New jobs from the files given, or from every failed file that waits, as the settings have it. */
export async function resubmitFromSettings(
  context: StageContext,
  paths: readonly string[],
): Promise<Resubmitted> {
  const { services, settings, report } = context;
  const { everyLine, resubmitFile, resubmitJobs } = await import("../resubmit/resubmit.ts");
  const { settleUnsent } = await import("../import/again/again.ts");
  const { isUnmended } = await import("../jobs-folder/failed-file.ts");
  const manifest = await services.manifest();
  const bounds = jobBounds(settings);
  const again = await withTables(context, manifest);
  const paid: RowEnd[] = [];
  let unmended = 0;
  const its: ResubmitServices = {
    manifest,
    report,
    tryTable: (target) => tryTarget(context, manifest, target),
    writePaid: async (job, lines) => {
      const ends = await settleUnsent(again, job, lines);
      paid.push(...ends.values());
      return ends;
    },
    onTaken: (line, job) => {
      if (isUnmended(line, job)) unmended += 1;
    },
  };
  const jobs: Job[] = [];
  const target = (context.targets ?? []).length > 1 ? undefined : targetOf(settings);
  for (const path of paths) jobs.push(...(await resubmitFile(its, path, bounds, target)));
  const failed =
    paths.length > 0 ? [] : manifest.jobs().filter((job) => hasFailedLines(job, context));
  const waiting = failed.filter(({ recovered }) => settings.beside || !recovered);
  if (waiting.length < failed.length) {
    report({
      type: "warning",
      message: "Rows that failed in recovered jobs are left: their own folder may send them again.",
      hint: "If it is lost: `vecfill resubmit --beside`.",
    });
  }
  jobs.push(...(await resubmitJobs(its, waiting, bounds, everyLine)));
  return { jobs, paid, unmended };
}

/** Of a target that was named only its own, and of a partitioned table its own. */
export function hasFailedLines(
  { outstanding, target }: Job,
  { settings, targets = [settings] }: Pick<StageContext, "settings" | "targets">,
): boolean {
  const isAsked = () =>
    targets.some((each) => {
      const [whole] = each.siblings?.targets ?? [];
      return sameTarget(targetOf(each), target) || (whole && sameTarget(whole, target));
    });
  return outstanding.lines > 0 && (settings.target === undefined || isAsked());
}

/** With what is gone of tables that were asked for as one. */
function isOneAsked(targets: readonly Settings[]): IsOwn {
  const isOne = isOneOf(targets.map(targetOf));
  const groups = new Set(targets.map(({ siblings }) => siblings));
  return (target) => isOne(target) || groups.values().some((group) => group?.has(target));
}

/**
 * The pipeline as the settings have it, over each of their targets. `agreed` is asked once nothing stands against
 * sending, and gives the plan of these very rows for each target, or none.
 */
export async function runFromSettings(
  context: StageContext,
  agreed: (each: readonly StageContext[]) => Promise<readonly Plan[]> = async () => [],
): Promise<RunSummary> {
  const { run } = await import("../run/run.ts");
  const { fetchingOnFailure } = await import("../import/import.ts");
  const services = await runServices(context);
  const checked = await fetchingOnFailure(services, () => fitForRun(eachTarget(context), services));
  const { refused, unfit } = checked;
  const plans = await agreed(checked.fit);
  await context.services.setLimits();
  const fit = checked.fit.map((its) => withinLimits(its, services));
  return fetchingOnFailure(services, async () => {
    await checkRoom(fit, services, plans);
    for (const [at, its] of fit.entries()) {
      const { sample } = plans[at] ?? (await firstRows(its, services));
      const target = targetOf(its.settings);
      if (sample !== undefined) await services.manifest.recordCounted(target, sample);
    }
    const [first, ...alongside] = await Promise.all(fit.map((its) => partOfRun(its, services)));
    if (first === undefined) throw new Error("nothing stands against none of the targets");
    const usd = plans.reduce((sum, plan) => sum + usdOfRun(plan, laneChoice(context.settings)), 0);
    const expectedUsd = plans.length === 0 ? undefined : usd;
    const own = await runOptions(withinLimits(context, services), first);
    const options = { ...own, alongside, unfit, expectedUsd };
    const summary = await run({ ...services, store: first.store }, options);
    const remaining = refused.length > 0 ? undefined : summary.remaining;
    const isAway = (part: PartSummary) =>
      refused.some((each) => sameTarget(each.target, part.target));
    const parts = [...summary.parts.filter((part) => !isAway(part)), ...refused];
    return { ...summary, remaining, parts };
  });
}

/** For others to do: nothing is sent here. */
export async function agreeFromSettings(
  context: StageContext,
  agreed: (each: readonly StageContext[]) => Promise<readonly Plan[]>,
): Promise<void> {
  const services = await runServices(context);
  const { fit } = await fitForRun(eachTarget(context), services);
  await agreed(fit);
  await context.services.setLimits();
}

/** What holds for all who share the manifest holds here, whatever was given when it was opened. */
function withinLimits(context: StageContext, { manifest }: RunServices): StageContext {
  const { targets: _all, agreedCost: _agreed, ...limits } = manifest.limits() ?? {};
  return { ...context, settings: { ...context.settings, ...limits } };
}

function eachTarget(context: StageContext): readonly StageContext[] {
  const { targets = [context.settings] } = context;
  return targets.map((settings) => ({ ...context, settings }));
}

type Fit = Readonly<{
  fit: readonly StageContext[];
  /** The other ones that were asked for. */
  refused: readonly PartSummary[];
  /** Of the jobs of yet others. */
  unfit: readonly Target[];
}>;

/** Throws where nothing can be sent for any of them; what stands against some is told. */
async function fitForRun(each: readonly StageContext[], given: RunServices): Promise<Fit> {
  const services = listingOnce(given);
  const { NO_ROWS } = await import("../row/sums.ts");
  const fit: StageContext[] = [];
  const refused: PartSummary[] = [];
  const nothing = {
    ...NO_ROWS,
    remaining: undefined,
    pending: [],
  };
  for (const its of each) {
    const target = targetOf(its.settings);
    try {
      await tryTarget(its, services.manifest, target);
      await checkBeside(its, services, target);
      const store = await its.services.store(target);
      // it reads the whole column: only where somebody is told
      const { metricsFile, progressJson } = its.settings;
      if (metricsFile !== undefined || progressJson) await countChangedTexts(store, its.report);
      fit.push(its);
    } catch (error) {
      const isItsOwn = error instanceof UserError && ["fatal", "usage"].includes(error.exit);
      if (each.length === refused.length + 1 || !isItsOwn) throw error;
      its.report({ type: "warning", message: error.message, hint: error.hint });
      refused.push({ ...nothing, name: its.settings.target, target, error });
    }
  }
  return { fit, refused, unfit: await unfitOthers(fit, refused, services) };
}

/** Whoever asks for many tables reads the list of batches once, with each key. */
function listingOnce(services: RunServices): RunServices {
  const { gemini, keys = [] } = services;
  const each = keys.map((key) => ({ ...key, gemini: listing(key.gemini) }));
  return { ...services, gemini: listing(gemini), keys: each };
}

function listing(gemini: Gemini): Gemini {
  let listed: Promise<Batch[]> | undefined;
  const findBatches = (...given: Parameters<Gemini["findBatches"]>) =>
    (listed ??= gemini.findBatches(...given));
  return { ...gemini, findBatches };
}

/** For the metrics, where a column says so: nobody else asks from hour to hour. */
export async function countChangedTexts(
  { changedTexts }: Store,
  report: Report,
): Promise<ChangedTexts | undefined> {
  const changed = await changedTexts?.();
  if (changed !== undefined) report({ type: "changedTexts", rows: changed.rows });
  return changed;
}

/** Of targets that were not asked for, and those that were refused. */
async function unfitOthers(
  fit: readonly StageContext[],
  refused: readonly PartSummary[],
  services: RunServices,
): Promise<readonly Target[]> {
  const [first] = fit;
  if (first === undefined) return [];
  const away = refused.map(({ target }) => target);
  const targets = [...fit.map(({ settings }) => targetOf(settings)), ...away];
  const others = othersThan(targets, services);
  const unfit = await unfitTargets(first, services.manifest, others);
  for (const each of others) if (!unfit.includes(each)) await checkBeside(first, services, each);
  return [...unfit, ...away];
}

/** What is paid for has to have room: rows are counted, and only where they seem too many are their texts read. */
async function checkRoom(
  each: readonly StageContext[],
  { manifest }: RunServices,
  plans: readonly Plan[],
): Promise<void> {
  const jobsDir = each[0]?.settings.jobsDir ?? "";
  const free = await freeBytes(jobsDir);
  if ((await roughBytes(each, manifest, plans)) <= free) return;
  const counting = { manifest, gemini: undefined, canary: false };
  const counted = plans.length > 0 ? plans : await plansOf(each, counting);
  const all = counted.reduce((sum, { bytes: of }) => sum + of.requests + of.results, 0);
  const needed = Math.ceil(all * shareWithin(each, counted));
  if (needed <= free) return;
  throw new UserError(
    `The disk of ${jobsDir} has ${bytes(free)} free, and the files of this run take about ${bytes(needed)}: nothing was sent.`,
    {
      hint: "Make room (`vecfill clean` deletes what is not needed any more), name another folder with --jobs-dir, or fill in parts with --limit.",
    },
  );
}

/** By the number of rows alone: a plan has counted them already. */
async function roughBytes(
  each: readonly StageContext[],
  manifest: ManifestView,
  plans: readonly Plan[],
): Promise<number> {
  let all = 0;
  for (const [at, its] of each.entries()) {
    const rows = plans[at]?.pending.rows ?? (await rowsToExport(its, manifest));
    all += fileBytes(rows, its.settings.dimensions);
  }
  return all;
}

async function rowsToExport(its: StageContext, manifest: ManifestView): Promise<number> {
  const { pending } = await (await its.services.store(targetOf(its.settings))).count();
  return Math.min(pending, limitOfRun(its, manifest) ?? Infinity);
}

/** How much of it the limit on cost lets through. */
function shareWithin([first]: readonly StageContext[], plans: readonly Plan[]): number {
  if (first === undefined) return 1;
  const limit = costLimit(first.settings);
  const usd = plans.reduce((sum, plan) => sum + usdOfRun(plan, laneChoice(first.settings)), 0);
  const leftUsd = plans.reduce((left, { spentUsd }) => left - spentUsd, limit.maxUsd);
  return usd <= leftUsd ? 1 : Math.max(0, leftUsd) / usd;
}

/** The plan of each target, as the settings have it. */
export async function plansOf(
  each: readonly StageContext[],
  asked: With,
): Promise<readonly Plan[]> {
  const plans: Plan[] = [];
  const of = each.map((its) => its.settings);
  for (const its of each) {
    const taken = plans.map(({ pending }) => pending.rows);
    const limited = { ...its, settings: restOf(its.settings, of, taken) };
    plans.push(await planForRun(limited, { ...asked, hasTheRest: plans.length === 0 }));
  }
  return plans;
}

/** What stands against a row of one of several is met at its export, and stops no other. */
function planForRun(context: StageContext, asked: With): Promise<Plan> {
  const { targets = [], settings } = context;
  const onTooLong = targets.length > 1 ? "skip" : settings.onTooLong;
  return planFromSettings({ ...context, settings: { ...settings, onTooLong } }, asked);
}

/** For whose rows something may be sent. */
function othersThan(targets: readonly Target[], { manifest }: RunServices): readonly Target[] {
  const isOther = (job: Job) => !targets.some((target) => sameTarget(job.target, target));
  const jobs = manifest.jobs().filter(isOther);
  const sent = jobs.filter((job) => needs(job) === "send" || job.outstanding.retryable > 0);
  return [...new Set(sent.map((job) => job.target))];
}

async function partOfRun(its: StageContext, { manifest }: RunServices): Promise<Part> {
  const options = exportOptions(its);
  return {
    name: its.settings.target,
    export: { ...options, limit: limitOfRun(its, manifest) },
    store: await its.services.store(options.target),
  };
}

/** Without a plan the tokens are corrected by the first rows, and then by the bills. */
const ROWS_COUNTED = 2_000;

/** Rows under way count: a run that goes on selects what the earlier one had not. */
function limitOfRun({ settings }: StageContext, manifest: ManifestView): number | undefined {
  const isOwn = isOneOf(settings.siblings?.targets ?? [targetOf(settings)]);
  const underWay = manifest.jobs().filter((job) => isOpen(job) && isOwn(job.target));
  const rows = underWay.reduce((sum, job) => sum + job.requests, 0);
  return settings.limit === undefined ? undefined : Math.max(0, settings.limit - rows);
}

function firstRows(context: StageContext, { manifest, gemini }: RunServices): Promise<Plan> {
  const limit = Math.min(limitOfRun(context, manifest) ?? Infinity, ROWS_COUNTED);
  // what is paid for the pass that exports looks up, and tells
  return planForRun(context, { manifest, gemini, limit, asksPaid: false });
}

async function runServices(context: StageContext): Promise<RunServices> {
  const store = await context.services.store(exportOptions(context).target);
  const sending = await withGemini(context);
  const indexes = await indexKeeper(context, sending.manifest);
  return { ...sending, ...(await withTables(context, sending.manifest)), store, indexes };
}

async function runOptions(
  { services, settings, targets = [], asAgreed = false }: StageContext,
  first: Part,
): Promise<RunOptions> {
  return {
    // an option goes to the member of its name
    ...settings,
    name: first.name,
    export: first.export,
    shared: targets.length > 1,
    window: queueWindow(settings),
    prices: pricesOf(settings),
    costLimit: { ...costLimit(settings, isOneAsked(targets)), asAgreed },
    lane: laneChoice(settings),
    crew: await services.crew(),
  };
}

type With = Readonly<{
  manifest: ManifestView;
  /** Undefined: no key is set. */
  gemini: Gemini | undefined;
  /** Whose queues there are; undefined: one. */
  projects?: readonly string[] | undefined;
  limit?: number | undefined;
  countsDistinct?: boolean;
  asksPaid?: boolean;
  canary?: boolean;
  /** Of several targets, one plan has what there is to send for targets that were not asked for. */
  hasTheRest?: boolean;
}>;

/** The plan as the settings have it. */
async function planFromSettings(
  context: StageContext,
  {
    manifest,
    gemini,
    projects,
    limit = limitOfRun(context, manifest),
    countsDistinct = false,
    asksPaid,
    canary,
    hasTheRest = true,
  }: With,
): Promise<Plan> {
  const { services, settings, report, signal, targets = [] } = context;
  const { plan } = await import("../plan/plan.ts");
  const { siblings, kin, onTooLong, tier, maxAttempts } = settings;
  const target = targetOf(settings);
  const store = await services.store(target);
  const isAsked = (other: Target) => targets.some((each) => sameTarget(targetOf(each), other));
  return plan(
    { store, manifest, gemini, report, signal },
    {
      target,
      siblings,
      kin,
      bounds: jobBounds(settings),
      limit,
      onTooLong,
      countsDistinct,
      asksPaid,
      prices: pricesOf(settings),
      tier,
      maxEnqueuedTokens: queueWindow(settings).maxEnqueuedTokens,
      projects,
      maxAttempts,
      isElsewhere: (other) => !sameTarget(other, target) && (!hasTheRest || isAsked(other)),
      canary: canary ?? settings.canary,
    },
  );
}

/** As a command that writes nothing has it: without the lock, and also without a key. */
export async function planOnly(
  context: StageContext & Readonly<{ environment: Environment }>,
  options: Readonly<{ countsDistinct?: boolean }> = {},
): Promise<Plan> {
  const { services, settings, environment } = context;
  const manifest = await services.view();
  const keyed = hasGeminiKey(environment) ? await services.keys() : undefined;
  const beside = keyed && (await lookBeside(context, { manifest, ...keyed }, targetOf(settings)));
  if (beside !== undefined) {
    const { message, hint } = beside;
    context.report({ type: "warning", message, hint });
  }
  const hasTheRest = settings === (context.targets?.[0] ?? settings);
  const projects = keyed && eachProject(keyed).map(projectOf);
  const its = { manifest, gemini: keyed?.gemini, projects, hasTheRest };
  return planFromSettings(context, { ...its, ...options });
}

/** Throws the table's refusal, or whatever else stands against writing. */
async function tryTarget(
  context: StageContext,
  manifest: ManifestView,
  target: Target,
): Promise<void> {
  const { services, report } = context;
  const { notTried, tryTable } = await import("../plan/trial-write.ts");
  const warn = (warning: Readonly<{ message: string; hint: string }>) =>
    report({ type: "warning", ...warning });
  // jobs that were exported before can be sent from where there is no database
  const store = await ifNamed(() => services.store(target));
  if (store === undefined) return warn(notTried(target, "no database is named here"));
  (await tryTable(store, target, manifest)).warnings.forEach(warn);
}

type Asked = Readonly<{ manifest: ManifestView }> & Keyed;

/** Throws where the batches of another folder may fill the same rows; a dry run is told. */
async function checkBeside(context: StageContext, asked: Asked, target: Target): Promise<void> {
  const { settings, report } = context;
  const found = await lookBeside(context, asked, target);
  if (found === undefined) return;
  const { message, hint, isInTheWay } = found;
  if (isInTheWay && !settings.beside && !settings.dryRun)
    throw new UserError(message, { hint, exit: "fatal" });
  report({ type: "warning", message, hint });
}

/** What there is to say of batches for the target that this folder does not know. */
export async function lookBeside(
  { services, settings, clock, signal }: StageContext,
  asked: Asked,
  target: Target,
): Promise<Beside | undefined> {
  const { lookBeside: look } = await import("../submit/others.ts");
  const mark = await services.targetMarkOf(target);
  // whoever is interrupted sends nothing
  if (mark === undefined || signal.aborted) return undefined;
  const store = await services.store(target);
  // where no row waits, none can be paid for twice
  const { hasPending } = await import("../jobs-folder/pending-pages.ts");
  if (!(await hasPending(store))) return undefined;
  let found: Beside | undefined;
  for (const own of eachProject(asked)) {
    const its = { ...own, store, now: clock.now(), signal };
    const beside = await look(its, { target, mark, isAgreed: settings.beside });
    if (beside?.isInTheWay === true) return beside;
    found ??= beside;
  }
  return found;
}

/** Those whose tables take no vector, which is told: nothing is to be sent for them. */
export async function unfitTargets(
  context: StageContext,
  manifest: ManifestView,
  targets: readonly Target[],
): Promise<readonly Target[]> {
  const unfit: Target[] = [];
  for (const target of targets) {
    try {
      await tryTarget(context, manifest, target);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      context.report({ type: "warning", message: error.message, hint: error.hint });
      unfit.push(target);
    }
  }
  return unfit;
}

/** Rows of the table as the settings have it, the nearest to a text first. */
export async function searchFromSettings(
  context: StageContext,
  text: string,
  top: number,
): Promise<readonly NearRow[]> {
  const { searchRows } = await import("../search/search.ts");
  const target = targetOf(context.settings);
  const store = await context.services.store(target);
  return searchRows({ ...(await asking(context)), store }, target, { text, top });
}

/** What finds the rows that have vectors as the settings say; asks no database. */
export async function queryVectorFromSettings(
  context: StageContext,
  text: string,
): Promise<Float32Array> {
  const { queryVector } = await import("../search/search.ts");
  return queryVector(await asking(context), targetOf(context.settings), text);
}

async function asking({ services, signal }: StageContext) {
  return { gemini: await services.gemini(), signal };
}

type QuotaSettings = Pick<Settings, "maxActiveJobs" | "maxEnqueuedTokens" | "tier" | "model">;

/**
 * So many jobs fill the queue: what a tier takes in truth, half of what is advertised or less, takes
 * several, a try for more costs little, and one refusal is one of many creates. No more than that, as
 * a create takes seconds: they must fill tier 3's queue long before its first batch ends, and at most
 * 90 are at Gemini. On tier 1 that would be small jobs by the thousand: there ten fill it.
 */
const JOBS_A_QUEUE = 33;
const JOB_TOKENS_MIN = 50_000;
const JOBS_A_QUEUE_MIN = 10;

/** No job is made that could never be queued: the enqueued tokens bound it too. */
function jobBounds(
  settings: Pick<Settings, "maxJobRows" | "maxJobTokens" | "maxJobBytes"> & QuotaSettings,
): JobBounds {
  const { maxEnqueuedTokens: queue } = queueWindow(settings);
  const few = Math.ceil(queue / JOBS_A_QUEUE_MIN);
  const byTier = Math.min(few, Math.max(JOB_TOKENS_MIN, Math.ceil(queue / JOBS_A_QUEUE)));
  return {
    maxRows: settings.maxJobRows,
    maxTokens: Math.min(settings.maxJobTokens ?? byTier, queue),
    maxBytes: settings.maxJobBytes,
  };
}

/** Of the hundred that a project may have, some are left to others. */
const MAX_ACTIVE_JOBS = 90;

/** What may be queued at Gemini at once: as told, else what the tier allows. */
export function queueWindow({
  maxActiveJobs = MAX_ACTIVE_JOBS,
  maxEnqueuedTokens,
  tier,
  model,
}: QuotaSettings) {
  return {
    maxActiveJobs,
    maxEnqueuedTokens: maxEnqueuedTokens ?? QUOTAS[tier].enqueuedTokens[model],
    isAdvertised: maxEnqueuedTokens === undefined,
  };
}

/** `shared`: what holds for those who share the manifest, where nothing is given here. */
export function costLimit(
  settings: Pick<Settings, "maxCost" | "price" | "priceSync" | "lane" | "syncUpTo">,
  together: IsOwn = () => false,
  shared: Limits = {},
): CostLimit {
  const { maxCost = shared.maxCost } = settings;
  const maxUsd = typeof maxCost === "number" ? maxCost : Infinity;
  return { maxUsd, prices: pricesOf(settings), lane: laneChoice(settings), together };
}

/** One limit for all that waits to be sent, whatever it is for. */
export function costLimitOfSubmit(settings: Settings, manifest: ManifestView): CostLimit {
  const targets = new Set(manifest.needing("send").map(({ target }) => target));
  const shared = manifest.limits();
  return costLimit(settings, isOneOf(shared?.targets ?? [...targets]), shared);
}

/** Which jobs are embedded at once. */
export function laneChoice(settings: Pick<Settings, "lane" | "syncUpTo">): LaneChoice {
  return { lane: settings.lane, syncUpToTokens: settings.syncUpTo };
}
