import { readManifest } from "../../jobs-folder/open.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import type { Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { count, counted } from "../../words/figures.ts";
import { canBeWrittenAgain, countEmpty, writeAgain } from "../../import/again.ts";
import { wasImported } from "../../manifest/states.ts";
import { readFailedLines } from "../../jobs-folder/failed-file.ts";
import { writeRefused } from "../../import/refused-rows.ts";
import { withTables } from "../../stages.ts";
import { type RowEnd, TableRefusal } from "../../store/port.ts";
import { paidRows } from "../../words/paid-rows.ts";

/** `import --again`. */
export async function showAgain(context: CommandContext): Promise<CommandResult> {
  const { services, settings, next } = context;
  const { dryRun, jobsDir } = settings;
  const manifest = dryRun ? undefined : await services.manifest();
  const view = manifest ?? (await readManifest(jobsDir));
  const { jobs, lost } = await jobsToWrite(view);
  const tables = manifest && (await withTables(context, manifest));
  const { rows, ends } = await goThrough(context, tables ?? { view }, jobs);
  const { refused, lines } = paidRows(ends);
  const looked = jobs.map(({ id }) => id);
  const without = lost.map(({ id }) => id);
  return {
    json: { looked, withoutResults: without, rows, ...(dryRun ? { dryRun } : { refused }) },
    text: [dryRun ? wouldText(rows, jobs) : didText(rows, jobs), ...lines, lostText(without)]
      .filter((line) => line !== "")
      .join("\n"),
    next: dryRun && rows > 0 ? next("import", "--again") : undefined,
    exit: refused > 0 ? "rowsFailed" : "done",
  };
}

type Tables = Awaited<ReturnType<typeof withTables>>;

/** `rows` that were NULL and are written; with a view alone they are counted. */
async function goThrough(
  { services, signal }: CommandContext,
  tables: Tables | Readonly<{ view: ManifestView }>,
  jobs: readonly Job[],
): Promise<Readonly<{ rows: number; ends: readonly RowEnd[] }>> {
  const ends: RowEnd[] = [];
  let rows = 0;
  for (const job of jobs) {
    if (signal.aborted) break;
    const store = await services.store(job.target);
    if ("view" in tables) {
      rows += await countEmpty({ store, manifest: tables.view }, job);
      continue;
    }
    // those first that wait in failed files, since of them the sums change
    const waiting = readFailedLines(tables.manifest.files(job.id).failed);
    const paid = await writeRefused(tables, job, waiting);
    const again = await writeAgain({ ...tables, store }, job, paid);
    rows += again.filter((end) => end === "written").length;
    ends.push(...paid.values(), ...again.filter((end) => end instanceof TableRefusal));
  }
  return { rows, ends };
}

/** `lost`: those whose results file is not there any more, or is another one. */
async function jobsToWrite(
  manifest: ManifestView,
): Promise<Readonly<{ jobs: readonly Job[]; lost: readonly Job[] }>> {
  const [jobs, lost]: [Job[], Job[]] = [[], []];
  for (const job of manifest.jobs().filter(wasImported)) {
    ((await canBeWrittenAgain(manifest, job)) ? jobs : lost).push(job);
  }
  return { jobs, lost };
}

function didText(rows: number, jobs: readonly Job[]): string {
  return `Of ${counted(jobs.length, "imported job")} ${counted(rows, "row")} had lost their vectors and have them again, at no cost.`;
}

function wouldText(rows: number, jobs: readonly Job[]): string {
  return `Of ${counted(jobs.length, "imported job")} ${counted(rows, "row")} ${rows === 1 ? "is" : "are"} NULL. Those whose text is unchanged would get their vectors again, at no cost.`;
}

const MAX_JOBS_NAMED = 8;

function lostText(ids: readonly string[]): string {
  if (ids.length === 0) return "";
  const named = ids.slice(0, MAX_JOBS_NAMED).join(", ");
  const more =
    ids.length > MAX_JOBS_NAMED ? `, and ${count(ids.length - MAX_JOBS_NAMED)} more` : "";
  return `Not looked at, since their results are not in the jobs folder any more: ${named}${more}.`;
}
