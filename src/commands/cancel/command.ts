import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "cancel <job..>",
  about:
    "Cancels the batches of these jobs at Gemini; what they have embedded so far is lost. `vecfill poll` then sees them end, and their rows can be resubmitted. A job that was not submitted yet is given up, and its rows are exported again. One that is being embedded at once ends with what it has: that is imported, and the other rows can be resubmitted.",
  examples: [
    ["vecfill cancel 0003", "one job"],
    ["vecfill cancel 0003 0004 --dry-run", "what would be cancelled"],
  ],
} as const;

export const cancelCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "cancels the batches of jobs at Gemini",
    (args) =>
      describeCommand(args, "cancel", PAGE).positional("job", {
        type: "string",
        array: true,
        demandOption: true,
        describe: "a job's id, such as 0003",
      }),
    (argv) =>
      start("cancel", argv, async (context) => {
        const { showCancel } = await import("./show.ts");
        return showCancel(context, argv.job);
      }),
  );
