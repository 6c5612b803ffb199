/** What the address of a database tells before it is used: the way there, TLS, poolers, IPv6. */
import { lookup } from "node:dns/promises";
import type { StoreAccess } from "../access.ts";
import { type Check, ok, warning } from "./check.ts";

const TRANSACTION_POOLER_PORT = "6543";

export async function checkAddress(access: StoreAccess): Promise<Check[]> {
  if (access.kind === "supabase") {
    const { urlVariable, keyVariable, warnings } = access;
    return [
      ok(
        "way",
        `Supabase's API: ${urlVariable} with ${keyVariable}, since no database's own address is set`,
      ),
      ...warnings.map((message) => warning("TLS", message, "Use the https:// address.")),
    ];
  }
  const { variable } = access;
  const url = URL.parse(access.url.reveal());
  if (url === null || !url.protocol.startsWith("postgres")) {
    return [ok("way", `the embedded database that ${variable} names`)];
  }
  const way = ok("way", `Postgres itself, since ${variable} names it`);
  return [way, ...checkTls(url), ...checkPooler(url), ...(await checkDirectHost(url))];
}

function checkTls(url: URL): Check[] {
  const mode = url.searchParams.get("sslmode");
  if (isLocal(url.hostname)) return [];
  if (mode === "disable") {
    return [
      warning(
        "TLS",
        "switched off by sslmode=disable: password and data travel in the clear",
        "Take sslmode=disable out of the address.",
      ),
    ];
  }
  return [ok("TLS", `on${mode === null ? "" : ` (sslmode=${mode})`}`)];
}

function isLocal(host: string): boolean {
  return host === "" || /^(localhost|127(\.\d+){3}|\[::1\])$/i.test(host);
}

function checkPooler({ hostname, port }: URL): Check[] {
  if (port === TRANSACTION_POOLER_PORT) {
    return [ok("pooler", "transaction mode: vecfill keeps nothing between two statements")];
  }
  return hostname.endsWith(".pooler.supabase.com") ? [ok("pooler", "session mode")] : [];
}

/** Direct hosts of Supabase have an IPv6 address only, unless the project pays for another. */
async function checkDirectHost({ hostname }: URL): Promise<Check[]> {
  if (!/^db\.[a-z0-9]+\.supabase\.co$/.test(hostname)) return [];
  const v4 = await lookup(hostname, { family: 4 }).catch(() => undefined);
  if (v4 !== undefined) return [ok("direct host", `${hostname} has an IPv4 address`)];
  return [
    warning(
      "direct host",
      `${hostname} has an IPv6 address only: from a network without IPv6 it cannot be reached`,
      "Use the session pooler's address, which has IPv4 (dashboard: Connect, Session pooler).",
    ),
  ];
}
