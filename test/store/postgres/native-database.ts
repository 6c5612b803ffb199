/** Fresh databases on the native server that `VECFILL_TEST_DATABASE_URL` names. */
import { randomUUID } from "node:crypto";
import { Client } from "pg";
import type { Database } from "../../../src/store/database.ts";
import { connectPostgres } from "../../../src/store/postgres/postgres.ts";
import { onlyWhere } from "../../size.ts";

const serverUrl = process.env["VECFILL_TEST_DATABASE_URL"];

/** Undefined where there is no native server. Ask this before anything below. */
export const hasNativeServer = serverUrl !== undefined && serverUrl !== "";

/** Options of a suite that takes one. */
export const ON_NATIVE = onlyWhere(
  hasNativeServer,
  "take a native Postgres (VECFILL_TEST_DATABASE_URL is not set)",
);

export type NativeDatabase = Readonly<{
  url: string;
  /** A connection of the test's own. */
  database: Database;
  drop(): Promise<void>;
}>;

/** An empty database of its own, with pgvector in the given schema. */
export async function createNativeDatabase(vectorSchema = "public"): Promise<NativeDatabase> {
  const native = await newDatabase("");
  const { database } = native;
  if (vectorSchema !== "public") await database.query(`CREATE SCHEMA "${vectorSchema}"`);
  await database.query(`CREATE EXTENSION vector SCHEMA "${vectorSchema}"`);
  return native;
}

/** As it is now; whoever is connected to it has to connect again. */
export async function cloneDatabase({ url }: NativeDatabase): Promise<NativeDatabase> {
  const name = new URL(url).pathname.slice(1);
  await onServer(
    `SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = '${name}'`,
  );
  return newDatabase(`TEMPLATE ${name}`);
}

async function newDatabase(how: string): Promise<NativeDatabase> {
  const name = `vecfill_${randomUUID().replaceAll("-", "")}`;
  await onServer(`CREATE DATABASE ${name} ${how}`);
  const url = urlOf(name);
  const database = connectPostgres(url);
  return {
    url,
    database,
    async drop() {
      await database.close();
      await onServer(`DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

/** One session of its own: for transactions that stay open. */
export async function openSession(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  return client;
}

async function onServer(statement: string): Promise<void> {
  const server = connectPostgres(urlOf(undefined));
  try {
    await server.query(statement);
  } finally {
    await server.close();
  }
}

function urlOf(name: string | undefined): string {
  if (serverUrl === undefined) throw new Error("VECFILL_TEST_DATABASE_URL is not set");
  const url = new URL(serverUrl);
  if (name !== undefined) url.pathname = `/${name}`;
  return url.href;
}
