/**
 * What must never be printed. A Secret does not turn into text by accident, and the redactor is
 * the second line: everything the program prints goes through it.
 */
import { hash } from "node:crypto";
import { inspect } from "node:util";

const REDACTED = "[secret]";

export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself, for the one call that has to send it. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}

export type Redact = (text: string) => string;

/** Shorter ones would be found inside ordinary words. */
const SECRET_CHARS_MIN = 4;
/** What local databases and the emulator are set up with: no secrets, and in every other message. */
const KNOWN_TO_ALL = ["postgres", "password", "supabase", "anything"];

/**
 * Of nobody's in particular, such as an address typed where a table's name belongs: a password in a
 * URL, and what Google's and Supabase's keys look like.
 */
const LOOKS_SECRET = /(?<=:\/\/[^\s:@/]*:)[^\s@/"',]+(?=@)|\bAIza[\w-]{30,}|\bsb_secret_\w+/g;

/**
 * Replaces every secret, also as it looks inside a URL, inside JSON or in base64, and whatever else
 * looks like one.
 */
export function redactor(secrets: readonly Secret[]): Redact {
  const forms = new Set(secrets.flatMap((secret) => formsOf(secret.reveal())));
  // the longest first: a URL is replaced whole before the password in it
  const ordered = [...forms].sort((a, b) => b.length - a.length);
  return (text) =>
    ordered
      .reduce((rest, form) => rest.replaceAll(form, REDACTED), text)
      .replaceAll(LOOKS_SECRET, (found) => (KNOWN_TO_ALL.includes(found) ? found : REDACTED));
}

/** The secrets in a URL: the whole of it, and its password by itself. None without a password. */
export function secretsOfUrl(url: string): Secret[] {
  const login = /^[a-z][a-z\d+.-]*:\/\/(?<user>[^:@/?#]*):(?<password>.+)@/i.exec(url)?.groups;
  const parameter = /[?&]password=(?<password>[^&#]+)/i.exec(url)?.groups;
  const { user = "", password } = login ?? {};
  const found = [
    ...(password === undefined ? [] : [url, `:${password}@`]),
    ...(password === undefined || password === user ? [] : [password]),
    ...(parameter?.["password"] === undefined ? [] : [url, parameter["password"]]),
  ];
  return found.map((value) => new Secret(value));
}

function formsOf(value: string): string[] {
  const plain = decoded(value);
  return [value, plain, encodeURIComponent(plain), encodeURI(plain)]
    .flatMap((form) => [form, JSON.stringify(form).slice(1, -1)])
    .concat(base64FormsOf(plain))
    .filter((form) => form.length >= SECRET_CHARS_MIN && !KNOWN_TO_ALL.includes(form));
}

/** Without the padding, which may be left out. */
function base64FormsOf(value: string): string[] {
  const bytes = Buffer.from(value);
  return [bytes.toString("base64url"), bytes.toString("base64").replace(/=+$/, "")];
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value; // a stray percent sign: it was never encoded
  }
}

/**
 * Tells keys apart without telling the key: only the key that made a batch is sure to see it. The
 * same key at another address, such as the emulator's, sees other batches, so it is another one.
 */
export function keyIdOf(apiKey: Secret, baseUrl?: string): string {
  const address = baseUrl === undefined ? "" : `\n${new URL(baseUrl).origin}`;
  return hash("sha256", apiKey.reveal() + address).slice(0, KEY_ID_DIGITS);
}

const KEY_ID_DIGITS = 12;
