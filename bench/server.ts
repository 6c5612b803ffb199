/**
 * A database of its own on a native server: the one that is named, else the one that CI starts, told
 * to sync what it commits. CI's does not, and then an UPDATE a row looks ten times as good as it is.
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { connectPostgres } from "../src/store/postgres/postgres.ts";

const VARIABLE = "VECFILL_TEST_DATABASE_URL";
const STARTER = fileURLToPath(new URL("../.ci/postgres", import.meta.url));
const NAME = "bench";

/** Runs the work with the address of a new, empty database that has pgvector. */
export async function withServer<T>(work: (url: string) => Promise<T>): Promise<T> {
  const given = process.env[VARIABLE] ?? "";
  const server = given === "" ? await starter("start") : given;
  try {
    if (given === "") await makeDurable(server);
    return await withDatabase(server, work);
  } finally {
    if (given === "") await starter("stop");
  }
}

async function withDatabase<T>(server: string, work: (url: string) => Promise<T>): Promise<T> {
  const name = `vecfill_bench_${randomUUID().replaceAll("-", "")}`;
  const url = new URL(server);
  url.pathname = `/${name}`;
  await statement(server, `CREATE DATABASE ${name}`);
  try {
    await statement(url.href, "CREATE EXTENSION vector");
    return await work(url.href);
  } finally {
    await statement(server, `DROP DATABASE ${name} WITH (FORCE)`);
  }
}

const DURABLE = ["fsync", "synchronous_commit", "full_page_writes"];

async function makeDurable(server: string): Promise<void> {
  for (const name of DURABLE) await statement(server, `ALTER SYSTEM SET ${name} = on`);
  await statement(server, "SELECT pg_reload_conf()");
}

async function starter(verb: "start" | "stop"): Promise<string> {
  const { stdout } = await promisify(execFile)(STARTER, [verb, NAME]);
  return stdout.trim();
}

async function statement(url: string, sql: string): Promise<void> {
  const database = connectPostgres(url);
  try {
    await database.query(sql);
  } finally {
    await database.close();
  }
}
