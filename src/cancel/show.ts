import type { CommandContext, CommandResult } from "../command.ts";
import { readManifest } from "../job/manifest.ts";
import { counted } from "../output/figures.ts";
import { cancelJob, cancellableBatch } from "./cancel.ts";

export async function showCancel(
  context: CommandContext,
  ids: readonly string[],
): Promise<CommandResult> {
  const { services, settings, next } = context;
  if (settings.dryRun) return showDryRun(context, ids);
  const manifest = await services.manifest();
  const jobs = ids.map((id) => manifest.job(id));
  if (!settings.giveUp) for (const job of jobs) cancellableBatch(job, false);
  const asked: string[] = [];
  const givenUp: string[] = [];
  const kept: string[] = [];
  for (const job of jobs) {
    const cancelServices = { manifest, gemini: () => services.gemini() };
    const how = await cancelJob(cancelServices, job, settings.giveUp);
    ({ asked, givenUp, kept })[how].push(job.id);
  }
  const lines = [
    asked.length > 0 ? `Gemini was asked to cancel ${asked.join(", ")}.` : "",
    givenUp.length > 0
      ? `Given up: ${givenUp.join(", ")}; the next export takes their rows again.`
      : "",
    kept.length > 0
      ? `Ended: ${kept.join(", ")}; what was embedded so far can be imported, the other rows then be resubmitted.`
      : "",
  ];
  return {
    json: { cancelled: asked, givenUp, kept },
    text: lines.filter((line) => line !== "").join("\n"),
    next: next(kept.length > 0 ? "import" : asked.length > 0 ? "poll" : "export"),
    exit: "done",
  };
}

async function showDryRun(
  { settings, next }: CommandContext,
  ids: readonly string[],
): Promise<CommandResult> {
  const manifest = await readManifest(settings.jobsDir);
  const batches = ids.map(
    (id) => cancellableBatch(manifest.job(id), settings.giveUp) ?? "no batch is known",
  );
  return {
    json: { cancelled: [], wouldCancel: ids, dryRun: true },
    text: [
      `Would cancel ${counted(ids.length, "job")}:`,
      ...ids.map((id, index) => `  ${id} (${batches[index]})`),
    ].join("\n"),
    next: next("cancel", ...ids),
    exit: "done",
  };
}
