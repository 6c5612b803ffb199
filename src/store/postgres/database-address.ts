/** What the address of a Postgres server says of the way there, read as `pg` reads it. */

import type { AddressedHost } from "../port.ts";

const DEFAULT_HOST = "localhost";
const DEFAULT_PORT = "5432";

export function addressedHost(url: URL): AddressedHost {
  const host = hostOf(url);
  return { host, port: portOf(url), isLocal: isLocalHost(host) };
}

/** `?host=` comes before the host; `pg` itself asks PGHOST where there is neither. */
export function hostOf(url: URL): string {
  const named = url.searchParams.get("host") || decodeURIComponent(url.hostname);
  return named || process.env["PGHOST"] || DEFAULT_HOST;
}

export function portOf(url: URL): string {
  return url.searchParams.get("port") || url.port || process.env["PGPORT"] || DEFAULT_PORT;
}

/** This machine, or a socket in its file system: nothing travels. */
export function isLocalHost(host: string): boolean {
  return host.startsWith("/") || /^(localhost|127(\.\d+){3}|\[?::1\]?)$/i.test(host);
}
