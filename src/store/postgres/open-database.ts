/** Which database an address names. Adapters are loaded only when their scheme is asked for. */
import { usageError } from "../../errors.ts";
import type { Target } from "../../row/target.ts";
import type { Database } from "../database.ts";
import type { Store } from "../port.ts";
import type { ConnectionOptions } from "./postgres.ts";
import { createSqlStore, type SqlStoreOptions } from "./sql-store.ts";

const EMBEDDED = "pglite:";
const IN_MEMORY = "memory";

type DatabaseAddress = Readonly<{ url: string }> & ConnectionOptions;

/**
 * `postgres://…` connects on first use; `pglite:<folder>` and `pglite:memory` open at once.
 * Throws a UserError (usage) when the address is none of these, (locked) when the folder is in use.
 */
export async function openStore(
  address: DatabaseAddress,
  target: Target,
  options: SqlStoreOptions,
): Promise<Store> {
  return createSqlStore(await openDatabase(address), target, options);
}

/** The same, for statements of one's own. */
export async function openDatabase({ url, ...options }: DatabaseAddress): Promise<Database> {
  if (url.startsWith(EMBEDDED)) return openEmbedded(url.slice(EMBEDDED.length));
  if (/^https?:/.test(url)) {
    throw usageError(
      "The database's address is a web address.",
      "Set DATABASE_URL to postgres://…; a project's https:// address belongs in SUPABASE_URL.",
    );
  }
  const { connectPostgres } = await import("./postgres.ts");
  return connectPostgres(url, options);
}

async function openEmbedded(folder: string): Promise<Database> {
  if (folder === "") {
    throw usageError(
      "The address pglite: names no folder.",
      "Write pglite:<folder>, or pglite:memory for a database in memory.",
    );
  }
  const { openPglite } = await import("./pglite.ts");
  return openPglite(folder === IN_MEMORY ? undefined : folder);
}
