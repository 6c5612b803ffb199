/** A process that works on a shared manifest until it is told to stop, beside any number of others. */
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { WORKER_OPTIONS } from "../../cli/worker-options.ts";
import { withLeaves } from "../../cli/each-target.ts";
import { runFromSettings } from "../../composition/stages.ts";
import { type ExitReason, type UserError, usageError } from "../../errors.ts";
import type { Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { isOpen } from "../../manifest/states.ts";
import { type Flags, flagValues } from "../../settings/config.ts";
import type { RunSummary } from "../../run/run.ts";
import { costStopText } from "../../words/cost-text.ts";
import { counted } from "../../words/figures.ts";
import { textOf } from "../../words/text-lines.ts";

/** Between two looks for rows, where there was nothing to do. */
const LOOK_EVERY_MS = 30_000;

export async function showWorker(context: CommandContext, flags: Flags): Promise<CommandResult> {
  const { services, settings, clock, signal } = context;
  const { once, drain, only, leaseMs } = flagValues(WORKER_OPTIONS, flags);
  if (settings.manifestIn !== "postgres") throw notShared();
  if ((await services.crew({ only, once, leaseMs })) === undefined) throw embedded();
  const manifest = await services.manifest();
  const asAgreed = !settings.yes;
  if (asAgreed && manifest.limits()?.agreedCost === undefined) throw notAgreed();
  const before = writtenIn(manifest);
  let summary: RunSummary;
  let told = "";
  for (;;) {
    summary = await runFromSettings({ ...(await withLeaves(context)), asAgreed });
    told = tellStop(context, summary, told);
    if (once || drain || signal.aborted) break;
    await clock.sleep(LOOK_EVERY_MS, signal).catch(() => {});
    if (signal.aborted) break;
    await manifest.refresh();
  }
  const written = writtenIn(manifest) - before;
  const open = manifest.jobs().filter(isOpen);
  return {
    json: { written, open: open.map(({ id }) => id) },
    text: textOf([
      `${counted(written, "row")} got vectors meanwhile, by all who work on it.`,
      open.length > 0 && `${counted(open.length, "job")} not ended yet.`,
    ]),
    exit: exitOf(summary, open),
  };
}

/** Once for each that it is. */
function tellStop({ report }: CommandContext, { costStop }: RunSummary, told: string): string {
  const message = costStop === undefined ? "" : costStopText(costStop);
  if (message !== "" && message !== told) report({ type: "warning", message, hint: undefined });
  return message;
}

function exitOf({ costStop, failed }: RunSummary, open: readonly Job[]): ExitReason {
  if (costStop !== undefined) return "costLimit";
  if (open.length > 0) return "unfinished";
  return failed > 0 ? "rowsFailed" : "done";
}

function writtenIn(manifest: ManifestView): number {
  return manifest.jobs().reduce((sum, { sums }) => sum + (sums?.written ?? 0), 0);
}

function notShared(): UserError {
  return usageError(
    "A worker works on a manifest that several share.",
    "Add --manifest postgres, or set VECFILL_MANIFEST=postgres. One machine alone needs no workers: `vecfill run`.",
  );
}

function notAgreed(): UserError {
  return usageError(
    "A worker asks nobody, and nobody has agreed to what it would spend.",
    "`vecfill run --detach` tells what it would be, and asks. Or add --yes. --max-cost, given to one of them, is the limit of all that they spend together.",
  );
}

function embedded(): UserError {
  return usageError(
    "An embedded database has one process, and no use for workers.",
    "`vecfill run` does the work; or name a server in DATABASE_URL.",
  );
}
