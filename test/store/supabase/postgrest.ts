/**
 * A test double for Supabase's API: PostgREST's dialect over a real database, behind a gateway that
 * knows the project's keys. `recordings.test.ts` holds it to what a real PostgREST answered. It is
 * for the tests only: what the store does not ask for is an error, not a guess.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text as readText } from "node:stream/consumers";
import { quoteIdentifier as quoted } from "../../../src/row/target.ts";
import { type Answer, refusal } from "./answer.ts";
import type { Request } from "./dialect.ts";
import { isKeyInForm, roleOf } from "./keys.ts";
import { readSchemaCache, type SchemaCache } from "./schema-cache.ts";
import type { InTransaction, Query } from "./session.ts";
import { answerAs, CUT, type Server } from "./statements.ts";
import type { PostgrestVersion } from "./version.ts";

/** What the network or the gateway does to a request. `after`: when the database has done its part. */
export type Fault =
  | Readonly<{ drop: "before" | "after" }>
  | Readonly<{ answer: Answer }>
  | Readonly<{ delayMs: number }>;

/** What is wrong behind the API. `lost`: the database, with libpq's words, which only the first request is told. */
type Trouble =
  | Readonly<{ kind: "lost"; words: string }>
  | Readonly<{ kind: "starting" }>
  | Readonly<{ kind: "no connection left" }>
  | Readonly<{ kind: "cut in the middle" }>;

export type PostgrestOptions = Readonly<{
  /** The newest by default. */
  version?: PostgrestVersion;
  maxRows?: number;
  schemas?: readonly string[];
  /** As for the authenticator of a Supabase project; undefined where the database has no timers. */
  statementTimeout?: string;
  lockTimeout?: string;
  /** Asked for every request. */
  fault?: (request: Request) => Fault | undefined;
}>;

export type Postgrest = Readonly<{
  url: string;
  /** Every request so far, the oldest first. */
  requests: readonly Request[];
  /** Undefined: all is well again. */
  trouble(trouble: Trouble | undefined): void;
  /** What Supabase's event trigger tells it; nothing while it is not to hear. */
  schemaChanged(): void;
  /** Whether it hears of changes; it reads the schema anew when it does again. */
  hear(changes: boolean): void;
  /** As `notify pgrst, 'reload config'`: what roles have set for themselves counts from now on. */
  reloadConfig(): Promise<void>;
  close(): Promise<void>;
}>;

const NEWEST = "14.17";
const MAX_ROWS = 1000;
const MAX_HEADER_BYTES = 1_000_000;
/** A request line beyond this is refused by PostgREST's own server. */
const MAX_URL_BYTES = 48_000;
const PREFIX = "/rest/v1/";

export async function startPostgrest(
  inTransaction: InTransaction,
  options: PostgrestOptions = {},
): Promise<Postgrest> {
  const requests: Request[] = [];
  const http = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
    serve(request, response).catch((error: unknown) => {
      response.writeHead(599).end(String(error));
    });
  });
  let trouble: Trouble | undefined;
  const schemas = new KnownSchemas();
  let roleTimeouts = await readRoleTimeouts(inTransaction, options);
  async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await parse(incoming);
    if (request === undefined) return send(response, "GET", NO_UTF8);
    requests.push(request);
    const fault = options.fault?.(request);
    if (fault !== undefined && "drop" in fault && fault.drop === "before") {
      return void response.destroy();
    }
    if (fault !== undefined && "delayMs" in fault) await delay(fault.delayMs);
    const faulty = fault !== undefined && "answer" in fault ? fault.answer : undefined;
    const answer = faulty ?? (await answerTo(request, incoming));
    if (fault !== undefined && "drop" in fault) return void response.destroy();
    send(response, request.method, answer);
  }
  function answerTo(request: Request, incoming: IncomingMessage): Answer | Promise<Answer> {
    const key = incoming.headers["apikey"];
    if (typeof key !== "string") return NO_KEY;
    if (!isKeyInForm(key)) return INVALID_KEY;
    if ((incoming.url ?? "").length > MAX_URL_BYTES) return TOO_LONG;
    const known = roleOf(incoming.headers.authorization?.replace(/^Bearer /, "") ?? key);
    if (!("role" in known)) return refusal(401, known);
    if (trouble !== undefined) {
      const answer = troubleAnswer(trouble);
      if (trouble.kind === "lost") trouble = { kind: "starting" };
      return answer;
    }
    return answerAs(known.role, request, inTransaction, server(known.role));
  }
  const server = (role: string): Server => ({
    version: options.version ?? NEWEST,
    maxRows: options.maxRows ?? MAX_ROWS,
    schemas: options.schemas ?? ["public"],
    lockTimeout: options.lockTimeout,
    statementTimeout: roleTimeouts.get(role) ?? options.statementTimeout,
    cache: (query, schema) => schemas.known(query, schema),
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const address = http.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    trouble: (changed) => {
      trouble = changed;
    },
    schemaChanged: () => schemas.changed(),
    hear: (changes) => schemas.hear(changes),
    reloadConfig: async () => {
      roleTimeouts = await readRoleTimeouts(inTransaction, options);
    },
    close: async () => {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

const NO_KEY: Answer = {
  status: 401,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({
    message: "No API key found in request",
    hint: "No `apikey` request header or url param was found.",
  }),
};

const INVALID_KEY: Answer = {
  status: 401,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({
    message: "Invalid API key",
    hint: "Double check your Supabase `anon` or `service_role` API key.",
  }),
};

const NO_UTF8: Answer = {
  status: 500,
  headers: { "content-type": "text/plain; charset=utf-8" },
  body: "Something went wrong",
};

const TOO_LONG: Answer = {
  status: 400,
  headers: { "content-type": "text/plain; charset=utf-8" },
  body: "Bad Request",
};

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function send(
  response: ServerResponse,
  method: string,
  { status, reason, headers, body }: Answer,
): void {
  const all = { ...headers, "content-length": Buffer.byteLength(body) };
  if (reason === undefined) response.writeHead(status, all);
  else response.writeHead(status, reason, all);
  response.end(method === "HEAD" ? undefined : body);
}

function troubleAnswer(trouble: Trouble): Answer {
  switch (trouble.kind) {
    case "lost":
      return refusal(503, {
        code: "PGRST000",
        message: "Database connection error.",
        details: trouble.words,
      });
    case "cut in the middle":
      return CUT;
    case "starting":
      return refusal(503, {
        code: "PGRST002",
        message: "Could not query the database for the schema cache. Retrying.",
      });
    case "no connection left":
      return refusal(504, {
        code: "PGRST003",
        message: "Timed out acquiring connection from connection pool.",
      });
  }
}

/** One reading of each schema, until it changes. */
class KnownSchemas {
  readonly #known = new Map<string, SchemaCache>();
  #hears = true;

  async known(query: Query, schema: string): Promise<SchemaCache> {
    const found = this.#known.get(schema) ?? (await readSchemaCache(query, schema));
    this.#known.set(schema, found);
    return found;
  }

  changed(): void {
    if (this.#hears) this.#known.clear();
  }

  hear(changes: boolean): void {
    this.#hears = changes;
    this.changed();
  }
}

/** Empty where the database has no timers. */
async function readRoleTimeouts(
  inTransaction: InTransaction,
  { statementTimeout }: PostgrestOptions,
): Promise<ReadonlyMap<string, string>> {
  if (statementTimeout === undefined) return new Map();
  const rows = await inTransaction((query) =>
    query(
      `SELECT r.rolname::text AS role, split_part(c, '=', 2) AS timeout
       FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) c
       WHERE c LIKE 'statement\\_timeout=%' AND s.setdatabase =
         (SELECT oid FROM pg_database WHERE datname = current_database())`,
    ),
  );
  return new Map(rows.map(({ role, timeout }) => [String(role), String(timeout)]));
}

/** Undefined where it is no UTF-8. */
async function parse(incoming: IncomingMessage): Promise<Request | undefined> {
  if (!isUtf8(incoming.url ?? "/")) return undefined;
  const url = new URL(incoming.url ?? "/", "http://double");
  const { headers } = incoming;
  return {
    method: incoming.method ?? "GET",
    path: decodeURIComponent(url.pathname.slice(PREFIX.length)),
    query: url.searchParams,
    rawQuery: url.search,
    prefer: String(headers["prefer"] ?? ""),
    schema: String(headers["accept-profile"] ?? headers["content-profile"] ?? "public"),
    body: await readText(incoming),
  };
}

function isUtf8(address: string): boolean {
  try {
    return decodeURIComponent(address) !== "";
  } catch {
    return false;
  }
}

/** The roles of a Supabase project, and what a new project grants them. */
export const PROJECT_ROLES: readonly string[] = [
  // roles belong to the whole server, and another test may make them at the same time
  ...["anon", "authenticated", "service_role BYPASSRLS"].map(
    (role) =>
      `DO $$ BEGIN CREATE ROLE ${role}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`,
  ),
  ...["public"].flatMap((schema) => [
    `GRANT USAGE ON SCHEMA ${quoted(schema)} TO anon, authenticated, service_role`,
    `ALTER DEFAULT PRIVILEGES IN SCHEMA ${quoted(schema)} GRANT ALL ON TABLES TO anon, authenticated, service_role`,
  ]),
];
