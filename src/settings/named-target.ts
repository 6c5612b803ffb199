/** Which of the config file's targets are meant. */
import { nearest, usageError, type UserError } from "../errors.ts";
import { columnName } from "../row/target.ts";
import { ALL_TARGETS, TARGET_NAME } from "./config-file.ts";
import type { CommandName } from "./option.ts";
import { OPTIONS, type Settings } from "./options.ts";

type Asked = Readonly<{
  /** The name that was given. */
  asked: string | undefined;
  /** A flag that names a table: that is a target by itself. */
  naming: string | undefined;
  /** A table stands beside the target's own: that is what is meant where none is named. */
  isBeside: boolean;
  /** Undefined: any may follow. */
  command: CommandName | undefined;
  file: string;
}>;

/** Undefined stands for what is set beside them. */
export function namedTargets(
  names: readonly string[],
  { asked, naming, isBeside, command, file }: Asked,
): readonly (string | undefined)[] {
  const isTaken = command === undefined || OPTIONS.target.commands.includes(command);
  const only = names.length === 1 && !isBeside ? names[0] : undefined;
  if (!isTaken) return [only];
  if (asked === ALL_TARGETS && names.length > 0 && command !== "init") return names;
  if (asked !== undefined) {
    const isNew = command === "init" && TARGET_NAME.test(asked) && asked !== ALL_TARGETS;
    if (isNew || names.includes(asked)) return [asked];
    throw noTarget(asked, names, file);
  }
  if (naming !== undefined) return [undefined];
  if (names.length < 2) return [only];
  if (command === "config") return [undefined];
  // of `resubmit`, only lines that name no job need one; `status` costs nothing
  if (command === "resubmit" || command === "status") return names;
  throw usageError(
    `${file} has ${names.length} targets: ${names.join(", ")}.`,
    command === "init"
      ? "Name one of them with --target, or a new one, which is added."
      : `Give one with --target, as in --target ${names[0]}, or --target ${ALL_TARGETS}.`,
  );
}

function noTarget(name: string, names: readonly string[], file: string): UserError {
  const near = nearest(name, names);
  const there = names.length === 0 ? "it has none" : `it has ${names.join(", ")}`;
  return usageError(
    `${file} has no target ${name}: ${there}.`,
    near === undefined
      ? "`vecfill init --target <name>` writes one."
      : `Did you mean --target ${near}?`,
  );
}

/** Rows of two targets with one column would be paid for twice. */
export function requireColumns(targets: readonly Settings[]): void {
  const names = new Map<string, string | undefined>();
  for (const { target, embedding, ...rest } of targets) {
    const column = columnName({ ...rest, embedding });
    if (names.has(column)) {
      throw usageError(
        `The targets ${names.get(column)} and ${target} fill the same column, ${column}.`,
        "Give one of them another --embedding, or run them one by one.",
      );
    }
    names.set(column, target);
  }
}
