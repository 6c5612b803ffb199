import type { RegisterCommand } from "../../cli/command.ts";
import { describeCommand } from "../../cli/help.ts";

const PAGE = {
  usage: "emulator",
  about:
    "Serves a local Gemini Batch and Files API until Ctrl-C: for trying out, tests and rehearsals, at no cost. Its vectors depend on the exact text, and near texts have near vectors, but they mean nothing.",
  examples: [
    ["vecfill emulator", "as the service is, on a quiet day"],
    ["vecfill emulator --faults shuffle,retryable=0.01", "on another day"],
    ["vecfill emulator --folder .emulator --tier 1", "keeping its state, with a quota"],
  ],
} as const;

export const emulatorCommand: RegisterCommand = (cli, start) =>
  cli.command(
    PAGE.usage,
    "serves a local Gemini for trying out, tests and rehearsals",
    async (args) => {
      const { EMULATOR_OPTIONS, emulatorEpilogue } = await import("../../emulator/port.ts");
      for (const { name, describe, choices, default: value } of EMULATOR_OPTIONS) {
        const words = [
          ...(choices ?? []),
          ...(value === undefined || value === "" ? [] : [`default: ${value}`]),
        ];
        const more = words.length === 0 ? "" : ` (${words.join(", ")})`;
        args.option(name, { describe: describe + more, group: "Emulator:", requiresArg: true });
      }
      return describeCommand(args, "emulator", PAGE).epilog(emulatorEpilogue());
    },
    (argv) =>
      start(
        "emulator",
        argv,
        async ({ output, signal }) => {
          const { readFlags, serveEmulator } = await import("../../emulator/port.ts");
          const summary = await serveEmulator(readFlags(argv), output.result, signal);
          return { json: summary, text: summary.text, next: undefined, exit: "done" };
        },
        { serves: true },
      ),
  );
