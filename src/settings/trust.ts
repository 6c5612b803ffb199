/**
 * A file that vecfill finds by itself is data, not trust: it came with whatever folder somebody stands
 * in. What runs a command, or writes outside of the jobs folder, is not taken from it.
 */
import { realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import type { Configuration, GivenOrigin, Origin } from "./config.ts";
import { ifThere } from "../disk/presence.ts";
import { UserError, usageError } from "../errors.ts";
import type { CommandName, Option } from "./option.ts";
import { OPTIONS, OPTION_LIST, variableOf } from "./options.ts";

/** `folder`: the one in which files are found. Throws a UserError (usage) that names option and file. */
export async function requireTrusted(
  command: CommandName,
  { settings, origins }: Pick<Configuration, "settings" | "origins">,
  folder: string,
): Promise<void> {
  for (const [name, option] of OPTION_LIST) {
    const origin = origins[name];
    if (option.power === undefined || !option.commands.includes(command)) continue;
    if (!isFound(origin)) continue;
    // a jobs folder that such a file puts elsewhere is no bound by itself
    const bounds = isFound(origins.jobsDir) ? [settings.jobsDir, folder] : [settings.jobsDir];
    const path = String(settings[name]);
    if (option.power === "runs" || !(await isWithin(bounds, path)))
      throw notFollowed(option, origin);
  }
}

function isFound(origin: Origin): origin is GivenOrigin {
  return origin.source !== "default" && origin.isFound;
}

async function isWithin(folders: readonly string[], path: string): Promise<boolean> {
  const real = await realPath(path);
  const ways = await Promise.all(
    folders.map(async (folder) => relative(await realPath(folder), real)),
  );
  return ways.every((way) => !isAbsolute(way) && way.split(sep)[0] !== "..");
}

/** Where a path leads through links, also when its end is not there yet. */
async function realPath(path: string): Promise<string> {
  const absolute = resolve(path);
  const real = await ifThere(realpath(absolute));
  return real ?? join(await realPath(dirname(absolute)), basename(absolute));
}

function notFollowed({ flag }: Option<unknown>, origin: GivenOrigin): UserError {
  const naming = (origin.source === "file" ? OPTIONS.config : OPTIONS.envFile).flag;
  const file = origin.name.split(" in ").at(-1);
  return usageError(
    `${origin.name} is not followed: a file that vecfill finds by itself may not run a command or write outside of the jobs folder.`,
    `If it is yours, name the file: --${naming} ${file}. Or give --${flag}, or set ${variableOf(flag)} in the environment.`,
  );
}
