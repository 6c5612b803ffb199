import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "init",
  about:
    "Writes vecfill.config.json for this target and, for a Supabase project, a migration with the SQL functions that make its API safe and fast to fill a column through. With DATABASE_URL set it needs no functions. Running it again changes nothing.",
  examples: [
    ["vecfill init", "config file, and a migration where SUPABASE_URL is set"],
    ["vecfill init --trigger", "also a trigger: a row whose text changes loses its vector"],
    ["vecfill init --apply", "also run the migration on DATABASE_URL"],
    ["vecfill init --remove", "a migration that takes functions and trigger out"],
  ],
} as const;

export const initCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "writes a config file, and SQL functions for Supabase",
    (args) => describeCommand(args, "init", PAGE),
    (argv) =>
      start("init", argv, async (context) => {
        const { showInit } = await import("./show.ts");
        return showInit(context);
      }),
  );
