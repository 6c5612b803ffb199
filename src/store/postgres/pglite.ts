/**
 * The embedded database: Postgres in WebAssembly, in this process. The only importer of PGlite.
 * It takes binary parameters, although its types say text: 25,000 vectors a second against 1,100.
 */
import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { systemClock } from "../../clock.ts";
import { UserError } from "../../errors.ts";
import { acquireLock, type Lock, sweepLeftovers } from "../../disk/folder-lock.ts";
import { isBinary, type Database, type Parameter, type Row } from "../database.ts";

/**
 * A folder, made if need be, or undefined for a database in memory. Throws a UserError when another
 * process has the folder open, or when it holds something else.
 */
export async function openPglite(folder: string | undefined): Promise<Database> {
  const path = folder === undefined ? undefined : resolve(folder);
  const lock = path === undefined ? undefined : await lockFolder(path);
  try {
    const pglite = await startPglite(path);
    return database(pglite, folder === undefined ? "pglite:memory" : `pglite:${folder}`, lock);
  } catch (error) {
    await lock?.release();
    throw error;
  }
}

/**
 * Two processes in one folder would damage it, and PGlite does not notice (tried: rows of the one
 * vanished under the other).
 */
async function lockFolder(folder: string): Promise<Lock> {
  const path = `${folder}.lock`;
  try {
    await mkdir(dirname(folder), { recursive: true });
    const what = `The embedded database in ${folder}`;
    const lock = await acquireLock(path, systemClock, { what });
    await sweepLeftovers(path);
    return lock;
  } catch (error) {
    if (error instanceof UserError && error.exit === "locked") throw error;
    const why = error instanceof Error ? error.message.replace(/\.$/, "") : String(error);
    throw new UserError(`The embedded database in ${folder} cannot be opened: ${why}.`, {
      hint: "Give pglite:<folder> a folder on a disk with room, in which this user may write.",
      cause: error,
    });
  }
}

/** A start writes to all of it: of the usual 128 MB a command felt two thirds of a second of CPU. */
const SMALL_BUFFERS = ["-c", "shared_buffers=16MB"];

async function startPglite(path: string | undefined): Promise<PGlite> {
  try {
    const startParams = [...PGlite.defaultStartParams, ...SMALL_BUFFERS];
    return await PGlite.create(path ?? "memory://", { extensions: { vector }, startParams });
  } catch (error) {
    if (path === undefined) throw error;
    throw new UserError(`The folder ${path} cannot be opened as an embedded database.`, {
      hint: "Give pglite:<folder> a new folder, or one that vecfill has made with this version.",
      cause: error,
    });
  }
}

function database(pglite: PGlite, label: string, lock: Lock | undefined): Database {
  return {
    label,
    async query(sql, parameters = []) {
      await lock?.stillHeld();
      const { rows } = await pglite.query<Record<string, unknown>>(
        sql,
        parameters.map((value) => (isBinary(value) ? value.bytes : value)),
        { serializers: serializersFor(parameters) },
      );
      return rows.map(asText);
    },
    async script(sql) {
      await lock?.stillHeld();
      const results = await pglite.exec(sql);
      return (results.at(-1)?.rows ?? []).map(asText);
    },
    // its only session is shared, so none is direct
    session: (work) =>
      work({
        isDirect: false,
        transaction: async (statements) => {
          await pglite.transaction((transaction) => transaction.exec(statements.join(";\n")));
        },
        statement: async (sql) => {
          await pglite.exec(sql);
        },
      }),
    async close() {
      await pglite.close();
      await lock?.release();
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
