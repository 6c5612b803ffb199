import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { withKeyOf } from "../../gates/keys.ts";
import { type Job, linesOf } from "../../manifest/job.ts";
import { type ManifestView } from "../../manifest/manifest.ts";
import { count, counted } from "../../words/figures.ts";
import {
  type CancelServices,
  cancelJob,
  cancellableBatch,
  type Prospect,
  prospectOf,
} from "./cancel.ts";
import { isCancelled } from "../../manifest/states.ts";
import type { Target } from "../../row/target.ts";
import { textOf } from "../../words/text-lines.ts";

export async function showCancel(
  context: CommandContext,
  ids: readonly string[],
): Promise<CommandResult> {
  const { services, settings, next, report } = context;
  const asking = {
    gemini: async (job: Job) => withKeyOf(await services.keys(), job).gemini,
    isGone: (target: Target) => services.isGone(target),
  };
  if (settings.dryRun) return showDryRun(context, ids, asking);
  const manifest = await services.manifest();
  const { jobs, before } = jobsToCancel(manifest, ids);
  if (!settings.giveUp) for (const job of jobs) cancellableBatch(job, false);
  const asked: string[] = [];
  const givenUp: string[] = [];
  const kept: string[] = [];
  const gone: string[] = [];
  for (const job of jobs) {
    const how = await cancelJob({ ...asking, manifest, report }, job, settings.giveUp);
    ({ asked, givenUp, kept, gone })[how].push(job.id);
  }
  const lines = [
    asked.length > 0 ? `Gemini was asked to cancel ${asked.join(", ")}.` : "",
    givenUp.length > 0 &&
      `Given up: ${givenUp.join(", ")}; the next export takes their rows again.`,
    kept.length > 0 &&
      `Ended: ${kept.join(", ")}; what was embedded so far can be imported, the other rows then be resubmitted.`,
    gone.length > 0 &&
      `Ended: ${gone.join(", ")}; its table is gone, and with it its rows. A run writes those that stand in another partition by now, at no cost.`,
    before.length > 0 ? `Cancelled before: ${before.join(", ")}.` : "",
  ];
  const nothing = jobs.length === 0;
  return {
    json: { cancelled: asked, givenUp, kept, gone, before },
    text: textOf(lines),
    next: nothing
      ? undefined
      : next(kept.length > 0 ? "import" : asked.length > 0 ? "poll" : "export"),
  };
}

/** Each once; to cancel one again that was cancelled is nothing to do. */
function jobsToCancel(
  manifest: ManifestView,
  ids: readonly string[],
): Readonly<{ jobs: readonly Job[]; before: readonly string[] }> {
  const jobs = [...new Set(ids.map((id) => manifest.job(id)))];
  const before = jobs.filter(isCancelled).map(({ id }) => id);
  return { jobs: jobs.filter((job) => !isCancelled(job)), before };
}

async function showDryRun(
  { services, settings, next }: CommandContext,
  ids: readonly string[],
  asking: Pick<CancelServices, "gemini" | "isGone">,
): Promise<CommandResult> {
  const manifest = await services.view();
  const { jobs, before } = jobsToCancel(manifest, ids);
  const wouldCancel = jobs.map(({ id }) => id);
  const lines: string[] = [];
  for (const job of jobs) {
    lines.push(prospectText(job, await prospectOf({ ...asking, manifest }, job, settings.giveUp)));
  }
  const flags = settings.giveUp ? ["--give-up"] : [];
  return {
    json: { cancelled: [], wouldCancel, before, dryRun: true },
    text: [
      lines.length === 0 ? "Nothing to cancel." : `Would cancel ${counted(jobs.length, "job")}:`,
      ...lines,
      ...(before.length > 0 ? [`Cancelled before: ${before.join(", ")}.`] : []),
    ].join("\n"),
    next: jobs.length === 0 ? undefined : next("cancel", ...wouldCancel, ...flags),
  };
}

function prospectText(job: Job, prospect: Prospect): string {
  const { id, requests } = job;
  const isKept = prospect.kind === "embedding" && prospect.answered > 0;
  const isGivenUp = prospect.kind !== "batch" && !isKept;
  const rows = counted(requests, "row");
  return `  ${id} (${stateText(job, prospect)}), ${rows}${isGivenUp ? ": to be given up" : ""}`;
}

function stateText(job: Job, prospect: Prospect): string {
  switch (prospect.kind) {
    case "batch":
      return prospect.batch;
    case "gone":
      return "its table is gone";
    case "unsent":
      return "no batch is known";
    case "lost":
      return "a file of it is lost or doubted";
    case "unseen":
      return "its results are out of sight";
    case "embedding":
      return prospect.answered === 0
        ? "embedded at once: nothing answered yet"
        : `embedded at once: ${count(prospect.answered)} of ${counted(linesOf(job), "request")} answered, which would be kept`;
  }
}
