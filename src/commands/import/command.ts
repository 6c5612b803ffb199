import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "import [job..]",
  about:
    "Downloads the results of ended jobs and writes the vectors into the column, each only if its row still has the text that was embedded and no vector.",
  examples: [
    ["vecfill import", "every ended job"],
    ["vecfill import --dry-run", "which ones that would be"],
    ["vecfill import --again", "after the database was restored from a backup"],
    [
      "vecfill import --again --refetch 0003",
      "its results as Gemini has them, for six weeks and at no cost",
    ],
  ],
} as const;

export const importCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "writes the results of ended jobs into the column",
    (args) =>
      describeCommand(args, "import", PAGE).positional("job", {
        type: "string",
        array: true,
        default: [],
        describe: "write these jobs' results again, such as 0003's; else as --again",
      }),
    (argv) =>
      start("import", argv, async (context) => {
        const { showImport } = await import("./show.ts");
        return showImport(context, argv.job);
      }),
  );
