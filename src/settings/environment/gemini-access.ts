/** The keys of Gemini, and the projects that they are of. */
import { type UserError, usageError } from "../../errors.ts";
import { DEFAULT_PROJECT, keyVariable, projectOfVariable } from "../../row/project.ts";
import {
  clearTextWarnings,
  isSet,
  joined,
  meant,
  PLACEHOLDER,
  refuseLeak,
} from "./access-checks.ts";
import { type Environment, filesRead, placeOf, preferred, rankOf, valueOf } from "./env-file.ts";
import { Secret } from "./secret.ts";

export type GeminiAccess = Readonly<{
  project: string;
  apiKey: Secret;
  /** Undefined: the service's own address. */
  baseUrl: string | undefined;
  warnings: readonly string[];
}>;

export const GEMINI_KEY_VARIABLES = ["GEMINI_API_KEY", "GOOGLE_API_KEY"];
export const BASE_URL_VARIABLE = "GOOGLE_GEMINI_BASE_URL";

/** False where no key is set at all; one that cannot be used is told by `geminiKeys`. */
export function hasGeminiKey(environment: Environment): boolean {
  return geminiVariables(environment).length > 0;
}

/** Those that are set of the variables that hold keys. */
export function geminiVariables(environment: Environment): readonly string[] {
  const named = [...environment.variables.keys()].filter(isKeyOfProject).toSorted();
  return [...GEMINI_KEY_VARIABLES, ...named].filter((name) => isSet(valueOf(environment, name)));
}

export function isKeyOfProject(name: string): boolean {
  return projectOfVariable(name) !== undefined;
}

/**
 * A project's keys together, the one without a name first; `asked`: of these projects alone, with commas between. Keys that are less trusted than others are
 * left out: rows would go where their owner sees them. Throws a UserError when no key is set, one is set twice, or the address is none.
 */
export function geminiKeys(
  environment: Environment,
  asked?: string,
): readonly [GeminiAccess, ...GeminiAccess[]] {
  // the version of the API is vecfill's to say
  const baseUrl = valueOf(environment, BASE_URL_VARIABLE)?.replace(/\/v1(?:beta|alpha)?\/?$/, "");
  if (baseUrl !== undefined) checkBaseUrl(environment, baseUrl);
  const warnings = clearTextWarnings(baseUrl, placeOf(environment, BASE_URL_VARIABLE));
  const all = keyVariables(environment).flatMap((variable) => {
    if (baseUrl !== undefined)
      refuseLeak(environment, { secret: variable, address: BASE_URL_VARIABLE });
    const project = projectOfVariable(variable) ?? DEFAULT_PROJECT;
    const keys = geminiKeysIn(environment, variable);
    return keys.map((apiKey) => ({ project, apiKey, baseUrl, warnings }));
  });
  const there = new Set(all.map(({ project }) => project));
  const projects = asked?.toLowerCase().split(/\s*,\s*/) ?? [...there];
  for (const project of projects)
    if (!there.has(project)) throw noKeyOf(environment, project, [...there]);
  const [first, ...others] = all.filter(({ project }) => projects.includes(project));
  if (first === undefined) throw noKey(environment);
  return [first, ...others];
}

/** Of those that are equally trusted. */
function keyVariables(environment: Environment): readonly string[] {
  const all = geminiVariables(environment);
  const best = preferred(environment, all);
  if (best === undefined) throw noKey(environment);
  const trusted = all.filter((name) => rankOf(environment, name) === rankOf(environment, best));
  const named = trusted.filter(isKeyOfProject);
  return named.length < trusted.length ? [geminiKeyVariable(environment), ...named] : named;
}

function noKeyOf(environment: Environment, project: string, there: readonly string[]): UserError {
  const isItsKey = (name: string) => projectOfVariable(name) === project;
  const leftOut = geminiVariables(environment).find(isItsKey);
  if (leftOut !== undefined)
    return usageError(
      `${placeOf(environment, leftOut)} is left out: it was found by itself, beside keys that were not.`,
      "Set it where the others are, or name its file with --env-file.",
    );
  return usageError(
    `No key of the project ${project} is set here.`,
    `Set ${keyVariable(project)}, or choose of those whose keys are set: --projects ${there.join(",")}.`,
  );
}

/** Of two that differ and are equally trusted neither can be chosen. */
function geminiKeyVariable(environment: Environment): string {
  const variable = preferred(environment, GEMINI_KEY_VARIABLES);
  if (variable === undefined) throw noKey(environment);
  const rank = rankOf(environment, variable);
  const equals = GEMINI_KEY_VARIABLES.filter((name) => rankOf(environment, name) === rank);
  const values = new Set(equals.map((name) => valueOf(environment, name)).filter(isSet));
  if (values.size > 1) throw twoKeys(environment);
  return variable;
}

/** Of a project there may be several. */
function geminiKeysIn(environment: Environment, variable: string): readonly Secret[] {
  const place = placeOf(environment, variable);
  return keysIn(environment, variable).map((key) => {
    if (PLACEHOLDER.test(key)) throw usageError(`${place} still holds a placeholder.`, KEY_HINT);
    // a header cannot carry anything else, and its error message would quote the key
    if (!/^[\x21-\x7e]+$/.test(key))
      throw usageError(`${place} holds a space or a sign no key has.`, KEY_HINT);
    return new Secret(key);
  });
}

export function keysIn(environment: Environment, variable: string): readonly string[] {
  const value = valueOf(environment, variable) ?? "";
  const values = isKeyOfProject(variable) ? value.split(",").map((each) => each.trim()) : [value];
  return values.filter((each) => each !== "");
}

const KEY_HINT = "Make a key at https://aistudio.google.com/apikey and set GEMINI_API_KEY to it.";

function noKey(environment: Environment): UserError {
  return usageError(
    "No Gemini key is set: neither GEMINI_API_KEY nor GOOGLE_API_KEY.",
    joined(meant(environment, "GEMINI_API_KEY"), KEY_HINT, filesRead(environment)),
  );
}

function twoKeys(environment: Environment): UserError {
  const [own, google] = ["GEMINI_API_KEY", "GOOGLE_API_KEY"].map((name) =>
    placeOf(environment, name),
  );
  return usageError(
    `${own} and ${google} are both set and differ. Batches belong to the project of one key, so vecfill does not choose.`,
    "Unset one of the two: `unset GOOGLE_API_KEY`.",
  );
}

function checkBaseUrl(environment: Environment, address: string): void {
  const place = placeOf(environment, BASE_URL_VARIABLE);
  const protocol = URL.parse(address)?.protocol;
  if (protocol === "http:" || protocol === "https:") return;
  throw usageError(
    `${place} is no http or https address.`,
    `Set it to one such as http://127.0.0.1:8787, or unset it to use Gemini itself.`,
  );
}
