import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { JobBlocked, UserError, usageError } from "../../errors.ts";
import type { Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { count, counted } from "../../words/figures.ts";
import { canBeWrittenAgain, countEmpty, writeLostRows } from "../../import/again/again.ts";
import { refetchResults } from "../../import/download.ts";
import { wasImported } from "../../manifest/states.ts";
import { hasGeminiKey } from "../../settings/environment/gemini-access.ts";
import { KeySet } from "../../row/key-table.ts";
import { withTables } from "../../composition/stages.ts";
import type { RowEnd } from "../../store/port.ts";
import { paidRows } from "../../words/paid-rows.ts";
import { textOf } from "../../words/text-lines.ts";

/** `import --again`, of the jobs named, else of all that were imported. */
export async function showAgain(
  context: CommandContext,
  ids: readonly string[],
): Promise<CommandResult> {
  const { services, settings, next } = context;
  const { dryRun } = settings;
  const manifest = dryRun ? undefined : await services.manifest();
  const view = manifest ?? (await services.view());
  const tables = manifest && (await withTables(context, manifest));
  const { jobs, lost, refetched, failure } = await jobsToWrite(context, importedJobs(view, ids), {
    isHere: (job) => canBeWrittenAgain(view, job),
    fetch: tables && (await fetcher(context, tables)),
  });
  const { rows, ends } = await goThrough(context, tables ?? { view }, jobs);
  // said once the others are in the column
  if (failure !== undefined) throw failure;
  const { refused, lines } = paidRows(ends);
  const looked = jobs.map(({ id }) => id);
  const without = lost.map(({ id }) => id);
  return {
    json: {
      looked,
      withoutResults: without,
      rows,
      ...(dryRun ? { dryRun } : { refetched, refused }),
    },
    text: textOf([
      dryRun ? wouldText(rows, jobs) : didText(rows, jobs),
      ...lines,
      ...lostTexts(lost),
    ]),
    next: dryRun && rows + lost.length > 0 ? next("import", ...ids, "--again") : undefined,
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
  const seen = new KeySet();
  for (const job of jobs) {
    if (signal.aborted) break;
    const store = await services.store(job.target);
    if ("view" in tables) {
      rows += await countEmpty({ store, manifest: tables.view }, job, seen);
      continue;
    }
    const its = await writeLostRows({ ...tables, store }, job);
    rows += its.rows;
    ends.push(...its.ends);
  }
  return { rows, ends };
}

function importedJobs(manifest: ManifestView, ids: readonly string[]): readonly Job[] {
  if (ids.length === 0) return manifest.jobs().filter(wasImported);
  const jobs = [...new Set(ids)].map((id) => manifest.job(id));
  const other = jobs.find((job) => !wasImported(job));
  if (other === undefined) return jobs;
  throw usageError(
    `Job ${other.id} is ${other.state}: only what was imported is written again.`,
    "`vecfill import` alone writes the results of all jobs that have ended.",
  );
}

type Fetch = (job: Job) => Promise<Job | undefined>;

/** Undefined where there is no key to ask with, and nobody insists. */
async function fetcher(
  { services, settings, environment }: CommandContext,
  tables: Tables,
): Promise<Fetch | undefined> {
  if (!settings.refetch && !hasGeminiKey(environment)) return undefined;
  const keyed = await services.keys();
  return (job) => refetchResults({ ...tables, ...keyed }, job);
}

/**
 * Whose results are at hand, fetched again where they are not or where that is asked for. `lost`: those whose
 * results are to be had nowhere, or were not, of which the first failure tells.
 */
async function jobsToWrite(
  { settings, signal }: CommandContext,
  all: readonly Job[],
  { isHere, fetch }: Readonly<{ isHere: (job: Job) => Promise<boolean>; fetch: Fetch | undefined }>,
) {
  const [jobs, lost, refetched]: [Job[], Job[], string[]] = [[], [], []];
  let failure: UserError | undefined;
  for (const job of all) {
    const atHand = (await isHere(job)) ? job : undefined;
    const isWanted = !signal.aborted && (settings.refetch || atHand === undefined);
    // what is about one job keeps no other from being asked for
    const isAsked = isWanted && (failure === undefined || failure instanceof JobBlocked);
    const fetched = isAsked
      ? await fetch?.(job).catch((error: unknown) => {
          if (!(error instanceof UserError)) throw error;
          failure ??= error;
          return undefined;
        })
      : undefined;
    const its = fetched ?? atHand;
    (its === undefined ? lost : jobs).push(its ?? job);
    if (fetched !== undefined) refetched.push(job.id);
  }
  return { jobs, lost, refetched, failure };
}

function didText(rows: number, jobs: readonly Job[]): string {
  return `Of ${counted(jobs.length, "imported job")} ${counted(rows, "row")} had lost ${rows === 1 ? "its vector and has it" : "their vectors and have them"} again, at no cost.`;
}

function wouldText(rows: number, jobs: readonly Job[]): string {
  return `Of ${counted(jobs.length, "imported job")} ${counted(rows, "row")} ${rows === 1 ? "is" : "are"} NULL, with the text that was sent, and would get ${rows === 1 ? "its vector" : "their vectors"} again, at no cost.`;
}

const MAX_JOBS_NAMED = 8;

function lostTexts(lost: readonly Job[]): string[] {
  const { cleaned = [], away = [] } = Object.groupBy(lost, (job) =>
    job.cleaned.includes("results") ? "cleaned" : "away",
  );
  return [
    lostText(away, "since their results are not in the jobs folder any more", FETCHED),
    lostText(cleaned, "since clean deleted their results", ""),
  ];
}

const FETCHED =
  " What Gemini still has, for six weeks and with a key of their project, `vecfill import --again` and a run fetch once more.";

function lostText(jobs: readonly Job[], why: string, more: string): string {
  if (jobs.length === 0) return "";
  const named = jobs.slice(0, MAX_JOBS_NAMED).map(({ id }) => id);
  const others = jobs.length - named.length;
  return `Not looked at, ${why}: ${named.join(", ")}${others > 0 ? `, and ${count(others)} more` : ""}.${more}`;
}
