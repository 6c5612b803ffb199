/** Keys and addresses. They come from the environment only: a secret is never a flag. */
import { createHash } from "node:crypto";
import { isIPv4 } from "node:net";
import { type Environment, placeOf, valueOf } from "./env-file.ts";
import { UserError } from "./errors.ts";
import { Secret, secretsOfUrl } from "./secret.ts";

export type GeminiAccess = Readonly<{
  apiKey: Secret;
  /** Undefined: the service's own address. */
  baseUrl: string | undefined;
  warnings: readonly string[];
}>;

export type DatabaseAccess = Readonly<{
  url: Secret;
  /** The variable that names it, for messages. */
  variable: string;
}>;

const DATABASE_VARIABLES = ["DATABASE_URL", "SUPABASE_DB_URL", "POSTGRES_URL"];
const SUPABASE_VARIABLES = ["SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_URL"];
const KEY_VARIABLES = [
  "GEMINI_API_KEY",
  "GOOGLE_API_KEY",
  "SUPABASE_SECRET_KEY",
  "SUPABASE_SERVICE_ROLE_KEY",
  "PGPASSWORD",
];
const BASE_URL_VARIABLE = "GOOGLE_GEMINI_BASE_URL";

/** As in addresses that are copied from a web page and not filled in. */
const PLACEHOLDER =
  /[[<][^\]>]*(?:your|password|project|region|key)[^\]>]*[\]>]|your[-_ ]?(?:api[-_ ]?key|password)/i;

/** Throws a UserError when the key is not set, set twice, or the address is none. */
export function geminiAccess(environment: Environment): GeminiAccess {
  const baseUrl = valueOf(environment, BASE_URL_VARIABLE);
  if (baseUrl !== undefined) checkBaseUrl(environment, baseUrl);
  return {
    apiKey: geminiKey(environment),
    baseUrl,
    warnings: baseUrl !== undefined && inTheClear(baseUrl) ? [clearTextWarning(environment)] : [],
  };
}

/**
 * Tells keys apart without telling the key: only the key that made a batch is sure to see it. The
 * same key at another address, such as the emulator's, sees other batches, so it is another one.
 */
export function keyIdOf(apiKey: Secret, baseUrl?: string): string {
  const address = baseUrl === undefined ? "" : `\n${new URL(baseUrl).origin}`;
  const hash = createHash("sha256").update(apiKey.reveal() + address);
  return hash.digest("hex").slice(0, KEY_ID_DIGITS);
}

const KEY_ID_DIGITS = 12;

/** Throws a UserError when no database is named, or its address cannot be one. */
export function databaseAccess(environment: Environment): DatabaseAccess {
  const variable = DATABASE_VARIABLES.find((name) => valueOf(environment, name) !== undefined);
  const url = variable === undefined ? undefined : valueOf(environment, variable);
  if (variable === undefined || url === undefined) throw noDatabase(environment);
  checkDatabaseUrl(placeOf(environment, variable), url);
  return { url: new Secret(url), variable: placeOf(environment, variable) };
}

/** Everything in the environment that must not be printed. */
export function secretsIn(environment: Environment): Secret[] {
  const keys = KEY_VARIABLES.map((name) => valueOf(environment, name)).filter(isSet);
  const urls = [...DATABASE_VARIABLES, BASE_URL_VARIABLE].map((name) => valueOf(environment, name));
  return [...keys.map((key) => new Secret(key)), ...urls.filter(isSet).flatMap(secretsOfUrl)];
}

function geminiKey(environment: Environment): Secret {
  const own = valueOf(environment, "GEMINI_API_KEY");
  const google = valueOf(environment, "GOOGLE_API_KEY");
  if (own !== undefined && google !== undefined && own !== google) throw twoKeys(environment);
  const key = own ?? google;
  if (key === undefined) throw noKey();
  const place = placeOf(environment, own === undefined ? "GOOGLE_API_KEY" : "GEMINI_API_KEY");
  if (PLACEHOLDER.test(key)) throw usage(`${place} still holds a placeholder.`, KEY_HINT);
  // a header cannot carry anything else, and its error message would quote the key
  if (!/^[\x21-\x7e]+$/.test(key))
    throw usage(`${place} holds a space or a sign no key has.`, KEY_HINT);
  return new Secret(key);
}

const KEY_HINT = "Make a key at https://aistudio.google.com/apikey and set GEMINI_API_KEY to it.";

function noKey(): UserError {
  return usage("No Gemini key is set: neither GEMINI_API_KEY nor GOOGLE_API_KEY.", KEY_HINT);
}

function twoKeys(environment: Environment): UserError {
  const [own, google] = ["GEMINI_API_KEY", "GOOGLE_API_KEY"].map((name) =>
    placeOf(environment, name),
  );
  return usage(
    `${own} and ${google} are both set and differ. Batches belong to the project of one key, so vecfill does not choose.`,
    "Unset one of the two: `unset GOOGLE_API_KEY`.",
  );
}

function checkBaseUrl(environment: Environment, address: string): void {
  const place = placeOf(environment, BASE_URL_VARIABLE);
  const protocol = URL.parse(address)?.protocol;
  if (protocol === "http:" || protocol === "https:") return;
  throw usage(
    `${place} is no http or https address.`,
    `Set it to one such as http://127.0.0.1:8787, or unset it to use Gemini itself.`,
  );
}

function inTheClear(address: string): boolean {
  const url = URL.parse(address);
  return url?.protocol === "http:" && !isLocal(url.hostname);
}

function isLocal(host: string): boolean {
  if (isIPv4(host)) return host.startsWith("127.");
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]";
}

function clearTextWarning(environment: Environment): string {
  const place = placeOf(environment, BASE_URL_VARIABLE);
  return `${place} is a plain http address on another machine: the key travels there in the clear.`;
}

const DATABASE_HINT =
  "Set DATABASE_URL=postgresql://user:password@host:5432/database (in Supabase: Connect, Session pooler), or DATABASE_URL=pglite:<folder> for an embedded one.";

const ENCODE =
  "Write it percent-encoded: @ as %40, / as %2F, # as %23, ? as %3F, % as %25, a space as %20.";

function checkDatabaseUrl(place: string, url: string): void {
  if (PLACEHOLDER.test(url)) {
    throw usage(
      `${place} still holds a placeholder: it was copied and not filled in.`,
      DATABASE_HINT,
    );
  }
  if (/^https?:/i.test(url)) {
    throw usage(
      `${place} is a web address; a database address begins with postgresql://.`,
      DATABASE_HINT,
    );
  }
  if (!/^(?:postgres(?:ql)?:\/\/.|pglite:.)/i.test(url)) {
    throw usage(`${place} is no address of a Postgres database.`, DATABASE_HINT);
  }
  // read as an address, it would have the rest of the password as its host, and show it
  const login = /^postgres(?:ql)?:\/\/(?<login>[^?]*)@/i.exec(url)?.groups?.["login"];
  if (login !== undefined && /[@/#\s]/.test(login)) {
    throw usage(
      `${place} has a password (or user) with a sign that cannot stand in a URL.`,
      ENCODE,
    );
  }
}

function noDatabase(environment: Environment): UserError {
  const supabase = SUPABASE_VARIABLES.find((name) => valueOf(environment, name) !== undefined);
  if (supabase === undefined) {
    return usage(
      `No database is named: none of ${DATABASE_VARIABLES.join(", ")} is set.`,
      DATABASE_HINT,
    );
  }
  return usage(
    `${placeOf(environment, supabase)} is set, but this version of vecfill needs the database's own address.`,
    DATABASE_HINT,
  );
}

function usage(message: string, hint: string): UserError {
  return new UserError(message, { hint, exit: "usage" });
}

function isSet(value: string | undefined): value is string {
  return value !== undefined;
}
