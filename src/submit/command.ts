import type { RegisterCommand } from "../command.ts";
import { describeCommand } from "../help.ts";

const PAGE = {
  usage: "submit",
  about:
    "Uploads each exported job's file and starts its batch. A job whose last submission is uncertain is looked for at Gemini first.",
  examples: [
    ["vecfill submit", "as many jobs as may be queued"],
    ["vecfill submit --dry-run", "which ones that would be"],
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
