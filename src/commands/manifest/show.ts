import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { MANIFEST_OPTIONS } from "../../cli/manifest-options.ts";
import { usageError } from "../../errors.ts";
import type { JournalEvent } from "../../manifest/event.ts";
import { journalLines } from "../../manifest/journal/journal.ts";
import { newHeader } from "../../manifest/manifest.ts";
import { type Flags, flagValues } from "../../settings/config.ts";
import { counted } from "../../words/figures.ts";

/**
 * Takes a manifest to the database or back, prints its journal, stops all who work on a shared one before their next step, on every
 * machine, or lets them on again.
 */
export async function showManifest(
  context: CommandContext,
  [what]: readonly string[],
  flags: Flags,
): Promise<CommandResult> {
  if (what === "move") return showMoved(context, flags);
  if (what === "export") return showJournal(context);
  if (what === "pause" || what === "resume") return showChanged(context, what);
  throw usageError(
    "What is to be done with the manifest is not said.",
    "`vecfill manifest move --to postgres` or `vecfill manifest move --to folder`, `vecfill manifest export`, `vecfill manifest pause` or `vecfill manifest resume`.",
  );
}

async function showMoved(
  { services, settings, next }: CommandContext,
  flags: Flags,
): Promise<CommandResult> {
  const { to } = flagValues(MANIFEST_OPTIONS, flags);
  if (to === undefined)
    throw usageError(
      "Where the manifest goes is not said.",
      "`vecfill manifest move --to postgres`, or `vecfill manifest move --to folder`.",
    );
  const { id, jobs } = await services.move(to);
  const [place, rest] =
    to === "postgres"
      ? [
          "in the database",
          "The folder is closed, but keep it: results that were written from it are there alone. VECFILL_MANIFEST=postgres leads every command to the database.",
        ]
      : [`in ${settings.jobsDir}`, "Nobody works on it in the database any more."];
  const isAsSet = settings.manifestIn === to;
  return {
    json: { manifest: id, jobs, to },
    text: `The manifest ${id} with ${counted(jobs, "job")} is ${place}. ${rest}`,
    next: next("run", ...(isAsSet ? [] : ["--manifest", to])),
  };
}

/** As a jobs folder has it: to be kept, or read by other programs. */
async function showJournal({ services, clock }: CommandContext): Promise<CommandResult> {
  const id = await services.manifestId();
  if (id === undefined) throw nothingThere();
  const events: JournalEvent[] = [];
  await services.events((event) => events.push(event));
  const header = newHeader(new Date(events[0]?.at ?? clock.now()), id);
  const text = [...journalLines(header, events)].join("\n");
  return { json: { manifest: id, events: events.length }, text, isData: true };
}

async function showChanged(
  { services, next }: CommandContext,
  what: "pause" | "resume",
): Promise<CommandResult> {
  const id = await services.change(what === "pause" ? "paused" : "active");
  if (id === undefined) throw nothingThere();
  const [text, command] =
    what === "pause" ? [PAUSED, next("manifest", "resume")] : [ON, next("run")];
  return { json: { manifest: id, paused: what === "pause" }, text, next: command };
}

function nothingThere() {
  return usageError("There is no manifest there yet.", "`vecfill run` makes one.");
}

const PAUSED =
  "Paused: nobody sends, imports or records anything any more. Batches at Gemini go on, and their results wait there.";
const ON = "Active again. Workers and runs that were stopped by it have to be started again.";
