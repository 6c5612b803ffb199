import { readManifest } from "../../jobs-folder/open.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import type { Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { count, counted } from "../../words/figures.ts";
import { canBeWrittenAgain, countEmpty, writeAgain } from "../../import/again.ts";
import { createPacer } from "../../import/pace.ts";
import { wasImported } from "../../manifest/states.ts";

/** `import --again`. */
export async function showAgain(context: CommandContext): Promise<CommandResult> {
  const { services, settings, report, signal, clock, next } = context;
  const { dryRun } = settings;
  const manifest = dryRun ? await readManifest(settings.jobsDir) : await services.manifest();
  const { jobs, lost } = await jobsToWrite(manifest);
  const pacer = createPacer(settings.pace, clock);
  let rows = 0;
  for (const job of jobs) {
    if (signal.aborted) break;
    const its = { store: await services.store(job.target), manifest, report, signal, pacer };
    rows += dryRun ? await countEmpty(its, job) : await writeAgain(its, job);
  }
  const ids = jobs.map(({ id }) => id);
  const without = lost.map(({ id }) => id);
  return {
    json: { looked: ids, withoutResults: without, rows, ...(dryRun ? { dryRun } : {}) },
    text: [dryRun ? wouldText(rows, jobs) : didText(rows, jobs), lostText(without)]
      .filter((line) => line !== "")
      .join("\n"),
    next: dryRun && rows > 0 ? next("import", "--again") : undefined,
    exit: "done",
  };
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
