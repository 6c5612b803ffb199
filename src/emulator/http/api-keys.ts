/** Who may call, and for which project. */
import { ServiceError } from "./service-error.ts";

const DEFAULT_PROJECT = "project";
const WRONG_KEY = /^wrong-key$|invalid/i;
const BAD_KEY = "API key not valid. Please pass a valid API key.";

/** The project of the key. Throws as the service answers a call without a key, or with a bad one. */
export function projectOf(
  key: string | undefined,
  keys: Readonly<Record<string, string>> | undefined,
): string {
  if (key === undefined || key === "") throw unregistered();
  if (keys !== undefined) {
    const project = Object.hasOwn(keys, key) ? keys[key] : undefined;
    if (project === undefined) throw badKey();
    return project;
  }
  if (WRONG_KEY.test(key)) throw badKey();
  return DEFAULT_PROJECT;
}

function unregistered(): ServiceError {
  return new ServiceError(
    "PERMISSION_DENIED",
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
  );
}

function badKey(): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", BAD_KEY, [
    {
      "@type": "type.googleapis.com/google.rpc.ErrorInfo",
      reason: "API_KEY_INVALID",
      domain: "googleapis.com",
      metadata: { service: "generativelanguage.googleapis.com" },
    },
    {
      "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
      locale: "en-US",
      message: BAD_KEY,
    },
  ]);
}
