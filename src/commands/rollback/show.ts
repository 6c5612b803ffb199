import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { UserError, usageError } from "../../errors.ts";
import { createPacer } from "../../import/pace.ts";
import type { Job } from "../../manifest/job.ts";
import type { Manifest, ManifestView } from "../../manifest/manifest.ts";
import { count, counted } from "../../words/figures.ts";
import { columnName } from "../../row/target.ts";
import { fetcherOfResults } from "../../composition/stages.ts";
import { textOf } from "../../words/text-lines.ts";
import { countRollback, requireRollbackable, rollbackJob } from "./rollback.ts";
import { isImported, isRolledBack } from "../../manifest/states.ts";

export async function showRollback(
  context: CommandContext,
  ids: readonly string[],
): Promise<CommandResult> {
  const { services, settings, report, signal, clock, next, confirm } = context;
  if (settings.dryRun) return showDryRun(context, ids);
  const manifest = await services.manifest();
  await fetchResults(context, manifest, ids);
  const jobs = await jobsToRollBack(manifest, ids);
  if (jobs.length === 0) return nothingLeft(ids);
  // counted for whoever is asked
  const counts = settings.yes ? [] : await countEach(services, manifest, jobs);
  if (!settings.yes && !(await confirm(question(jobs, sum(counts))))) throw refused();
  const done: Job[] = [];
  const pacer = createPacer(settings.pace, clock);
  for (const job of jobs) {
    const store = await services.store(job.target);
    const ended = await rollbackJob({ store, manifest, report, signal, pacer }, job);
    if (ended === undefined) break;
    done.push(ended);
  }
  const rows = sum(done.map(({ rolledBack }) => rolledBack));
  const changed = changedSince(done, rows);
  return {
    json: { rolledBack: done.map(({ id }) => id), rows, changed },
    text: `Rolled back ${counted(done.length, "job")}: ${counted(rows, "vector")} set back to NULL${changedText(changed)}.`,
    next: next("run"),
  };
}

async function showDryRun(context: CommandContext, ids: readonly string[]): Promise<CommandResult> {
  const { services, settings, next } = context;
  const isShared = settings.manifestIn === "postgres";
  const manifest = isShared ? await services.manifest() : await services.view();
  if (isShared) await fetchResults(context, await services.manifest(), ids);
  const jobs = await jobsToRollBack(manifest, ids);
  if (jobs.length === 0) return nothingLeft(ids);
  const counts = await countEach(services, manifest, jobs);
  const rows = sum(counts);
  const lines = jobs.map((job, at) => {
    const its = counts[at] ?? 0;
    return `  ${job.id}: ${counted(its, "vector")}${changedText(changedSince([job], its))}`;
  });
  return {
    json: {
      rolledBack: [],
      wouldRollBack: jobs.map(({ id }) => id),
      rows,
      changed: changedSince(jobs, rows),
      dryRun: true,
    },
    text: textOf([
      `Would set ${counted(rows, "vector")} back to NULL:`,
      ...lines,
      takenAwayText(changedSince(jobs, rows)).trim(),
    ]),
    next: rows > 0 ? next("rollback", ...jobs.map(({ id }) => id)) : undefined,
  };
}

/** How many vectors of each are in its column still. */
async function countEach(
  services: Pick<CommandContext["services"], "store">,
  manifest: ManifestView,
  jobs: readonly Job[],
): Promise<readonly number[]> {
  const counts: number[] = [];
  for (const job of jobs)
    counts.push(await countRollback({ store: await services.store(job.target), manifest }, job));
  return counts;
}

/** Where several share the manifest Gemini alone keeps the results, for six weeks. */
async function fetchResults(
  context: CommandContext,
  manifest: Manifest,
  ids: readonly string[],
): Promise<void> {
  if (!manifest.isShared) return;
  const { hasResults } = await import("../../jobs-folder/results-file.ts");
  for (const job of ids.map((id) => manifest.job(id)).filter(isImported)) {
    if (await hasResults(await manifest.bring(job), job)) continue;
    const keyed = await context.services.keys();
    await fetcherOfResults(context, { manifest, ...keyed })(job);
  }
}

/** Each once, those left out that were rolled back before. Throws before anything is touched. */
async function jobsToRollBack(manifest: ManifestView, ids: readonly string[]): Promise<Job[]> {
  const jobs = [...new Set(ids.map((id) => manifest.job(id)))];
  const left = jobs.filter((job) => !isRolledBack(job));
  for (const job of left) await requireRollbackable(manifest, job);
  return left;
}

function nothingLeft(ids: readonly string[]): CommandResult {
  return {
    json: { rolledBack: [], rows: 0, changed: 0 },
    text: `Nothing to do: ${ids.join(", ")} ${ids.length === 1 ? "was" : "were"} rolled back before.`,
  };
}

function question(jobs: readonly Job[], rows: number): string {
  const columns = new Set(jobs.map(({ target }) => columnName(target)));
  const ids = jobs.map(({ id }) => id).join(", ");
  return `Set ${counted(rows, "vector")} of ${[...columns].join(", ")} back to NULL (${ids})? They are paid for again when they are filled again.${takenAwayText(changedSince(jobs, rows))}`;
}

function takenAwayText(changed: number): string {
  if (changed === 0) return "";
  return ` ${count(changed)} more changed or lost theirs since: what is lost \`vecfill import --again\` writes at no cost, but not after this.`;
}

function refused(): UserError {
  return usageError(
    "Nothing was rolled back: you said no.",
    "`--dry-run` counts the rows and changes nothing.",
  );
}

function writtenBy(jobs: readonly Job[]): number {
  return sum(jobs.map(({ sums }) => sums?.written ?? 0));
}

/** Of what the jobs wrote; a row that another job filled with the same vector is taken back too. */
function changedSince(jobs: readonly Job[], takenBack: number): number {
  return Math.max(0, writtenBy(jobs) - takenBack);
}

function changedText(changed: number): string {
  return changed === 0 ? "" : `; ${count(changed)} changed or emptied since, left as they are`;
}

function sum(figures: readonly number[]): number {
  return figures.reduce((total, figure) => total + figure, 0);
}
