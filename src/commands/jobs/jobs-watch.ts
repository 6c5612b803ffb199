/**
 * `jobs --watch`: looks at the journal again whenever it has grown, without the lock. On a terminal
 * the list stands still and its figures change; elsewhere a line is printed for every job that moved.
 * It ends when every job that is watched has ended.
 */
import { sizeOf } from "../../disk/presence.ts";
import type { CommandContext } from "../../cli/command.ts";
import { pricesOf } from "../../cost/tariff.ts";
import { manifestPath } from "../../manifest/file-names.ts";
import type { Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { isOpen } from "../../manifest/states.ts";
import { counted } from "../../words/figures.ts";
import { placeText } from "../../words/no-folder-text.ts";
import { fit } from "../../output/fit.ts";
import { outcomes } from "../../output/progress-lines.ts";
import type { Screen } from "../../output/terminal-screen.ts";
import { jobsTable } from "./jobs-table.ts";

const LOOK_EVERY_MS = 2_000;
/** Of a screen: the heading, titles, two empty lines, sums of up to four lines, what is left out, the cursor. */
const LINES_BESIDE_JOBS = 10;

export function isAskedFor({ state }: Job, states: readonly string[] | undefined): boolean {
  return states === undefined || states.includes(state);
}

/** Resolves when all have ended; rejects with the signal's reason. Throws for a job that is not there. */
export async function watchJobs(context: CommandContext, id: string | undefined): Promise<void> {
  const { services, settings, clock, signal } = context;
  const screen = settings.json ? undefined : await context.screen();
  const told = new Map<string, string>();
  let bytes = -1;
  try {
    for (;;) {
      const now = (await sizeOf(manifestPath(settings.jobsDir))) ?? 0;
      if (now !== bytes || screen !== undefined || settings.manifestIn === "postgres") {
        bytes = now;
        const jobs = watched(await services.view(), id);
        if (screen !== undefined) draw(screen, context, jobs);
        else if (!settings.json) tellMoves(context, jobs, told);
        if (!jobs.some(isOpen)) return;
      }
      await clock.sleep(LOOK_EVERY_MS, signal);
    }
  } finally {
    screen?.clear();
  }
}

function watched(manifest: ManifestView, id: string | undefined): readonly Job[] {
  return id === undefined ? manifest.jobs() : [manifest.job(id)];
}

function draw(screen: Screen, { settings, clock }: CommandContext, jobs: readonly Job[]): void {
  const { columns, rows } = screen.size();
  const asked = jobs.filter((job) => isAskedFor(job, settings.state));
  const shown = newest(asked, Math.max(1, rows - LINES_BESIDE_JOBS));
  const left = asked.length - shown.length;
  // the last column stays free: some terminals fold a line that reaches it
  const table = jobsTable(shown, pricesOf(settings), columns - 1, asked);
  const time = clock.now().toISOString().slice(TIME_FROM, TIME_TO);
  const heading = `Jobs in ${placeText(settings)}, ${time} UTC. Ctrl-C leaves; the work goes on.`;
  const rest = left === 0 ? [] : [`and ${counted(left, "job")} that moved longer ago`];
  screen.draw([heading, "", ...table.split("\n"), ...rest].map((line) => fit(line, columns - 1)));
}

const TIME_FROM = "2026-11-22T".length;
const TIME_TO = "2026-11-22T10:00:00".length;

/** As many as there is room for, in the order of their ids: those under way, then what moved last. */
function newest(jobs: readonly Job[], room: number): Job[] {
  if (jobs.length <= room) return [...jobs];
  const byAge = jobs.toSorted(
    (a, b) => Number(isOpen(b)) - Number(isOpen(a)) || b.updatedAt.localeCompare(a.updatedAt),
  );
  return byAge.slice(0, room).toSorted((a, b) => Number(a.id) - Number(b.id));
}

function tellMoves(
  { output, settings }: CommandContext,
  jobs: readonly Job[],
  told: Map<string, string>,
): void {
  for (const job of jobs.filter((each) => isAskedFor(each, settings.state))) {
    if (told.get(job.id) === job.state) continue;
    told.set(job.id, job.state);
    const what = job.sums === undefined ? counted(job.requests, "row") : outcomes(job.sums);
    output.result(`${job.updatedAt}  ${job.id}  ${job.state}  ${what}`);
  }
}
