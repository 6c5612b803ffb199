/** What keys and addresses have in common: which may be sent where, and what people mean. */
import { isIPv4 } from "node:net";
import { usageError } from "../../errors.ts";
import { type Environment, isFound, placeOf, valueOf } from "./env-file.ts";

/** What others call the variables that vecfill reads. */
const NAMES_ELSEWHERE = {
  GEMINI_API_KEY: "GEMINI_KEY GOOGLE_GEMINI_API_KEY GOOGLE_GENERATIVE_AI_API_KEY GOOGLE_AI_API_KEY",
  DATABASE_URL:
    "DB_URL DATABASE_URI DIRECT_URL POSTGRES_URL_NON_POOLING POSTGRES_PRISMA_URL POSTGRESQL_URL",
  SUPABASE_URL: "VITE_SUPABASE_URL PUBLIC_SUPABASE_URL EXPO_PUBLIC_SUPABASE_URL",
  SUPABASE_SERVICE_ROLE_KEY: "SUPABASE_SERVICE_KEY SUPABASE_KEY SUPABASE_SECRET",
} as const;

/** As in addresses that are copied from a web page and not filled in. */
export const PLACEHOLDER =
  /[[<][^\]>]*(?:your|password|project|region|key)[^\]>]*[\]>]|your[-_ ]?(?:api[-_ ]?key|password)/i;

/**
 * Throws a UserError where the address stands in a file that vecfill found by itself, and the secret is
 * of somebody more trusted: whoever wrote the file would get it.
 */
export function refuseLeak(
  environment: Environment,
  { secret, address }: Readonly<{ secret: string; address: string }>,
): void {
  if (!isFound(environment, address) || isFound(environment, secret)) return;
  const file = environment.variables.get(address)?.file;
  const own = placeOf(environment, secret);
  throw usageError(
    `${own}${own === secret ? " of the environment" : ""} is not sent to the address of ${placeOf(environment, address)}: vecfill found that file by itself, and it may be somebody else's.`,
    `If the address is yours, name the file: --env-file ${file}. Or set ${address} in the environment.`,
  );
}

/** A question, where the variable is set under another name. */
export function meant(
  environment: Environment,
  ...variables: (keyof typeof NAMES_ELSEWHERE)[]
): string {
  for (const variable of variables) {
    const found = NAMES_ELSEWHERE[variable]
      .split(" ")
      .find((name) => isSet(valueOf(environment, name)));
    if (found !== undefined)
      return `${placeOf(environment, found)} is set: did you mean ${variable}?`;
  }
  return "";
}

export function joined(...sentences: readonly string[]): string {
  return sentences.filter((sentence) => sentence !== "").join(" ");
}

function inTheClear(address: string): boolean {
  const url = URL.parse(address);
  return url?.protocol === "http:" && !isLocal(url.hostname);
}

function isLocal(host: string): boolean {
  if (isIPv4(host)) return host.startsWith("127.");
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]";
}

export function clearTextWarnings(address: string | undefined, place: string): string[] {
  if (address === undefined || !inTheClear(address)) return [];
  return [
    `${place} is a plain http address on another machine: the key travels there in the clear.`,
  ];
}

export function isSet(value: string | undefined): value is string {
  return value !== undefined;
}
