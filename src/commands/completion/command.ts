import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "completion [shell]",
  about:
    "Prints a script that completes commands, options, their choices, job ids and failed files. Without a shell named, the one that SHELL names.",
  examples: [
    ["source <(vecfill completion bash)", "in ~/.bashrc"],
    ["source <(vecfill completion zsh)", "in ~/.zshrc, after compinit"],
  ],
} as const;

export const completionCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "prints shell completion",
    (args) =>
      describeCommand(args, "completion", PAGE).positional("shell", {
        type: "string",
        describe: "bash or zsh",
      }),
    (argv) =>
      start("completion", argv, async (context) => {
        const { showCompletion } = await import("./show.ts");
        return showCompletion(context, argv.shell);
      }),
  );
