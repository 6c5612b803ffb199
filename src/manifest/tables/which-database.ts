/**
 * Which database this is. A clone, a restored backup and a standby that has taken over are other ones than that from which they
 * come: the manifest in them is a copy, of which one alone may go on. A restart changes nothing of it.
 */
import { errorCode } from "../../disk/presence.ts";
import type { Tables } from "./tables.ts";

/** What initdb gave the server, the database's own number there, and the branch of the server's log that it writes. */
const PARTS = [
  "SELECT system_identifier::text AS part FROM pg_catalog.pg_control_system()",
  "SELECT oid::text AS part FROM pg_catalog.pg_database WHERE datname = current_database()",
  // the control file tells it a checkpoint later
  "SELECT left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) AS part",
];
const BETWEEN = "/";

/** Insufficient privilege, no such function, not to be had there, not while it only follows another. */
const NOT_TOLD = ["42501", "42883", "0A000", "55000"];

/** Parts that this role or service is not told are empty. */
export async function whichDatabase(tables: Tables): Promise<string> {
  const parts: string[] = [];
  for (const sql of PARTS) parts.push(await askedPart(tables, sql));
  return parts.join(BETWEEN);
}

async function askedPart(tables: Tables, sql: string): Promise<string> {
  try {
    const [row] = await tables.query(sql);
    return row?.["part"] ?? "";
  } catch (error) {
    if (NOT_TOLD.includes(errorCode(error))) return "";
    throw error;
  }
}

/** As far as both tell. */
export function isSameDatabase(a: string, b: string): boolean {
  const others = b.split(BETWEEN);
  return a.split(BETWEEN).every((part, place) => {
    const other = others[place] ?? "";
    return part === "" || other === "" || part === other;
  });
}

/** In words; undefined where it tells all. */
export function untoldText(database: string): string | undefined {
  const untold = database
    .split(BETWEEN)
    .flatMap((part, place) => (part === "" ? [UNTOLD[place]] : []));
  if (untold.length === 0) return undefined;
  return `This database does not say which it is: ${untold.join(", and ")} is not told from it, and would go on with the same manifest. Pause it before you make one: \`vecfill manifest pause\`.`;
}

const UNTOLD = ["a copy on another server", "a copy beside it", "a standby that has taken over"];
