/** `--log-file`: what is told, a line each with its time, for whoever looks the next morning. */
import { appendFileSync } from "node:fs";
import type { Clock } from "../clock.ts";
import { usageError } from "../errors.ts";

export type Log = (text: string) => void;

/** At the end of the file, which is made if need be. Throws a UserError (usage) where it cannot be written. */
export function openLogFile(path: string, clock: Clock, onBroken: Log): Log {
  let isBroken = false;
  const append = (lines: readonly string[]) =>
    appendFileSync(path, lines.map((line) => `${stamp(clock)} ${line}\n`).join(""), {
      mode: 0o600,
    });
  try {
    append([]);
  } catch (error) {
    throw usageError(`The log file cannot be written: ${why(error)}.`, "Name another --log-file.");
  }
  return (text) => {
    if (isBroken) return;
    try {
      append(text.split("\n"));
    } catch (error) {
      isBroken = true;
      onBroken(`The log file ends here, it cannot be written any more: ${why(error)}.`);
    }
  };
}

/** `2026-11-22T10:00:00Z`. */
export function stamp(clock: Clock): string {
  return clock
    .now()
    .toISOString()
    .replace(/\.\d+Z$/, "Z");
}

function why(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
