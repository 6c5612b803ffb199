import { resolve } from "node:path";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { withLeavesOfNamed } from "../../cli/each-target.ts";
import type { Job } from "../../manifest/job.ts";
import { exists } from "../../disk/presence.ts";
import { isOwn, isRefused, isUnmended, readFailedLines } from "../../jobs-folder/failed-file.ts";
import { heldLines } from "../../jobs-folder/holdings.ts";
import { hasResults } from "../../jobs-folder/results-file.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { said } from "../../words/text-lines.ts";
import { paidRows, unneededText } from "../../words/paid-rows.ts";
import { counted } from "../../words/figures.ts";
import { hasFailedLines, resubmitFromSettings } from "../../composition/stages.ts";
import { countLines } from "../../resubmit/resubmit.ts";

const NOTHING = "Nothing to resubmit: no failed line waits.";

/** Makes new jobs from the files given, or from every failed file that waits. */
export async function showResubmit(
  asked: CommandContext,
  paths: readonly string[],
): Promise<CommandResult> {
  const context = await withLeavesOfNamed(asked);
  if (context.settings.dryRun) return showDryRun(context, paths);
  const { jobs: made, paid, unmended } = await resubmitFromSettings(context, paths);
  const { written, refused, lines } = paidRows(paid);
  const requests = made.reduce((sum, job) => sum + job.requests, 0);
  const ids = made.map((job) => job.id);
  return {
    json: { jobs: ids, requests, written, refused },
    text: [...lines, ...madeLines(ids, requests, unmended)].join("\n") || NOTHING,
    // where nothing is left to send, a run takes changed texts
    next: made.length > 0 || paid.includes("stale") ? context.next("run") : undefined,
    exit: refused > 0 ? "rowsFailed" : "done",
  };
}

function madeLines(ids: readonly string[], requests: number, unmended: number): string[] {
  if (ids.length === 0) return [];
  return [
    `Made ${counted(ids.length, "job")} (${ids.join(", ")}) of ${counted(requests, "failed line")}.`,
    ...unmendedLines(unmended),
  ];
}

/** A person decided to send them, and perhaps does not know. */
function unmendedLines(rows: number): string[] {
  if (rows === 0) return [];
  return [
    `Of these, ${counted(rows, "line")} failed for good, with the same text: ${rows === 1 ? "it is" : "they are"} likely to fail again.`,
  ];
}

async function waitingJobs(context: CommandContext, paths: readonly string[]) {
  const { services, settings } = context;
  const view = await services.view();
  const isOf = (path: string, job: Job) => resolve(path) === resolve(view.files(job.id).failed);
  const isNamed = (job: Job) =>
    paths.length === 0 ? settings.beside || !job.recovered : paths.some((path) => isOf(path, job));
  const others = paths.filter((path) => !view.jobs().some((job) => isOf(path, job)));
  return {
    view,
    others,
    waiting: view.jobs().filter((job) => hasFailedLines(job, context) && isNamed(job)),
  };
}

async function showDryRun(
  context: CommandContext,
  paths: readonly string[],
): Promise<CommandResult> {
  const { next } = context;
  const { view, waiting, others } = await waitingJobs(context, paths);
  const { refused, unneeded, unmended, changed, ids, ...own } = await countWaiting(context, {
    view,
    waiting,
  });
  let { requests } = own;
  const texts = said([
    requests > 0 &&
      `Would resubmit ${counted(requests, "failed line")} of ${counted(ids.length, "job")} (${ids.join(", ")}).`,
    ...unmendedLines(unmended),
    refused > 0 &&
      `Of ${counted(refused, "line")} the table refused the vector: it is offered once more, at no cost.`,
    unneeded > 0 && unneededText(unneeded),
  ]);
  for (const path of others) {
    const lines = await countLines(path);
    requests += lines;
    if (lines > 0) texts.push(`Would submit up to ${counted(lines, "line")} of ${path}.`);
  }
  return {
    json: { jobs: [], wouldResubmit: ids, requests, refused, unneeded, dryRun: true },
    text: texts.length === 0 ? NOTHING : texts.join("\n"),
    next:
      requests + refused > 0 ? next("resubmit", ...paths) : changed > 0 ? next("run") : undefined,
  };
}

/** `unmended`: of the requests; `changed`: of the unneeded. */
type Waiting = Readonly<
  Record<"requests" | "refused" | "unneeded" | "unmended" | "changed", number>
> &
  Readonly<{ /** Of jobs with lines to send. */ ids: readonly string[] }>;

/** The jobs' own lines, by what would become of them. */
async function countWaiting(
  { services }: CommandContext,
  { view, waiting }: Readonly<{ view: ManifestView; waiting: readonly Job[] }>,
): Promise<Waiting> {
  const sums = { requests: 0, refused: 0, unneeded: 0, unmended: 0, changed: 0 };
  const ids = new Set<string>();
  for (const job of waiting) {
    const files = await view.bring(job);
    if (!(await exists(files.failed))) continue;
    let isPaid: Promise<boolean> | undefined;
    const store = await services.store(job.target);
    for await (const [line, holding] of heldLines(store, job, readFailedLines(files.failed))) {
      if (!isOwn(line, job)) continue;
      if (holding === "changed") sums.changed += 1;
      if (holding !== "empty") sums.unneeded += 1;
      else if (isRefused(line, job) && (await (isPaid ??= hasResults(files, job))))
        sums.refused += 1;
      else {
        sums.requests += 1;
        ids.add(job.id);
        if (isUnmended(line, job)) sums.unmended += 1;
      }
    }
  }
  return { ...sums, ids: [...ids] };
}
