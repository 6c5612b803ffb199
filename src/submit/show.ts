import type { CommandContext, CommandResult } from "../command.ts";
import { readManifest } from "../job/manifest.ts";
import { costStopJson, costStopText } from "../output/cost-text.ts";
import { count, counted } from "../output/figures.ts";
import { submitFromSettings } from "./from-settings.ts";
import { isWaiting, type SubmitSummary } from "./submit.ts";

export async function showSubmit(context: CommandContext): Promise<CommandResult> {
  const { services, settings, next } = context;
  if (settings.dryRun) return showDryRun(context);
  const summary = await submitFromSettings(context);
  const manifest = await services.manifest();
  const { submitted, adopted, waiting } = summary;
  const polls = manifest.jobs().some((job) => job.state === "submitted");
  return {
    json: { submitted, adopted, waiting, costStop: costStopJson(summary.costStop) },
    text: submitText(summary),
    next: polls ? next("poll") : waiting.length > 0 ? next("submit") : undefined,
    exit: summary.costStop !== undefined ? "costLimit" : waiting.length > 0 ? "unfinished" : "done",
  };
}

async function showDryRun({ settings, next }: CommandContext): Promise<CommandResult> {
  const jobs = (await readManifest(settings.jobsDir)).jobs().filter(isWaiting);
  const tokens = jobs.reduce((sum, job) => sum + job.tokens, 0);
  const ids = jobs.map((job) => job.id);
  return {
    json: { submitted: [], adopted: [], waiting: ids, dryRun: true },
    text: `Would submit ${counted(jobs.length, "job")} (${ids.join(", ")}), about ${count(tokens)} tokens, as far as the quota allows.`,
    next: jobs.length > 0 ? next("submit") : undefined,
    exit: "done",
  };
}

function submitText({ submitted, adopted, waiting, why, costStop }: SubmitSummary): string {
  const lines = [
    submitted.length + adopted.length + waiting.length === 0 ? "Nothing to submit." : "",
    submitted.length > 0
      ? `Submitted ${counted(submitted.length, "job")}: ${submitted.join(", ")}.`
      : "",
    adopted.length > 0 ? `Found at Gemini and adopted: ${adopted.join(", ")}.` : "",
    waiting.length > 0
      ? `Waiting: ${waiting.join(", ")}${why === undefined ? "" : ` (${why})`}.`
      : "",
    costStop === undefined ? "" : costStopText(costStop),
  ];
  return lines.filter((line) => line !== "").join("\n");
}
