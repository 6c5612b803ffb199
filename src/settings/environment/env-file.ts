/**
 * Variables from `.env.local` and `.env`, or from the file named by `--env-file`, and how far each is
 * trusted. A file that vecfill finds by itself may be somebody else's: it came with a cloned repository.
 */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { parseEnv } from "node:util";
import { UserError } from "../../errors.ts";
import { readIfThere } from "./small-file.ts";

/** The first one that sets a variable wins. */
const USUAL_FILES = [".env.local", ".env"];
const READABLE_BY_OTHERS = 0o044;

/**
 * Who vouches for a value, the most trusted first: whoever typed the flag, set the variable, or named
 * the file; nobody, where vecfill found the file by itself.
 */
const SOURCES = ["flag", "environment", "named", "found"] as const;
type Source = (typeof SOURCES)[number];

type Variable = Readonly<{
  value: string;
  source: Source;
  /** The file that set it, as it was named; undefined for the real environment. */
  file: string | undefined;
}>;

/** `variables`: the names it sets; undefined where there is no such file. */
type EnvFile = Readonly<{
  file: string;
  variables: readonly string[] | undefined;
  readableByOthers: boolean;
}>;

/** All variables by name, and the files that were looked for. The values may be secrets: never print them. */
export type Environment = Readonly<{
  variables: ReadonlyMap<string, Variable>;
  files: readonly EnvFile[];
}>;

/** A variable's value; undefined also when it is set to nothing. */
export function valueOf({ variables }: Environment, name: string): string | undefined {
  const value = variables.get(name)?.value.trim();
  return value === "" ? undefined : value;
}

/** The name of a variable and where it stands, for messages. */
export function placeOf({ variables }: Environment, name: string): string {
  const file = variables.get(name)?.file;
  return file === undefined ? name : `${name} in ${file}`;
}

/** Of the names that are set the most trusted one, the first of several; undefined: none is set. */
export function preferred(environment: Environment, names: readonly string[]): string | undefined {
  const set = names.filter((name) => valueOf(environment, name) !== undefined);
  return set.toSorted((a, b) => rankOf(environment, a) - rankOf(environment, b))[0];
}

/** Lower is more trusted. */
export function rankOf({ variables }: Environment, name: string): number {
  return SOURCES.indexOf(variables.get(name)?.source ?? "found");
}

/** True for a variable that stands in a file which nobody named. */
export function isFound({ variables }: Environment, name: string): boolean {
  return variables.get(name)?.source === "found";
}

/** Which env files were read, and the names that they set, as a sentence for who misses a variable. */
export function filesRead({ files }: Environment): string {
  if (files.length === 0) return "";
  const told = files.map(({ file, variables }) => {
    if (variables === undefined) return `${file} (not there)`;
    return variables.length === 0
      ? `${file} (sets nothing)`
      : `${file} (sets ${variables.join(", ")})`;
  });
  return `Looked at: the environment, ${told.join(", ")}.`;
}

export function realEnvironment(env: NodeJS.ProcessEnv): Environment {
  const set = Object.entries(env).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, { value, source: "environment", file: undefined }] as const],
  );
  return { variables: new Map(set), files: [] };
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
  const variables = new Map(environment.variables);
  const files: EnvFile[] = [];
  const source = named === undefined ? "found" : "named";
  for (const file of named === undefined ? USUAL_FILES : [named]) {
    const path = resolve(folder, file);
    const content = await readIfThere(path, {
      isWanted: named !== undefined,
      refuse: (what, cause) => wrong(file, what, cause),
    });
    const own = Object.entries(parseEnv(content ?? ""));
    files.push({
      file,
      variables: content === undefined ? undefined : own.map(([name]) => name),
      readableByOthers: content !== undefined && (await isReadableByOthers(path)),
    });
    for (const [name, value] of own) {
      if (value !== undefined && !variables.has(name)) variables.set(name, { value, source, file });
    }
  }
  return { variables, files };
}

/** Of Windows, where modes say nothing, false. */
async function isReadableByOthers(path: string): Promise<boolean> {
  if (process.platform === "win32") return false;
  const { mode } = await stat(path);
  return (mode & READABLE_BY_OTHERS) !== 0;
}

function wrong(file: string, what: string, cause: unknown): UserError {
  return new UserError(`The env file ${file} ${what}.`, {
    hint: "Name another with --env-file, or make it one that can be read.",
    exit: "usage",
    cause,
  });
}
