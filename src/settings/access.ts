/** Keys and addresses. They come from the environment only: a secret is never a flag. */
import {
  type Environment,
  filesRead,
  isFound,
  placeOf,
  preferred,
  valueOf,
} from "./environment/env-file.ts";
import { UserError, usageError } from "../errors.ts";
import { type JsonObject, LineError, parseJsonObject } from "../row/json-value.ts";
import {
  clearTextWarnings,
  isSet,
  joined,
  meant,
  PLACEHOLDER,
  refuseLeak,
} from "./environment/access-checks.ts";
import {
  BASE_URL_VARIABLE,
  GEMINI_KEY_VARIABLES,
  geminiVariables,
  isKeyOfProject,
  keysIn,
} from "./environment/gemini-access.ts";
import { type Redact, Secret, secretsOfUrl } from "./environment/secret.ts";

export type DatabaseAccess = Readonly<{
  url: Secret;
  /** The variable that names it, for messages. */
  variable: string;
  /** Whether a password that it does not hold itself may be sent there: PGPASSWORD or `.pgpass`. */
  takesPasswords: boolean;
}>;

type SupabaseAccess = Readonly<{
  /** The project's address, without a path. */
  url: string;
  key: Secret;
  /** The variables that name them, for messages. */
  urlVariable: string;
  keyVariable: string;
  warnings: readonly string[];
}>;

/** A database's own address comes before a project's: that way is the faster one. */
export type StoreAccess =
  | (Readonly<{ kind: "postgres" }> & DatabaseAccess)
  | (Readonly<{ kind: "supabase" }> & SupabaseAccess);

const DATABASE_VARIABLES = ["DATABASE_URL", "SUPABASE_DB_URL", "POSTGRES_URL"];
const SUPABASE_VARIABLES = ["SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_URL"];
const SUPABASE_KEY_VARIABLES = ["SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY"];
const PASSWORD_VARIABLE = "PGPASSWORD";
const KEY_VARIABLES = [...GEMINI_KEY_VARIABLES, ...SUPABASE_KEY_VARIABLES, PASSWORD_VARIABLE];
export const PROXY_VARIABLES = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/** Throws a UserError when no database is named, or its address or key cannot work. */
export function storeAccess(environment: Environment): StoreAccess {
  const named = preferred(environment, [...DATABASE_VARIABLES, ...SUPABASE_VARIABLES]);
  const isProject = named !== undefined && SUPABASE_VARIABLES.includes(named);
  const database = isProject ? undefined : databaseAccess(environment);
  if (database !== undefined) return { kind: "postgres", ...database };
  const supabase = supabaseAccess(environment);
  if (supabase !== undefined) return { kind: "supabase", ...supabase };
  throw noDatabase(environment);
}

/** What rests on a key or an address; undefined where that is not set, or cannot be used. */
export async function ifNamed<T>(open: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof UserError && error.exit === "usage") return undefined;
    throw error;
  }
}

/** A database's own address. Throws a UserError when it cannot be one; undefined: none is set. */
function databaseAccess(environment: Environment): DatabaseAccess | undefined {
  const variable = preferred(environment, DATABASE_VARIABLES);
  const url = variable === undefined ? undefined : valueOf(environment, variable);
  if (variable === undefined || url === undefined) return undefined;
  checkDatabaseUrl(placeOf(environment, variable), url);
  const holdsNone = secretsOfUrl(url).length === 0 && /^postgres/i.test(url);
  if (holdsNone && isSet(valueOf(environment, PASSWORD_VARIABLE)))
    refuseLeak(environment, { secret: PASSWORD_VARIABLE, address: variable });
  return {
    url: new Secret(url),
    variable: placeOf(environment, variable),
    takesPasswords: !isFound(environment, variable),
  };
}

/** The same, where nothing else will do. Throws a UserError (usage) when none is set. */
export function requireDatabase(environment: Environment): DatabaseAccess {
  const access = databaseAccess(environment);
  if (access !== undefined) return access;
  throw usageError(
    `This needs the database's own address: none of ${DATABASE_VARIABLES.join(", ")} is set.`,
    joined(meant(environment, "DATABASE_URL"), DATABASE_HINT, filesRead(environment)),
  );
}

/** Somebody works with a Supabase project, whichever way vecfill goes to it. */
export function namesSupabase(environment: Environment): boolean {
  return SUPABASE_VARIABLES.some((name) => isSet(valueOf(environment, name)));
}

/** Everything in the environment that must not be printed. */
export function secretsIn(environment: Environment): Secret[] {
  const named = geminiVariables(environment).filter(isKeyOfProject);
  const keys = [...KEY_VARIABLES, ...named].flatMap((name) => keysIn(environment, name));
  const urls = [...DATABASE_VARIABLES, BASE_URL_VARIABLE, ...PROXY_VARIABLES].map((name) =>
    valueOf(environment, name),
  );
  return [...keys.map((key) => new Secret(key)), ...urls.filter(isSet).flatMap(secretsOfUrl)];
}

const DATABASE_HINT =
  "Set DATABASE_URL=postgresql://user:password@host:5432/database (in Supabase: Connect, Session pooler), or DATABASE_URL=pglite:<folder> for an embedded one.";

const ENCODE =
  "Write it percent-encoded: @ as %40, / as %2F, # as %23, ? as %3F, % as %25, a space as %20.";

function checkDatabaseUrl(place: string, url: string): void {
  if (PLACEHOLDER.test(url)) {
    throw usageError(
      `${place} still holds a placeholder: it was copied and not filled in.`,
      DATABASE_HINT,
    );
  }
  if (/^https?:/i.test(url)) {
    throw usageError(
      `${place} is a web address; a database address begins with postgresql://.`,
      DATABASE_HINT,
    );
  }
  if (!/^(?:postgres(?:ql)?:\/\/.|pglite:.)/i.test(url)) {
    throw usageError(`${place} is no address of a Postgres database.`, DATABASE_HINT);
  }
  // read as an address, it would have the rest of the password as its host, and show it
  const login = /^postgres(?:ql)?:\/\/(?<login>[^?]*)@/i.exec(url)?.groups?.["login"];
  if (login !== undefined && /[@/#\s]/.test(login)) {
    throw usageError(
      `${place} has a password (or user) with a sign that cannot stand in a URL.`,
      ENCODE,
    );
  }
}

function noDatabase(environment: Environment): UserError {
  return usageError(
    `No database is named: none of ${DATABASE_VARIABLES.join(", ")} is set, nor SUPABASE_URL.`,
    joined(
      meant(environment, "DATABASE_URL", "SUPABASE_URL"),
      DATABASE_HINT,
      "Or set SUPABASE_URL and SUPABASE_SECRET_KEY.",
      filesRead(environment),
    ),
  );
}

const SUPABASE_URL_HINT =
  "Set SUPABASE_URL=https://<project ref>.supabase.co, as the dashboard shows it (Project Settings, Data API).";
const SUPABASE_KEY_HINT =
  "Set SUPABASE_SECRET_KEY to the project's secret key, sb_secret_…, or SUPABASE_SERVICE_ROLE_KEY to the legacy service_role key (dashboard: Project Settings, API Keys). It belongs in .env.local and never in a browser.";

/** Undefined when no project is named. Throws a UserError for an address or a key that cannot work. */
function supabaseAccess(environment: Environment): SupabaseAccess | undefined {
  const urlVariable = preferred(environment, SUPABASE_VARIABLES);
  if (urlVariable === undefined) return undefined;
  const place = placeOf(environment, urlVariable);
  const url = projectUrl(place, valueOf(environment, urlVariable) ?? "");
  const keyVariable = preferred(environment, SUPABASE_KEY_VARIABLES);
  if (keyVariable === undefined) {
    const names = SUPABASE_KEY_VARIABLES.join(" nor ");
    const asked = meant(environment, "SUPABASE_SERVICE_ROLE_KEY");
    const hint = joined(asked, SUPABASE_KEY_HINT, filesRead(environment));
    throw usageError(`${place} is set, but neither ${names}.`, hint);
  }
  refuseLeak(environment, { secret: keyVariable, address: urlVariable });
  const key = valueOf(environment, keyVariable) ?? "";
  checkSupabaseKey(placeOf(environment, keyVariable), key);
  return {
    url,
    key: new Secret(key),
    urlVariable: place,
    keyVariable: placeOf(environment, keyVariable),
    warnings: clearTextWarnings(url, place),
  };
}

function projectUrl(place: string, address: string): string {
  if (/^postgres(ql)?:/i.test(address)) {
    throw usageError(`${place} is a database's own address.`, "Put it into DATABASE_URL instead.");
  }
  if (PLACEHOLDER.test(address))
    throw usageError(`${place} still holds a placeholder.`, SUPABASE_URL_HINT);
  const url = URL.parse(address);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw usageError(`${place} is no http or https address.`, SUPABASE_URL_HINT);
  }
  if (/(^|\.)supabase\.com$/.test(url.hostname)) {
    throw usageError(
      `${place} is an address of the dashboard, not of a project.`,
      SUPABASE_URL_HINT,
    );
  }
  if (!/^(\/rest(\/v1)?)?\/?$/.test(url.pathname)) {
    throw usageError(`${place} has a path, ${url.pathname}.`, SUPABASE_URL_HINT);
  }
  return url.origin;
}

/** By its form; what a key can do is seen when it is used. */
function checkSupabaseKey(place: string, key: string): void {
  if (PLACEHOLDER.test(key))
    throw usageError(`${place} still holds a placeholder.`, SUPABASE_KEY_HINT);
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw usageError(`${place} holds a space or a sign no key has.`, SUPABASE_KEY_HINT);
  }
  if (key.startsWith("sb_publishable_")) {
    throw usageError(
      `${place} is a publishable key, which may not fill a table.`,
      SUPABASE_KEY_HINT,
    );
  }
  const payload = jwtPayload(key);
  const role = payload?.["role"];
  if (payload === undefined || role === "service_role") return;
  // PostgREST takes a token without a role for the anonymous one
  const named = typeof role === "string" ? role : "anon";
  throw usageError(
    `${place} is a key of the role ${named}, which may not fill a table.`,
    SUPABASE_KEY_HINT,
  );
}

/** Of a legacy key, which is a JWT; undefined for any other. The server checks the signature. */
function jwtPayload(key: string): JsonObject | undefined {
  const payload = /^[\w-]+\.(?<payload>[\w-]+)\.[\w-]+$/.exec(key)?.groups?.["payload"];
  if (payload === undefined) return undefined;
  try {
    return parseJsonObject(Buffer.from(payload, "base64url"));
  } catch (error) {
    if (error instanceof LineError) return undefined;
    throw error;
  }
}

/** The variables that are read beside those of options, and where each is set. */
export function accessVariables(environment: Environment) {
  const addresses = [BASE_URL_VARIABLE, ...DATABASE_VARIABLES, ...SUPABASE_VARIABLES];
  const named = geminiVariables(environment).filter(isKeyOfProject);
  return [...KEY_VARIABLES, ...named, ...addresses].map((name) => {
    const isThere = isSet(valueOf(environment, name));
    return { name, place: isThere ? placeOf(environment, name) : undefined };
  });
}

/** A key, or an address that may hold a password. */
export function isSecretVariable(name: string): boolean {
  return [...KEY_VARIABLES, ...DATABASE_VARIABLES].includes(name) || isKeyOfProject(name);
}

/** For a program that is not ours: without keys, addresses of databases, and whatever holds one. */
export function withoutSecrets(env: NodeJS.ProcessEnv, redact: Redact): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(
    ([name, value = ""]) => !isSecretVariable(name) && redact(value) === value,
  );
  return Object.fromEntries(kept);
}
