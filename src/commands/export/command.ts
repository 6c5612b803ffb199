import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "export",
  about:
    "Selects rows whose embedding is NULL into request files, one job each. Rows that are on their way or wait in a failed file are left out.",
  examples: [
    ["vecfill export", "every row whose embedding is NULL"],
    ["vecfill export --limit 1000", "a first thousand"],
    ["vecfill export --text '{question_text} {options}'", "a text made of several columns"],
  ],
} as const;

export const exportCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "selects rows without an embedding into request files",
    (args) => describeCommand(args, "export", PAGE),
    (argv) =>
      start("export", argv, async (context) => {
        const { showExport } = await import("./show.ts");
        return showExport(context);
      }),
  );
