import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "rollback <job..>",
  about:
    "Sets back to NULL exactly the vectors that these jobs wrote and nobody has changed since: each row is compared with the vector in the job's results file. The next export takes these rows again, and they are paid for again.",
  examples: [
    ["vecfill rollback 0003 --dry-run", "how many rows that would be"],
    ["vecfill rollback 0003 0004", "take back what two jobs wrote"],
  ],
} as const;

export const rollbackCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "takes back what jobs wrote",
    (args) =>
      describeCommand(args, "rollback", PAGE).positional("job", {
        type: "string",
        array: true,
        demandOption: true,
        describe: "a job's id, such as 0003",
      }),
    (argv) =>
      start("rollback", argv, async (context) => {
        const { showRollback } = await import("./show.ts");
        return showRollback(context, argv.job);
      }),
  );
