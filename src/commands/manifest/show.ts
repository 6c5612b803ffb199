import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { usageError } from "../../errors.ts";

/** Stops all who work on a shared manifest before their next step, on every machine, or lets them on again. */
export async function showManifest(
  { services, next }: CommandContext,
  [what]: readonly string[],
): Promise<CommandResult> {
  if (what !== "pause" && what !== "resume")
    throw usageError(
      "What is to be done with the manifest is not said.",
      "`vecfill manifest pause` or `vecfill manifest resume`.",
    );
  const id = await services.change(what === "pause" ? "paused" : "active");
  if (id === undefined)
    throw usageError("There is no shared manifest there yet.", "`vecfill run` makes one.");
  const [text, command] =
    what === "pause" ? [PAUSED, next("manifest", "resume")] : [ON, next("run")];
  return { json: { manifest: id, paused: what === "pause" }, text, next: command };
}

const PAUSED =
  "Paused: nobody sends, imports or records anything any more. Batches at Gemini go on, and their results wait there.";
const ON = "Active again. Workers and runs that were stopped by it have to be started again.";
