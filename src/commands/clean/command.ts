import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "clean",
  about:
    "Deletes what is no longer needed: request and results files of imported jobs, and uploaded files at Gemini. Never the manifest, a failed file, or anything of a job that is not imported. Without its results file a job cannot be rolled back any more, so it asks first.",
  examples: [
    ["vecfill clean --dry-run", "what would be deleted, and what it frees"],
    ["vecfill clean --keep-results", "keep what a rollback needs"],
    ["vecfill clean --yes", "ask no questions"],
  ],
} as const;

export const cleanCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "deletes files that are no longer needed",
    (args) => describeCommand(args, "clean", PAGE),
    (argv) =>
      start("clean", argv, async (context) => {
        const { showClean } = await import("./show.ts");
        return showClean(context);
      }),
  );
