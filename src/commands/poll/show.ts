import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { isStuck } from "../../jobs-folder/batch-age.ts";
import { laneToGoOn } from "../../cost/lane.ts";
import { counted } from "../../words/figures.ts";
import { pollFromSettings } from "../../stages.ts";
import type { PollSummary } from "../../run/alone.ts";
import { stuckText } from "../../poll/stuck.ts";
import { commandOf, isBack } from "../../manifest/states.ts";
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
  const waiting = manifest.jobs().some((job) => commandOf(job) === "submit");
  const imports = manifest.jobs().some(isBack);
  const step = imports
    ? "import"
    : pending.length > 0
      ? "poll"
      : dead.length > 0
        ? "resubmit"
        : waiting
          ? "submit"
          : manifest.jobs().length === 0
            ? "export"
            : undefined;
  return {
    json: { ended, pending, stuck: stuck.map((job) => job.id) },
    text: pollText(summary, [
      ...stuck.map((job) => `${stuckText(job, now)}; to give it up: ${next("cancel", job.id)}`),
      ...dead.map((id) => `Rows that can be resubmitted: ${manifest.files(id).failed}`),
    ]),
    next: step && next(step, ...(step === "submit" ? laneToGoOn(manifest.jobs()) : [])),
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
