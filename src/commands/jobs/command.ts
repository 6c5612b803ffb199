import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "jobs [job]",
  about: "Lists the manifest; with a job, everything about it, with its history.",
  examples: [
    ["vecfill jobs", "every job and its state"],
    ["vecfill jobs 0003", "everything about one job"],
    ["vecfill jobs --state failed,expired", "only some of them"],
    ["vecfill jobs --watch", "stay until all have ended"],
    ["vecfill jobs --format csv > jobs.csv", "for a spreadsheet"],
  ],
} as const;

export const jobsCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "lists the jobs, or shows one",
    (args) =>
      describeCommand(args, "jobs", PAGE).positional("job", {
        type: "string",
        describe: "a job's id, such as 0003",
      }),
    (argv) =>
      start("jobs", argv, async (context) => {
        const { showJobs } = await import("./show.ts");
        return showJobs(context, argv.job);
      }),
  );
