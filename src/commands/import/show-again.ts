import { readManifest } from "../../jobs-folder/open.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import type { Job } from "../../manifest/job.ts";
import type { Manifest, ManifestView } from "../../manifest/manifest.ts";
import { count, counted } from "../../words/figures.ts";
import { canBeWrittenAgain, countEmpty, writeAgain } from "../../import/again.ts";
import { createPacer } from "../../import/pace.ts";
import { wasImported } from "../../manifest/states.ts";
import { readFailedLines } from "../../jobs-folder/failed-file.ts";
import type { PaidRowsTold } from "../../row/sums.ts";
import { paidRows } from "../../stages.ts";
import { paidRowsLines } from "../../words/paid-rows-text.ts";

/** `import --again`. */
export async function showAgain(context: CommandContext): Promise<CommandResult> {
  if (context.settings.dryRun) return showDryRun(context);
  const manifest = await context.services.manifest();
  const { jobs, lost } = await jobsToWrite(manifest);
  const { rows, paid } = await writeJobs(context, manifest, jobs);
  const without = lost.map(({ id }) => id);
  return {
    json: { looked: idsOf(jobs), withoutResults: without, rows, refused: paid.refused },
    text: [didText(rows, jobs), ...paidRowsLines(paid), lostText(without)]
      .filter((line) => line !== "")
      .join("\n"),
    next: undefined,
    exit: paid.refused > 0 ? "rowsFailed" : "done",
  };
}

type Written = Readonly<{ rows: number; paid: PaidRowsTold }>;

/** Those first that wait in failed files, since of them the sums change. */
async function writeJobs(
  context: CommandContext,
  manifest: Manifest,
  jobs: readonly Job[],
): Promise<Written> {
  const { services, settings, report, signal, clock } = context;
  const paid = await paidRows(context, manifest);
  const pacer = createPacer(settings.pace, clock);
  let [rows, refused] = [0, 0];
  let why: string | undefined;
  for (const job of jobs) {
    if (signal.aborted) break;
    const store = await services.store(job.target);
    await paid.write(job, readFailedLines(manifest.files(job.id).failed));
    const again = await writeAgain({ store, manifest, report, signal, pacer }, job);
    rows += again.written;
    refused += again.refused;
    why ??= again.why;
  }
  // what is refused still has been looked at twice
  return { rows, paid: { ...paid.told(), refused, why } };
}

async function showDryRun({
  services,
  settings,
  signal,
  next,
}: CommandContext): Promise<CommandResult> {
  const manifest = await readManifest(settings.jobsDir);
  const { jobs, lost } = await jobsToWrite(manifest);
  let rows = 0;
  for (const job of jobs) {
    if (signal.aborted) break;
    rows += await countEmpty({ store: await services.store(job.target), manifest }, job);
  }
  const without = lost.map(({ id }) => id);
  return {
    json: { looked: idsOf(jobs), withoutResults: without, rows, dryRun: true },
    text: [wouldText(rows, jobs), lostText(without)].filter((line) => line !== "").join("\n"),
    next: rows > 0 ? next("import", "--again") : undefined,
    exit: "done",
  };
}

function idsOf(jobs: readonly Job[]): readonly string[] {
  return jobs.map(({ id }) => id);
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
