import { usageError } from "../../errors.ts";
import { GeminiError } from "../port.ts";

/** SDK 3 would speak `v1`, which rejects some of what it sends; everything recorded is v1beta. */
export const API_VERSION = "v1beta";
export const BASE_URL = "https://generativelanguage.googleapis.com";

/** Where the service's things are found, under an address that may be a gateway's or the emulator's. */
export type Address = Readonly<{
  /** Without path, query and credentials, for messages. */
  origin: string;
  /** As the SDK wants it. */
  base: string;
  /** Under the API version, as `batches/x`. */
  of(path: string): URL;
  /** The same, as the documentation has it for downloads. */
  download(path: string): URL;
  uploads(): URL;
  /**
   * An upload session, whose address the service chose. It is reached through our own base address
   * whatever its host says: the key goes nowhere else, and a gateway stays in between.
   */
  uploadSession(url: string): URL;
}>;

export function createAddress(baseUrl: string, apiVersion: string): Address {
  const baseAt = parseBase(baseUrl);
  const base = `${baseAt.origin}${baseAt.pathname.replace(/\/+$/, "")}`;
  return {
    origin: baseAt.origin,
    base,
    of: (path) => new URL(`${base}/${apiVersion}/${path}`),
    download: (path) => new URL(`${base}/download/${apiVersion}/${path}`),
    uploads: () => new URL(`${base}/upload/${apiVersion}/files`),
    uploadSession: (url) => atBase(baseAt, base, url),
  };
}

/** Throws `refused` for a name that is none, before it becomes part of an address. */
export function checkName(collection: "batches" | "files", name: string): string {
  const [folder, id, ...rest] = name.split("/");
  if (folder === collection && rest.length === 0 && /^[\w-]+$/.test(id ?? "")) return name;
  throw new GeminiError("refused", `"${name}" is no name in ${collection}/…`);
}

function parseBase(baseUrl: string): URL {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  const usable = url !== undefined && /^https?:$/.test(url.protocol);
  if (usable && url.username === "" && url.password === "" && url.search === "") return url;
  throw usageError(
    "The address of the Gemini API is not a plain http or https address.",
    "Set GOOGLE_GEMINI_BASE_URL to one such as http://localhost:8080, or unset it.",
  );
}

function atBase(baseAt: URL, base: string, session: string): URL {
  const url = new URL(session, baseAt);
  if (url.origin === baseAt.origin) return url;
  return new URL(`${base}${url.pathname}${url.search}`);
}
