import { type Environment, valueOf } from "../settings/environment/env-file.ts";

/** Undefined where Google itself is asked. Only the start of the address: the rest may be a secret. */
export function geminiElsewhere(environment: Environment): string | undefined {
  const url = URL.parse(valueOf(environment, "GOOGLE_GEMINI_BASE_URL") ?? "");
  if (url === null || url.hostname.endsWith(".googleapis.com")) return undefined;
  return `Gemini is asked at ${url.origin} (GOOGLE_GEMINI_BASE_URL), not at Google's address.`;
}
