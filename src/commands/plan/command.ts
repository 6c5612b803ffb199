import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "plan",
  about:
    "What `run` would do: rows, tokens, jobs, cost in batch and interactive price, size on disk, time by quota. With a key, Gemini counts the tokens of a sample, which costs nothing. Spends and writes nothing; all of it are estimates.",
  examples: [
    ["vecfill plan", "what the whole column would cost, and how long it would take"],
    ["vecfill plan --limit 10000 --tier 2", "of ten thousand rows, on another tier"],
    ["vecfill plan --json", "the same for a script"],
  ],
} as const;

export const planCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "what run would do, cost and take; spends nothing",
    (args) => describeCommand(args, "plan", PAGE),
    (argv) =>
      start("plan", argv, async (context) => {
        const { showPlan } = await import("./show.ts");
        return showPlan(context);
      }),
  );
