/** The config file: the target's settings are set in it, and all else stays as it is. */
import { readFile } from "node:fs/promises";
import { ifThere } from "../../disk/presence.ts";
import { isJsonObject } from "../../row/json-value.ts";
import type { Target } from "../../row/target.ts";

/** What the file should hold; undefined when it holds that already. */
export async function draftConfigFile(path: string, target: Target): Promise<string | undefined> {
  const content = await ifThere(readFile(path, "utf8"));
  const now: unknown = JSON.parse(content ?? "{}");
  if (!isJsonObject(now))
    throw new Error("the config file was checked before, and holds no object");
  const next: Record<string, unknown> = { ...now };
  for (const [key, value] of Object.entries(target)) next[keyIn(now, key)] = value;
  return JSON.stringify(next) === JSON.stringify(now)
    ? undefined
    : `${JSON.stringify(next, undefined, 2)}\n`;
}

/** A key may stand with dashes. */
function keyIn(file: Readonly<Record<string, unknown>>, key: string): string {
  const dashed = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return Object.hasOwn(file, dashed) ? dashed : key;
}
