import type { CommandContext, CommandResult } from "../command.ts";
import { UNIMPORTED } from "../job/transitions.ts";
import { counted } from "../output/figures.ts";
import { pollAll, type PollSummary } from "./poll.ts";

export async function showPoll(context: CommandContext): Promise<CommandResult> {
  const { services, settings, report, signal, clock, next } = context;
  const gemini = await services.gemini();
  const manifest = await services.manifest();
  const keyId = services.keyId();
  const { pollIntervalMs: intervalMs, once, timeoutMs } = settings;
  const summary = await pollAll(
    { gemini, manifest, report, clock, signal, keyId },
    { intervalMs, once, timeoutMs },
  );
  const { ended, pending } = summary;
  const dead = ended.filter((id) => manifest.job(id).outstanding.lines > 0);
  const imports = manifest.jobs().some((job) => UNIMPORTED.includes(job.state));
  const step = imports
    ? "import"
    : pending.length > 0
      ? "poll"
      : dead.length > 0
        ? "resubmit"
        : undefined;
  return {
    json: { ended, pending },
    text: pollText(
      summary,
      dead.map((id) => manifest.files(id).failed),
    ),
    next: step && next(step),
    exit: pending.length > 0 ? "unfinished" : dead.length > 0 ? "rowsFailed" : "done",
  };
}

function pollText({ ended, pending }: PollSummary, failedFiles: readonly string[]): string {
  if (ended.length + pending.length === 0) return "No job is at Gemini.";
  return [
    ended.length > 0 ? `Ended: ${ended.join(", ")}.` : "",
    pending.length > 0
      ? `${counted(pending.length, "job")} not ended yet: ${pending.join(", ")}.`
      : "",
    ...failedFiles.map((file) => `Rows that can be resubmitted: ${file}`),
  ]
    .filter((line) => line !== "")
    .join("\n");
}
