import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "report",
  about:
    "Writes one HTML page on the state of the column, the jobs, their cost and their failures. It needs no network, works from disk, and changes nothing. Ids of failed rows are on it, texts are not.",
  examples: [
    ["vecfill report", "report.html in the jobs folder"],
    ["vecfill report --report-file /tmp/vectors.html", "somewhere else"],
  ],
} as const;

export const reportCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "writes one HTML page on the column, the jobs and the cost",
    (args) => describeCommand(args, "report", PAGE),
    (argv) =>
      start("report", argv, async (context) => {
        const { showReport } = await import("./show.ts");
        return showReport(context);
      }),
  );
