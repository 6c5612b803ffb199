/** What the address of a database tells before it is used: the way there, TLS, poolers, IPv6. */
import { lookup } from "node:dns/promises";
import type { StoreAccess } from "../../settings/access.ts";
import type { AddressedHost } from "../../store/port.ts";
import { type Check, ok, warning } from "./check.ts";

const TRANSACTION_POOLER_PORT = "6543";

export async function checkAddress(
  access: StoreAccess,
  addressed: (url: URL) => Promise<AddressedHost>,
): Promise<Check[]> {
  if (access.kind === "supabase") {
    const { urlVariable, keyVariable, warnings } = access;
    return [
      ok(
        "connection",
        `Supabase's API: ${urlVariable} with ${keyVariable}, since no database's own address is set`,
      ),
      ...warnings.map((message) => warning("TLS", message, "Use the https:// address.")),
    ];
  }
  const { variable } = access;
  if (!access.url.reveal().startsWith("postgres")) {
    return [ok("connection", `the embedded database that ${variable} names`)];
  }
  const connection = ok("connection", `Postgres itself, since ${variable} names it`);
  const url = URL.parse(access.url.reveal());
  // whoever connects says what is wrong with it
  if (url === null) return [connection];
  const named = await addressed(url);
  return [
    connection,
    ...checkTls(url, named),
    ...checkPooler(named),
    ...(await checkDirectHost(named)),
  ];
}

function checkTls(url: URL, { isLocal }: AddressedHost): Check[] {
  const mode = url.searchParams.get("sslmode");
  if (isLocal) return [];
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

function checkPooler({ host, port }: AddressedHost): Check[] {
  if (port === TRANSACTION_POOLER_PORT) {
    return [ok("pooler", "transaction mode: vecfill keeps nothing between two statements")];
  }
  return host.endsWith(".pooler.supabase.com") ? [ok("pooler", "session mode")] : [];
}

/** Direct hosts of Supabase have an IPv6 address only, unless the project pays for another. */
async function checkDirectHost({ host: hostname }: AddressedHost): Promise<Check[]> {
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
