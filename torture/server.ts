/** The database of a torture: one of its own on a native server, an embedded one where there is none. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { systemClock } from "../src/clock.ts";
import type { Database } from "../src/store/database.ts";
import { openDatabase } from "../src/store/postgres/open-database.ts";
import { repeating } from "../src/store/retry.ts";

const SCRIPT = fileURLToPath(new URL("../.ci/postgres", import.meta.url));
const NAME = "torture";
const script = promisify(execFile);

export type TortureDatabase = Readonly<{
  /** What DATABASE_URL is set to. */
  url: string;
  native: boolean;
  /** Of a server that was started for this: undefined elsewhere. */
  own: OwnServer | undefined;
  /** One process at a time can have an embedded database open, so nobody keeps it open. */
  use<T>(work: (database: Database) => Promise<T>): Promise<T>;
  dispose(): Promise<void>;
}>;

export type OwnServer = Readonly<{
  /** The same database through PgBouncer, in transaction mode. */
  pooledUrl: string;
  /** It is there again at the same address. */
  crash(): Promise<void>;
}>;

/** `say` is told when there is no native server, and why. */
export async function openTortureDatabase(
  folder: string,
  say: (line: string) => void,
): Promise<TortureDatabase> {
  const { url: server, stop, isOwn } = await nativeServer(say);
  if (server === undefined) return embedded(`pglite:${join(folder, "database")}`);
  const name = `vecfill_torture_${randomUUID().replaceAll("-", "").slice(0, 12)}`;
  await using(server, (database) => database.query(`CREATE DATABASE ${name}`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  await using(url.href, (database) => database.query("CREATE EXTENSION vector"));
  return {
    url: url.href,
    native: true,
    own: isOwn ? await ownServer(url.pathname) : undefined,
    use: (work) => using(asOneself(url), (database) => work(steady(database))),
    dispose: async () => {
      await using(server, (database) => database.query(`DROP DATABASE ${name} WITH (FORCE)`));
      await stop();
    },
  };
}

async function ownServer(path: string): Promise<OwnServer> {
  const { stdout } = await script(SCRIPT, ["pool", NAME]);
  const pooled = new URL(stdout.trim());
  pooled.pathname = path;
  return {
    pooledUrl: pooled.href,
    crash: async () => void (await script(SCRIPT, ["crash", NAME])),
  };
}

/** What is asked while the server crashes is asked again. */
function steady(database: Database): Database {
  const again = repeating({ clock: systemClock, report: () => {} });
  return {
    ...database,
    query: (sql, given) => again(() => database.query(sql, given)),
    script: (sql) => again(() => database.script(sql)),
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
  return {
    url,
    native: false,
    own: undefined,
    use: (work) => using(url, work),
    dispose: async () => {},
  };
}

type Server = Readonly<{
  /** Undefined when none can be had. */
  url: string | undefined;
  isOwn: boolean;
  stop(): Promise<void>;
}>;

/** The server that is named, else one that the CI script makes. */
async function nativeServer(say: (line: string) => void): Promise<Server> {
  const named = process.env["VECFILL_TEST_DATABASE_URL"];
  if (named !== undefined && named !== "")
    return { url: named, isOwn: false, stop: async () => {} };
  try {
    const { stdout } = await script(SCRIPT, ["start", NAME]);
    const stop = async () => void (await script(SCRIPT, ["stop", NAME]));
    return { url: stdout.trim(), isOwn: true, stop };
  } catch (error) {
    const told = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
    const why = told === "" ? String(error) : told;
    say(
      "No native Postgres: VECFILL_TEST_DATABASE_URL is not set, and .ci/postgres cannot make one.",
    );
    say(why.trim().split("\n").at(-1) ?? "");
    say("Going on with an embedded database, which shows less: its connections cannot be cut.");
    return { url: undefined, isOwn: false, stop: async () => {} };
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
