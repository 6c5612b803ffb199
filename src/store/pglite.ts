/**
 * The embedded database: Postgres in WebAssembly, in this process. The only importer of PGlite.
 * It takes binary parameters, although its types say text: 25,000 vectors a second against 1,100.
 */
import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { UserError } from "../errors.ts";
import { isBinary, type Database, type Parameter, type Row } from "./database.ts";
import { lockFolder } from "./folder-lock.ts";

/**
 * A folder, made if need be, or undefined for a database in memory. Throws a UserError when another
 * process has the folder open, or when it holds something else.
 */
export async function openPglite(folder: string | undefined): Promise<Database> {
  const path = folder === undefined ? undefined : resolve(folder);
  const release = path === undefined ? async (): Promise<void> => {} : await lock(path);
  try {
    const pglite = await start(path);
    return database(pglite, folder === undefined ? "pglite:memory" : `pglite:${folder}`, release);
  } catch (error) {
    await release();
    throw error;
  }
}

async function lock(path: string): Promise<() => Promise<void>> {
  await mkdir(dirname(path), { recursive: true });
  return lockFolder(path);
}

async function start(path: string | undefined): Promise<PGlite> {
  try {
    return await PGlite.create(path ?? "memory://", { extensions: { vector } });
  } catch (error) {
    if (path === undefined) throw error;
    throw new UserError(`The folder ${path} cannot be opened as an embedded database.`, {
      hint: "Give pglite:<folder> a new folder, or one that vecfill has made with this version.",
      exit: "fatal",
      cause: error,
    });
  }
}

function database(pglite: PGlite, label: string, release: () => Promise<void>): Database {
  return {
    label,
    async query(sql, parameters = []) {
      const { rows } = await pglite.query<Record<string, unknown>>(
        sql,
        parameters.map((value) => (isBinary(value) ? value.bytes : value)),
        { serializers: serializersFor(parameters) },
      );
      return rows.map(asText);
    },
    async close() {
      await pglite.close();
      await release();
    },
  };
}

/** What a serializer gives as bytes is sent in binary; PGlite's types know of text only. */
function serializersFor(
  parameters: readonly Parameter[],
): Record<number, (value: string) => string> {
  const binary = parameters.filter(isBinary);
  return Object.fromEntries(binary.map(({ typeOid }) => [typeOid, (value) => value]));
}

/** PGlite parses what it knows; statements cast to text, so only plain values come here. */
function asText(row: Record<string, unknown>): Row {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, cellText(value)]));
}

function cellText(value: unknown): string | null {
  if (value === null || typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") {
    return String(value);
  }
  throw new Error("a column has to be cast to text");
}
