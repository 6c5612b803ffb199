import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "poll",
  about: "Waits until every submitted job has ended.",
  examples: [
    ["vecfill poll", "wait as long as it takes"],
    ["vecfill poll --once", "look once and leave"],
    ["vecfill poll --timeout 3600", "wait for an hour at most"],
  ],
} as const;

export const pollCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "waits until the submitted jobs have ended",
    (args) => describeCommand(args, "poll", PAGE),
    (argv) =>
      start("poll", argv, async (context) => {
        const { showPoll } = await import("./show.ts");
        return showPoll(context);
      }),
  );
