/**
 * A Postgres server through `pg`. The only importer of it.
 *
 * TLS as libpq does it: `sslmode` in the address decides. Where the address names none, a local
 * host is spoken to in the clear and any other with `sslmode=require`: encrypted, the certificate
 * not verified, since managed databases sign theirs with authorities of their own. Who wants it
 * verified says `sslmode=verify-full`, with `sslrootcert` for such an authority.
 */
import { Socket } from "node:net";
import { getCACertificates } from "node:tls";
import {
  Client,
  DatabaseError,
  Pool,
  type ClientConfig,
  type CustomTypesConfig,
  type PoolClient,
  types,
} from "pg";
import { z } from "zod";
import { usageError } from "../../errors.ts";
import { hostOf, isLocalHost, portOf } from "./database-address.ts";
import { failureCode } from "../failure.ts";
import { cancelStatement, hangUpWhenAborted } from "./hang-up.ts";
import { isBinary, type Database, type Parameter, type Row, type Session } from "../database.ts";

/** Writing gains nothing past two (measured); one more reads meanwhile. Poolers have few to give. */
const MAX_CONNECTIONS = 3;
const CONNECT_TIMEOUT_MS = 15_000;
const KEEPALIVE_DELAY_MS = 30_000;
const IDLE_TIMEOUT_MS = 30_000;
/** Long enough for a chunk under a large ANN index and for a count over ten million rows. */
const QUERY_TIMEOUT_MS = 15 * 60_000;
const APPLICATION_NAME = "vecfill";

export type ConnectionOptions = Readonly<{
  /** Whether a password that the address does not hold may be sent there (the default). */
  takesPasswords?: boolean;
  /** Aborted, it cancels within seconds what statements wait for, but for those of a session. */
  signal?: AbortSignal;
}>;

const NEVER = new AbortController().signal;

/** No connection is made yet. Throws a UserError (usage) when the address is none. */
export function connectPostgres(
  address: string,
  { takesPasswords = true, signal = NEVER }: ConnectionOptions = {},
): Database {
  const url = parseAddress(address);
  const sockets = new Set<Socket>();
  const sessionSockets = new Set<Socket>();
  const config: ClientConfig = {
    ...withTls(url),
    ...(takesPasswords || url.password !== "" ? {} : { password: refusePassword }),
    stream: () => trackedSocket(sessionSockets),
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_DELAY_MS,
    application_name: APPLICATION_NAME,
    types: AS_TEXT,
  };
  const pool = new Pool({
    ...config,
    stream: () => trackedSocket(sockets),
    Client: ImpatientClient,
    max: MAX_CONNECTIONS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
  });
  // an idle connection was lost: the pool has dropped it, and the next query opens another
  pool.on("error", () => {});
  const busy = new Set<PoolClient>();
  pool.on("acquire", (client) => busy.add(client));
  pool.on("release", (_error, client) => busy.delete(client));
  const hangUp = hangUpWhenAborted(signal, {
    cancel: () => busy.forEach(cancelStatement),
    hangUp: () => sockets.forEach((socket) => socket.destroy()),
  });
  const connected = <T>(work: () => Promise<T>): Promise<T> =>
    withoutTlsIfThereIsNone(url, [config, pool.options], work);
  const answered = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await connected(() => withWhatThereIs(pool, work));
    } catch (error) {
      if (hangUp.hasBegun()) signal.throwIfAborted();
      throw error;
    }
  };
  return {
    label: label(url),
    query: (sql, parameters = []) =>
      answered(() => ask(pool, sql, parameters.map(asDriverTakesIt))),
    script: (sql) => answered(async () => RESULTS.parse(await pool.query(sql)).at(-1)?.rows ?? []),
    session: (work) => connected(() => withSession(config, work)),
    native: (sql, values) => answered(() => askNatively(pool, sql, values)),
    async close() {
      hangUp.release();
      await pool.end();
      // a login that `pg` gave up itself (no password) it leaves open, until the server's time limit
      // ends: a minute in which this process could not exit
      for (const socket of [...sockets, ...sessionSockets]) socket.destroy();
    },
  };
}

/** A statement that the server refuses leaves its connection as good as it was: the pool's own `query` would close it. */
async function ask(pool: Pool, sql: string, values: readonly unknown[]): Promise<Row[]> {
  const client = await pool.connect();
  // the statement rejects with it, too
  client.on("error", ignore);
  let isLost = false;
  try {
    const { rows } = await client.query<Row>(sql, [...values]);
    return rows;
  } catch (error) {
    isLost = !(error instanceof DatabaseError && error.severity === "ERROR");
    throw error;
  } finally {
    client.off("error", ignore);
    client.release(isLost);
  }
}

async function askNatively(pool: Pool, text: string, values: unknown[] | undefined) {
  const answers: unknown = await pool.query({ text, types, ...(values && { values }) });
  const all = z
    .array(NATIVE_ROWS)
    .or(NATIVE_ROWS.transform((one) => [one]))
    .parse(answers);
  return { rows: all.flatMap(({ rows }) => rows) };
}

const NATIVE_ROWS = z.object({ rows: z.array(z.unknown()) });

function ignore(): void {}

/** As `sslmode=prefer` asks: once more, and from then on, where the server has no TLS. */
async function withoutTlsIfThereIsNone<T>(
  url: URL,
  configs: readonly object[],
  work: () => Promise<T>,
): Promise<T> {
  // as it began: one beside it may have found out meanwhile
  const doesWithout = prefersTls(url);
  try {
    return await work();
  } catch (error) {
    if (!doesWithout || failureCode(error) !== "NO_TLS") throw error;
    url.searchParams.set("sslmode", "disable");
    for (const each of configs) Object.assign(each, withTls(url));
    return work();
  }
}

/** Of several statements in one query. The driver's types know of one. */
const RESULTS = z.array(z.object({ rows: z.array(z.record(z.string(), z.string().nullable())) }));

/** Where the server gives no further connection, those that are there do the work, for as long as they last. */
async function withWhatThereIs<T>(pool: Pool, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (failureCode(error) !== "53300" || pool.totalCount === 0) throw error;
    pool.options.max = pool.totalCount;
    return work();
  }
}

/** Asked when the server wants a password that the address does not hold: `.pgpass` is not read then. */
function refusePassword(): never {
  throw usageError(
    "The database asks for a password. Its address stands in a file that vecfill found by itself and holds none; no other is sent there.",
    "If the address is yours, name its file with --env-file, or set DATABASE_URL in the environment.",
  );
}

/** Lists as text: the driver takes a row's share of the whole time of a write to put one together. */
function asDriverTakesIt(value: Parameter): Buffer | string | number | null {
  if (value === null || typeof value !== "object") return value;
  return isBinary(value) ? value.bytes : arrayLiteral(value);
}

/** Each element in quotes, in which only these two signs mean anything. */
function arrayLiteral(texts: readonly string[]): string {
  const escaped = texts.map((text) =>
    /["\\]/.test(text) ? text.replaceAll(/["\\]/g, String.raw`\$&`) : text,
  );
  return texts.length === 0 ? "{}" : `{"${escaped.join('","')}"}`;
}

/** The pool would count the wait for a free connection against the time limit for connecting. */
class ImpatientClient extends Client {
  constructor(config?: ClientConfig) {
    super({ ...config, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
    // the address, holding none, would outrank it
    if (config?.password === refusePassword) Reflect.set(this, "password", refusePassword);
  }
}

async function withSession<T>(
  config: ClientConfig,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const client = new ImpatientClient(config);
  // whatever is under way then rejects, and says so
  client.on("error", () => {});
  try {
    await client.connect();
    const statement = async (sql: string): Promise<void> => {
      await client.query(sql);
    };
    return await work({
      isDirect: await isDirect(client),
      transaction: (statements) => statement(["BEGIN", ...statements, "COMMIT"].join(";\n")),
      statement,
    });
  } finally {
    await client.end();
  }
}

/** A pooler gives a key of its own to cancel by, in place of the server process's number. */
async function isDirect(client: Client): Promise<boolean> {
  const { rows } = await client.query<Row>("SELECT pg_backend_pid()::text AS pid");
  const told: unknown = Reflect.get(client, "processID");
  return rows[0]?.["pid"] === String(told);
}

function trackedSocket(sockets: Set<Socket>): Socket {
  const socket = new Socket();
  sockets.add(socket);
  return socket.on("close", () => sockets.delete(socket));
}

/** Cells stay as the database prints them: integers past 2^53 are ids too. */
const AS_TEXT: CustomTypesConfig = { getTypeParser: () => (text: string | Buffer) => text };

function parseAddress(address: string): URL {
  const hosts = /^[^/]*\/\/(?:[^/?]*@)?(?<hosts>[^/?]*)/.exec(address)?.groups?.["hosts"] ?? "";
  const url = URL.parse(address);
  if (hosts.includes(",") || url?.searchParams.get("host")?.includes(",") === true) {
    throw usageError(
      "The database's address names several hosts, and vecfill takes one.",
      "Name the primary server alone: postgres://user:password@host:5432/database.",
    );
  }
  if (url !== null && (url.protocol === "postgres:" || url.protocol === "postgresql:")) return url;
  // the address holds a password, so it is not repeated
  throw usageError(
    "The database's address cannot be read as a URL.",
    "It looks like postgres://user:password@host:5432/database; percent-encode special characters in the password.",
  );
}

/** As libpq has it: it goes on without where the server has none. */
function prefersTls(url: URL): boolean {
  return ["allow", "prefer"].includes(url.searchParams.get("sslmode") ?? "");
}

/** As `pg` takes them; `allow` encrypts as well, where it can. */
const SSL_MODES: Readonly<Partial<Record<string, string>>> = {
  disable: "disable",
  allow: "prefer",
  prefer: "prefer",
  require: "require",
  "no-verify": "require",
  "verify-ca": "verify-ca",
  "verify-full": "verify-full",
};

/** `pg` understands the modes in libpq's way only when asked to, and takes `system` for a file. */
function withTls(address: URL): Pick<ClientConfig, "connectionString" | "ssl"> {
  const url = new URL(address);
  if (url.searchParams.get("sslrootcert") === "system") {
    url.searchParams.delete("sslrootcert");
    url.searchParams.delete("sslmode");
    return { connectionString: url.href, ssl: { ca: getCACertificates("system") } };
  }
  const asked =
    url.searchParams.get("sslmode") ?? (isLocalHost(hostOf(url)) ? "disable" : "require");
  const mode = SSL_MODES[asked];
  if (mode === undefined || (mode === "verify-ca" && !url.searchParams.has("sslrootcert"))) {
    throw usageError(
      `The database's address asks for sslmode=${asked}, which cannot be had.`,
      `Use one of ${Object.keys(SSL_MODES).join(", ")}; verify-ca needs sslrootcert=<file> as well.`,
    );
  }
  url.searchParams.set("sslmode", mode);
  url.searchParams.set("uselibpqcompat", "true");
  return { connectionString: url.href };
}

function label(url: URL): string {
  return `${hostOf(url)}:${portOf(url)}${url.pathname}`;
}
