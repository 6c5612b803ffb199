/**
 * Which database it is, whichever way leads there: part of the names of batches, so that two jobs folders that
 * fill one table see each other. A Supabase project is told by its ref, which the addresses of its API, its
 * database and its pooler have in common; any other by what initdb gave the server, and the database's name.
 */
import { cell, type Database } from "../database.ts";
import { failureCode } from "../failure.ts";

/** Undefined where the address is of no project. */
export function projectRef(address: string): string | undefined {
  if (!URL.canParse(address)) return undefined;
  const { hostname, username } = new URL(address);
  const ofHost = /^(?:db\.)?(?<ref>[a-z0-9]{20})\.supabase\.(?:co|in|net)$/.exec(hostname);
  const isPooler = hostname.endsWith(".pooler.supabase.com");
  const ofUser = isPooler ? /\.(?<ref>[a-z0-9]{20})$/.exec(username) : null;
  return (ofHost ?? ofUser)?.groups?.["ref"];
}

const INSUFFICIENT_PRIVILEGE = "42501";
const UNDEFINED_FUNCTION = "42883";

/** Where the server does not say which it is, by its address. */
export async function databasePlace(database: Database, address: string): Promise<string> {
  const ref = projectRef(address);
  if (ref !== undefined) return ref;
  try {
    const [row] = await database.query(PLACE_SQL);
    if (row !== undefined) return `${cell(row, "server")}/${cell(row, "name")}`;
  } catch (error) {
    const code = failureCode(error);
    if (code !== INSUFFICIENT_PRIVILEGE && code !== UNDEFINED_FUNCTION) throw error;
  }
  return database.label;
}

const PLACE_SQL = `SELECT current_database()::text AS name, system_identifier::text AS server
  FROM pg_catalog.pg_control_system()`;
