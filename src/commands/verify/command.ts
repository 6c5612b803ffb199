import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "verify",
  about:
    "Reads the whole column and says what is in it: rows without a vector, vectors of a wrong width, not of unit length, not finite, the same under different texts; and whether the manifest's sums and files are as recorded. With --sample, embeds some rows again and compares. Writes nothing but the list of what is off.",
  examples: [
    ["vecfill verify", "the column, the sums and the files"],
    ["vecfill verify --sample 50", "also embed 50 rows again, at full price, and compare"],
    ["vecfill verify --json", "for a script; exit code 1 when something is off"],
  ],
} as const;

export const verifyCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "checks the column, the sums and the files",
    (args) => describeCommand(args, "verify", PAGE),
    (argv) =>
      start("verify", argv, async (context) => {
        const { showVerify } = await import("./show.ts");
        return showVerify(context);
      }),
  );
