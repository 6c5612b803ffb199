import { readManifest } from "../../jobs-folder/open.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { ResultsDoubted, UserError } from "../../errors.ts";
import type { Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { count, counted } from "../../words/figures.ts";
import { canBeWrittenAgain, countEmpty, writeAgain, writeWaiting } from "../../import/again.ts";
import { mayBeAtGemini, refetchResults } from "../../import/download.ts";
import { readTakenRows, type TakenRows } from "../../jobs-folder/taken-rows.ts";
import { wasImported } from "../../manifest/states.ts";
import type { Target } from "../../row/target.ts";
import { hasGeminiKey } from "../../settings/access.ts";
import { withTables } from "../../stages.ts";
import { type RowEnd, TableRefusal } from "../../store/port.ts";
import { paidRows } from "../../words/paid-rows.ts";

/** `import --again`, of the jobs named, else of every one that was imported. */
export async function showAgain(
  context: CommandContext,
  ids: readonly string[],
): Promise<CommandResult> {
  const { services, settings, next } = context;
  const { dryRun, jobsDir } = settings;
  const manifest = dryRun ? undefined : await services.manifest();
  const view = manifest ?? (await readManifest(jobsDir));
  const jobs = importedJobs(view, ids);
  const tables = manifest && (await withTables(context, manifest));
  const done = await goThrough(context, tables ?? { view }, jobs);
  const { rows, looked, lost, refetched } = done;
  const { refused, lines } = paidRows(done.ends);
  // said once the others are in the column
  if (done.doubted !== undefined) throw done.doubted;
  return {
    json: {
      looked,
      withoutResults: lost,
      refetched,
      rows,
      ...(dryRun ? { dryRun } : { refused }),
    },
    text: [
      refetchedText(refetched, dryRun),
      dryRun ? wouldText(rows, looked.length) : didText(rows, looked.length),
      ...lines,
      lostText(lost),
    ]
      .filter((line) => line !== "")
      .join("\n"),
    next:
      dryRun && rows + refetched.length > 0
        ? next("import", ...ids, ...flags(settings))
        : undefined,
    exit: refused > 0 ? "rowsFailed" : "done",
  };
}

function flags({ refetch }: CommandContext["settings"]): readonly string[] {
  return refetch ? ["--again", "--refetch"] : ["--again"];
}

function importedJobs(manifest: ManifestView, ids: readonly string[]): readonly Job[] {
  if (ids.length === 0) return manifest.jobs().filter(wasImported);
  const jobs = [...new Set(ids)].map((id) => manifest.job(id));
  const other = jobs.find((job) => !wasImported(job));
  if (other === undefined) return jobs;
  throw new UserError(`Job ${other.id} is not imported, or was rolled back.`, {
    hint: `\`vecfill jobs ${other.id}\` says what became of it. \`vecfill import\` writes results that are not in the column yet.`,
    exit: "usage",
  });
}

type Tables = Awaited<ReturnType<typeof withTables>>;

/** With a view alone nothing is fetched and rows are counted. */
type Access = Tables | Readonly<{ view: ManifestView }>;

type Gone = {
  /** Rows that were NULL and are written. */
  rows: number;
  readonly ends: RowEnd[];
  readonly looked: string[];
  /** Jobs whose results are to be had nowhere. */
  readonly lost: string[];
  /** Jobs whose results were fetched again. */
  readonly refetched: string[];
  doubted: ResultsDoubted | undefined;
};

async function goThrough(
  context: CommandContext,
  access: Access,
  jobs: readonly Job[],
): Promise<Gone> {
  const gone: Gone = { rows: 0, ends: [], looked: [], lost: [], refetched: [], doubted: undefined };
  const takenOf = takenRows("view" in access ? access.view : access.manifest);
  for (const job of jobs) {
    if (context.signal.aborted) break;
    const found = await withResults(context, access, job, gone);
    if (found === undefined) continue;
    gone.looked.push(job.id);
    const store = await context.services.store(job.target);
    if ("view" in access) {
      gone.rows += await countEmpty({ store, manifest: access.view }, job);
      continue;
    }
    // those first that wait in failed files, since of them the sums change
    const paid = await writeWaiting(access, found);
    const again = await writeAgain({ ...access, store }, found, await takenOf(job.target), paid);
    gone.rows += again.filter((end) => end === "written").length;
    gone.ends.push(...paid.values(), ...again.filter((end) => end instanceof TableRefusal));
  }
  return gone;
}

/** Of each target read once: nobody else changes it meanwhile. */
function takenRows(manifest: ManifestView) {
  const known = new Map<Target, TakenRows>();
  return async (target: Target): Promise<TakenRows> => {
    const taken = known.get(target) ?? (await readTakenRows(manifest, target));
    known.set(target, taken);
    return taken;
  };
}

/**
 * The job where its results are at hand: fetched again where they are not, or where that is asked for. They
 * are not where there is no key to ask with.
 */
async function withResults(
  context: CommandContext,
  access: Access,
  job: Job,
  gone: Gone,
): Promise<Job | undefined> {
  const { settings, environment, clock } = context;
  const isHere = await canBeWrittenAgain("view" in access ? access.view : access.manifest, job);
  const isAsked = settings.refetch || (!isHere && hasGeminiKey(environment));
  const atHand = isHere ? job : undefined;
  if (!isAsked || !mayBeAtGemini(job, clock.now())) {
    if (!isHere) gone.lost.push(job.id);
    return atHand;
  }
  if ("view" in access) {
    gone.refetched.push(job.id);
    return atHand;
  }
  const fetched = await refetched(context, access, job, gone);
  if (fetched !== undefined) gone.refetched.push(job.id);
  else if (!isHere) gone.lost.push(job.id);
  return fetched ?? atHand;
}

async function refetched(
  { services }: CommandContext,
  tables: Tables,
  job: Job,
  gone: Gone,
): Promise<Job | undefined> {
  const gemini = await services.gemini();
  try {
    return await refetchResults({ ...tables, gemini, keyId: services.keyId() }, job);
  } catch (error) {
    if (!(error instanceof ResultsDoubted)) throw error;
    gone.doubted ??= error;
    return undefined;
  }
}

function refetchedText(ids: readonly string[], dryRun: boolean): string {
  if (ids.length === 0) return "";
  const which = `the results of ${counted(ids.length, "job")}`;
  return dryRun
    ? `Would fetch ${which} again: ${named(ids)}.`
    : `Fetched ${which} again: ${named(ids)}.`;
}

function didText(rows: number, jobs: number): string {
  return `Of ${counted(jobs, "imported job")} ${counted(rows, "row")} had lost their vectors and have them again, at no cost.`;
}

function wouldText(rows: number, jobs: number): string {
  return `Of ${counted(jobs, "imported job")} ${counted(rows, "row")} ${rows === 1 ? "is" : "are"} NULL. Those whose text is unchanged would get their vectors again, at no cost.`;
}

const MAX_JOBS_NAMED = 8;

function lostText(ids: readonly string[]): string {
  if (ids.length === 0) return "";
  return `Not looked at, since their results are not in the jobs folder any more: ${named(ids)}. Gemini keeps results for six weeks, for a key of their project.`;
}

function named(ids: readonly string[]): string {
  const more = ids.length - MAX_JOBS_NAMED;
  return ids.slice(0, MAX_JOBS_NAMED).join(", ") + (more > 0 ? `, and ${count(more)} more` : "");
}
