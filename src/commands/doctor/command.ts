import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "doctor",
  about:
    "Checks the key and the model, the way to the database, the table, its columns, indexes, triggers and SQL functions, and the jobs folder. Spends and writes nothing, except with --live. Exit code 3 when something is broken; a warning is no failure.",
  examples: [
    ["vecfill doctor", "what is well, what is not, and how to mend it"],
    ["vecfill doctor --json", "the same for a script"],
    ["vecfill doctor --live", "also what Gemini really does, for less than a cent"],
  ],
} as const;

export const doctorCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "checks keys, database, table and folder, and says how to mend each",
    (args) => describeCommand(args, "doctor", PAGE),
    (argv) =>
      start("doctor", argv, async (context) => {
        const { showDoctor } = await import("./show.ts");
        return showDoctor(context);
      }),
  );
