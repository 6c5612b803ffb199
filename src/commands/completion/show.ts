import { basename } from "node:path";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { valueOf } from "../../settings/env-file.ts";
import { UserError, usageError } from "../../errors.ts";
import { bashCompletion } from "./bash.ts";
import { completedCommands } from "./words.ts";
import { zshCompletion } from "./zsh.ts";

const SHELLS = { bash: bashCompletion, zsh: zshCompletion };

/** Throws a UserError for a shell that there is no script for. */
export function showCompletion(
  { environment }: CommandContext,
  [named]: readonly string[],
): CommandResult {
  const shell = named ?? basename(valueOf(environment, "SHELL") ?? "");
  if (shell !== "bash" && shell !== "zsh") throw unknownShell(named, shell);
  const script = SHELLS[shell](completedCommands());
  return { json: { shell, script }, text: script.trimEnd() };
}

function unknownShell(named: string | undefined, shell: string): UserError {
  const what =
    named === undefined && shell === ""
      ? "No shell is named, and SHELL is not set."
      : `There is no completion for ${shell}.`;
  return usageError(
    what,
    "`vecfill completion bash` prints it for bash, `vecfill completion zsh` for zsh.",
  );
}
