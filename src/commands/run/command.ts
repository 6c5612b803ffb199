import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "run",
  about:
    "Exports, submits, polls and imports as one pipeline, several jobs at once, until nothing is left to do. Rows that failed and may succeed are sent again.",
  examples: [
    ["vecfill run", "fill the column"],
    ["vecfill run --limit 1000", "a first thousand rows"],
    ["vecfill run --timeout 3600", "stop waiting after an hour; run again to go on"],
  ],
} as const;

export const runCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "all four stages as one pipeline",
    (args) => describeCommand(args, "run", PAGE),
    (argv) =>
      start("run", argv, async (context) => {
        const { showRun } = await import("./show.ts");
        return showRun(context);
      }),
  );
