/** The database of a torture: one of its own on a native server, an embedded one where there is none. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Database } from "../src/store/database.ts";
import { openDatabase } from "../src/store/postgres/open-database.ts";

const SCRIPT = fileURLToPath(new URL("../.ci/postgres", import.meta.url));
const NAME = "torture";

export type TortureDatabase = Readonly<{
  /** What DATABASE_URL is set to. */
  url: string;
  native: boolean;
  /** One process at a time can have an embedded database open, so nobody keeps it open. */
  use<T>(work: (database: Database) => Promise<T>): Promise<T>;
  dispose(): Promise<void>;
}>;

/** `say` is told when there is no native server, and why. */
export async function openTortureDatabase(
  folder: string,
  say: (line: string) => void,
): Promise<TortureDatabase> {
  const { url: server, stop } = await nativeServer(say);
  if (server === undefined) return embedded(`pglite:${join(folder, "database")}`);
  const name = `vecfill_torture_${randomUUID().replaceAll("-", "").slice(0, 12)}`;
  await using(server, (database) => database.query(`CREATE DATABASE ${name}`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  await using(url.href, (database) => database.query("CREATE EXTENSION vector"));
  return {
    url: url.href,
    native: true,
    use: (work) => using(asOneself(url), work),
    dispose: async () => {
      await using(server, (database) => database.query(`DROP DATABASE ${name} WITH (FORCE)`));
      await stop();
    },
  };
}

/** So that the connections of commands can be cut, and one's own are not. */
function asOneself(url: URL): string {
  const own = new URL(url);
  own.searchParams.set("application_name", "torture");
  return own.href;
}

async function embedded(url: string): Promise<TortureDatabase> {
  await using(url, (database) => database.query("CREATE EXTENSION vector"));
  return { url, native: false, use: (work) => using(url, work), dispose: async () => {} };
}

type Server = Readonly<{
  /** Undefined when none can be had. */
  url: string | undefined;
  stop(): Promise<void>;
}>;

/** The server that is named, else one that the CI script makes. */
async function nativeServer(say: (line: string) => void): Promise<Server> {
  const named = process.env["VECFILL_TEST_DATABASE_URL"];
  if (named !== undefined && named !== "") return { url: named, stop: async () => {} };
  const script = promisify(execFile);
  try {
    const { stdout } = await script(SCRIPT, ["start", NAME]);
    const stop = async () => void (await script(SCRIPT, ["stop", NAME]));
    return { url: stdout.trim(), stop };
  } catch (error) {
    const told = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
    const why = told === "" ? String(error) : told;
    say(
      "No native Postgres: VECFILL_TEST_DATABASE_URL is not set, and .ci/postgres cannot make one.",
    );
    say(why.trim().split("\n").at(-1) ?? "");
    say("Going on with an embedded database, which shows less: its connections cannot be cut.");
    return { url: undefined, stop: async () => {} };
  }
}

async function using<T>(url: string, work: (database: Database) => Promise<T>): Promise<T> {
  const database = await openDatabase({ url });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}
