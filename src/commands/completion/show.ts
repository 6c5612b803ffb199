import { basename } from "node:path";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { valueOf } from "../../settings/environment/env-file.ts";
import { UserError, usageError } from "../../errors.ts";
import { bashCompletion } from "./bash.ts";
import { fishCompletion } from "./fish.ts";
import { completedCommands, SHELL_NAMES } from "./words.ts";
import { zshCompletion } from "./zsh.ts";

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

type Commands = Parameters<typeof completedCommands>[0];

/** Undefined for a shell that there is none for. */
export function completionScript(shell: string, commands: Commands): string | undefined {
  const known = SHELL_NAMES.find((name) => name === shell);
  return known && SHELLS[known](completedCommands(commands)).trimEnd();
}

/** Throws a UserError for a shell that there is no script for. */
export function showCompletion(
  { environment }: CommandContext,
  [named]: readonly string[],
  commands: Commands,
): CommandResult {
  const asked = named ?? basename(valueOf(environment, "SHELL") ?? "");
  const script = completionScript(asked, commands);
  if (script === undefined) throw unknownShell(named, asked);
  return { json: { shell: asked, script: `${script}\n` }, text: script };
}

function unknownShell(named: string | undefined, shell: string): UserError {
  const what =
    named === undefined && shell === ""
      ? "No shell is named, and SHELL is not set."
      : `There is no completion for ${shell}.`;
  return usageError(
    what,
    `There is one for ${SHELL_NAMES.join(", ")}: \`vecfill completion bash\` prints it.`,
  );
}
