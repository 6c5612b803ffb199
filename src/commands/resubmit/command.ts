import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "resubmit [file..]",
  about:
    "Makes new jobs from failed lines, as they are or edited by hand: every line given is taken, whatever its class. Without a file: every failed file not yet resubmitted.",
  examples: [
    ["vecfill resubmit", "all failed lines"],
    ["vecfill resubmit jobs/0003.failed.jsonl", "those of one job"],
    ["vecfill resubmit mended.jsonl", "lines copied elsewhere and edited"],
  ],
} as const;

export const resubmitCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "makes new jobs from failed lines",
    (args) =>
      describeCommand(args, "resubmit", PAGE).positional("file", {
        type: "string",
        array: true,
        describe: "a file of failed lines",
      }),
    (argv) =>
      start("resubmit", argv, async (context) => {
        const { showResubmit } = await import("./show.ts");
        return showResubmit(context, argv.file ?? []);
      }),
  );
