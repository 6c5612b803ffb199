/** Variables from `.env.local` and `.env`, or from the file named by `--env-file`. */
import { resolve } from "node:path";
import { parseEnv } from "node:util";
import { UserError } from "../errors.ts";
import { readSmallFile } from "./small-file.ts";

/** The first one that sets a variable wins. */
const USUAL_FILES = [".env.local", ".env"];
const BYTES_MAX = 1_000_000;

type Variable = Readonly<{
  value: string;
  /** The file that set it, as it was named; undefined for the real environment. */
  file: string | undefined;
}>;

/** All variables by name. The values may be secrets: never print them. */
export type Environment = ReadonlyMap<string, Variable>;

/** A variable's value; undefined also when it is set to nothing. */
export function valueOf(environment: Environment, name: string): string | undefined {
  const value = environment.get(name)?.value.trim();
  return value === "" ? undefined : value;
}

/** The name of a variable and where it stands, for messages. */
export function placeOf(environment: Environment, name: string): string {
  const file = environment.get(name)?.file;
  return file === undefined ? name : `${name} in ${file}`;
}

export function realEnvironment(env: NodeJS.ProcessEnv): Environment {
  const set = Object.entries(env).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, { value, file: undefined }] as const],
  );
  return new Map(set);
}

/**
 * The environment with what the files add to it; what is set already stays. `named`: the file
 * asked for, which then has to be there; the usual ones are read if there.
 */
export async function withEnvFiles(
  environment: Environment,
  folder: string,
  named: string | undefined,
): Promise<Environment> {
  const all = new Map(environment);
  for (const file of named === undefined ? USUAL_FILES : [named]) {
    const content = await readIfThere(resolve(folder, file), file, named !== undefined);
    for (const [name, value] of Object.entries(parseEnv(content))) {
      if (value !== undefined && !all.has(name)) all.set(name, { value, file });
    }
  }
  return all;
}

async function readIfThere(path: string, file: string, wanted: boolean): Promise<string> {
  const content = await readSmallFile(path, BYTES_MAX).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" && !wanted) return "";
    throw new UserError(`The env file ${file} cannot be read: ${error.message}.`, {
      hint: "Name another with --env-file, or make it readable.",
      exit: "usage",
      cause: error,
    });
  });
  if (content !== undefined) return content;
  throw new UserError(`The env file ${file} is over ${BYTES_MAX} bytes; it cannot be one.`, {
    hint: "Name the right one with --env-file.",
    exit: "usage",
  });
}
