import { type CommandContext, type CommandResult, nextFor } from "../../cli/command.ts";
import { isStuck } from "../../jobs-folder/batch-age.ts";
import { counted } from "../../words/figures.ts";
import { pollFromSettings } from "../../composition/stages.ts";
import type { PollSummary } from "../../run/alone.ts";
import { stuckText } from "../../poll/stuck.ts";
import { isOpen } from "../../manifest/states.ts";
import { textOf } from "../../words/text-lines.ts";

export async function showPoll(context: CommandContext): Promise<CommandResult> {
  const { services, settings, clock, next } = context;
  const { stuckAfterMs } = settings;
  const summary = await pollFromSettings(context);
  const manifest = await services.manifest();
  const { ended, pending } = summary;
  const now = clock.now();
  const stuck = pending
    .map((id) => manifest.job(id))
    .filter((job) => isStuck(job, now, stuckAfterMs));
  const dead = ended.filter((id) => manifest.job(id).outstanding.lines > 0);
  // of the failed lines only those that came now are what this command is asked about
  const goingOn = manifest.jobs().filter((job) => isOpen(job) || dead.includes(job.id));
  return {
    json: { ended, pending, stuck: stuck.map((job) => job.id) },
    text: pollText(summary, [
      ...stuck.map((job) => `${stuckText(job, now)}; to give it up: ${next("cancel", job.id)}`),
      ...dead.map((id) => `Rows that can be resubmitted: ${manifest.files(id).failed}`),
    ]),
    next: nextFor(context, manifest.jobs(), goingOn),
    exit: pending.length > 0 ? "unfinished" : dead.length > 0 ? "rowsFailed" : "done",
  };
}

function pollText({ ended, pending }: PollSummary, further: readonly string[]): string {
  if (ended.length + pending.length === 0) return "No job is at Gemini.";
  return textOf([
    ended.length > 0 ? `Ended: ${ended.join(", ")}.` : "",
    pending.length > 0 && `${counted(pending.length, "job")} not ended yet: ${pending.join(", ")}.`,
    ...further,
  ]);
}
