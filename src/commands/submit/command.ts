import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "submit",
  about:
    "Uploads each exported job's file and starts its batch. A job whose last submission is uncertain is looked for at Gemini first. With --lane sync the jobs are embedded here and now, at full price, and can be imported when this ends.",
  examples: [
    ["vecfill submit", "as many jobs as may be queued"],
    ["vecfill submit --dry-run", "which ones that would be"],
    ["vecfill submit --lane sync", "embed them at once instead; goes on where it stopped"],
  ],
} as const;

export const submitCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "uploads the exported jobs and starts their batches",
    (args) => describeCommand(args, "submit", PAGE),
    (argv) =>
      start("submit", argv, async (context) => {
        const { showSubmit } = await import("./show.ts");
        return showSubmit(context);
      }),
  );
