/**
 * A test double for Supabase's API: PostgREST's dialect over a real database, behind a gateway that
 * knows the project's keys. `recordings.test.ts` holds it to what a real PostgREST answered. It is
 * for the tests only: what the store does not ask for is an error, not a guess.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text as readText } from "node:stream/consumers";
import { nearest } from "../../src/settings/nearest.ts";
import { quoteIdentifier as quoted } from "../../src/store/sql.ts";
import { type Answer, beyondTheEnd, contentRange, page, refusal, statusOf } from "./answer.ts";
import { type Request, type Table, orderClause, selectList, whereClause } from "./dialect.ts";
import { roleOf } from "./keys.ts";
import { openApi } from "./open-api-document.ts";
import type { InTransaction, Query } from "./session.ts";

/** What the network or the gateway does to a request. `after`: when the database has done its part. */
export type Fault =
  | Readonly<{ drop: "before" | "after" }>
  | Readonly<{ answer: Answer }>
  | Readonly<{ delayMs: number }>;

export type PostgrestOptions = Readonly<{
  maxRows?: number;
  schemas?: readonly string[];
  /** As for the authenticator of a Supabase project; undefined where the database has no timers. */
  statementTimeout?: string;
  /** Asked for every request. */
  fault?: (request: Request) => Fault | undefined;
}>;

export type Postgrest = Readonly<{
  url: string;
  /** Every request so far, the oldest first. */
  requests: readonly Request[];
  close(): Promise<void>;
}>;

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
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
    serve(request, response).catch((error: unknown) => {
      response.writeHead(599).end(String(error));
    });
  });
  async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await parse(incoming);
    requests.push(request);
    const fault = options.fault?.(request);
    if (fault !== undefined && "drop" in fault && fault.drop === "before") {
      return void response.destroy();
    }
    if (fault !== undefined && "delayMs" in fault) await delay(fault.delayMs);
    const faulty = fault !== undefined && "answer" in fault ? fault.answer : undefined;
    const answer = faulty ?? (await answerTo(request, incoming));
    if (fault !== undefined && "drop" in fault) return void response.destroy();
    response.writeHead(answer.status, {
      ...answer.headers,
      "content-length": Buffer.byteLength(answer.body),
    });
    response.end(request.method === "HEAD" ? undefined : answer.body);
  }
  function answerTo(request: Request, incoming: IncomingMessage): Answer | Promise<Answer> {
    const key = incoming.headers["apikey"];
    if (typeof key !== "string") return NO_KEY;
    if ((incoming.url ?? "").length > MAX_URL_BYTES) return TOO_LONG;
    const token = incoming.headers.authorization?.replace(/^Bearer /, "") ?? key;
    const known = roleOf(token);
    if (!("role" in known)) return refusal(401, known);
    return answerAs(known.role, request, inTransaction, options);
  }
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
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

const TOO_LONG: Answer = {
  status: 400,
  headers: { "content-type": "text/plain; charset=utf-8" },
  body: "Bad Request",
};

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function parse(incoming: IncomingMessage): Promise<Request> {
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

/** Ends the transaction with an answer. */
class Refused extends Error {
  readonly answer: Answer;

  constructor(answer: Answer) {
    super("refused");
    this.answer = answer;
  }
}

/** PostgREST repeats what failed on contention, without bound. */
async function answerAs(
  role: string,
  request: Request,
  inTransaction: InTransaction,
  options: PostgrestOptions,
): Promise<Answer> {
  for (;;) {
    try {
      return await inTransaction((query) => answerIn(query, role, request, options));
    } catch (error) {
      if (error instanceof Refused) return error.answer;
      const told = databaseError(error);
      if (told.code === "40001" || told.code === "40P01") continue;
      const unknownRole = told.code === "22023" && told.message.startsWith("role ");
      return refusal(unknownRole ? 401 : statusOf(told.code, role), told);
    }
  }
}

type DatabaseError = Readonly<{
  code: string;
  message: string;
  details: string | null;
  hint: string | null;
}>;

function databaseError(error: unknown): DatabaseError {
  if (!(error instanceof Error) || !("code" in error)) throw error;
  return {
    code: String(error.code),
    message: error.message,
    details: "detail" in error ? textOf(error.detail) : null,
    hint: "hint" in error ? textOf(error.hint) : null,
  };
}

function textOf(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

async function answerIn(
  query: Query,
  role: string,
  request: Request,
  { maxRows = MAX_ROWS, schemas = ["public"], statementTimeout }: PostgrestOptions,
): Promise<Answer> {
  if (!schemas.includes(request.schema)) throw unknownSchema(request.schema, schemas);
  if (statementTimeout !== undefined) {
    await query("SELECT set_config('statement_timeout', $1, true)", [statementTimeout]);
  }
  const table = { schema: request.schema, name: request.path };
  const isTable = request.path !== "" && !request.path.startsWith("rpc/");
  // the schema cache is read before the role is taken on
  const columns = isTable ? await columnsOf(query, table) : [];
  const procedure = request.path.startsWith("rpc/")
    ? await findFunction(query, request)
    : undefined;
  await query("SELECT set_config('role', $1, true), set_config('search_path', $2, true)", [
    role,
    `${quoted(request.schema)}, public, extensions`,
  ]);
  if (request.path === "") return openApi(query, request.schema);
  if (procedure !== undefined) return callFunction(query, request, procedure, maxRows);
  switch (request.method) {
    case "GET":
    case "HEAD":
      return select(query, request, table, maxRows);
    case "PATCH":
      return update(query, request, table, columns);
    case "POST":
      return insert(query, request, table);
    default:
      throw new Error(`the test double knows no ${request.method}`);
  }
}

function unknownSchema(schema: string, schemas: readonly string[]): Refused {
  return new Refused(
    refusal(406, {
      code: "PGRST106",
      message: `Invalid schema: ${schema}`,
      hint: `Only the following schemas are exposed: ${schemas.join(", ")}`,
    }),
  );
}

async function columnsOf(query: Query, { schema, name }: Table): Promise<readonly string[]> {
  const rows = await query(
    `SELECT c.relname::text AS relation, array_agg(a.attname::text) AS columns
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
       AND a.attnum > 0 AND NOT a.attisdropped GROUP BY 1`,
    [quoted(schema)],
  );
  const found = rows.find((row) => row["relation"] === name);
  if (found !== undefined) return asTexts(found["columns"]);
  const near = nearest(
    name,
    rows.map((row) => String(row["relation"])),
  );
  throw new Refused(
    refusal(404, {
      code: "PGRST205",
      message: `Could not find the table '${schema}.${name}' in the schema cache`,
      hint: near === undefined ? null : `Perhaps you meant the table '${schema}.${near}'`,
    }),
  );
}

function asTexts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

async function select(
  query: Query,
  request: Request,
  table: Table,
  maxRows: number,
): Promise<Answer> {
  const { query: asked, prefer, rawQuery } = request;
  const from = `FROM ${qualified(table)} WHERE ${whereClause(table, asked)}`;
  const offset = Number(asked.get("offset") ?? 0);
  const limit = Math.min(Number(asked.get("limit") ?? maxRows), maxRows);
  const list = selectList(table, asked.get("select") ?? "*");
  const [found] = await query(
    `SELECT count(*)::int AS rows, coalesce(json_agg(_postgrest_t), '[]')::text AS body FROM (
       SELECT ${list} ${from} ${orderClause(table, asked)} LIMIT ${limit} OFFSET ${offset}
     ) _postgrest_t`,
  );
  const total = /count=/.test(prefer) ? await countRows(query, from) : undefined;
  if (total !== undefined && offset > total) return beyondTheEnd(total);
  const rows = Number(found?.["rows"]);
  const location = `/${encodeURIComponent(table.name)}${rawQuery}`;
  return page({
    rows,
    offset,
    total,
    body: String(found?.["body"]),
    schema: table.schema,
    location,
  });
}

async function countRows(query: Query, from: string): Promise<number> {
  const [row] = await query(`SELECT count(*)::int AS total ${from}`);
  return Number(row?.["total"]);
}

async function update(
  query: Query,
  request: Request,
  table: Table,
  columns: readonly string[],
): Promise<Answer> {
  const body = parseBody(request.body);
  const names = Object.keys(body);
  const unknown = names.find((name) => !columns.includes(name));
  if (unknown !== undefined) throw unknownColumn(table, unknown);
  const sets = names
    .map((name) => `${quoted(name)} = _."${name.replaceAll('"', '""')}"`)
    .join(", ");
  const returned = request.query.get("select");
  const [changed] = await query(
    `WITH changed AS (
       UPDATE ${qualified(table)} SET ${sets}
       FROM json_populate_record(NULL::${qualified(table)}, $1) _
       WHERE ${whereClause(table, request.query)}
       RETURNING ${returned === null ? "1 AS one" : selectList(table, returned)}
     ) SELECT count(*)::int AS rows, coalesce(json_agg(changed), '[]')::text AS body FROM changed`,
    [request.body],
  );
  const rows = Number(changed?.["rows"]);
  const total = /count=exact/.test(request.prefer) ? rows : undefined;
  if (returned !== null) {
    return page({
      rows,
      offset: 0,
      total,
      body: String(changed?.["body"]),
      schema: table.schema,
      location: undefined,
    });
  }
  return { status: 204, headers: { "content-range": contentRange(rows, 0, total) }, body: "" };
}

function unknownColumn({ name }: Table, column: string): Refused {
  return new Refused(
    refusal(400, {
      code: "PGRST204",
      message: `Could not find the '${column}' column of '${name}' in the schema cache`,
    }),
  );
}

async function insert(query: Query, request: Request, table: Table): Promise<Answer> {
  const body = parseBody(request.body);
  const first: unknown = Array.isArray(body) ? body[0] : body;
  const names = Object.keys(Object(first)).map(quoted);
  const merge = request.prefer.includes("resolution=merge-duplicates");
  const rows = Array.isArray(body) ? request.body : `[${request.body}]`;
  await query(
    `INSERT INTO ${qualified(table)} (${names.join(", ")})
     SELECT ${names.join(", ")} FROM json_populate_recordset(NULL::${qualified(table)}, $1) _
     ${merge ? `ON CONFLICT (id) DO UPDATE SET ${names.map((name) => `${name} = EXCLUDED.${name}`).join(", ")}` : ""}`,
    [rows],
  );
  return { status: merge ? 200 : 201, headers: { "content-range": "*/*" }, body: "" };
}

// oxlint-disable-next-line typescript/no-explicit-any -- a body is whatever was sent
function parseBody(body: string): any {
  try {
    return JSON.parse(body);
  } catch {
    throw new Refused(refusal(400, { code: "PGRST102", message: "Empty or invalid json" }));
  }
}

type Procedure = Readonly<{ names: string[]; types: string[]; set: boolean; volatile: boolean }>;

/** By its name and the names of its parameters, as the schema cache does it. */
async function findFunction(query: Query, request: Request): Promise<Procedure> {
  const name = request.path.slice("rpc/".length);
  const given = Object.keys(parseBody(request.body === "" ? "{}" : request.body)).sort();
  const rows = await query(
    `SELECT coalesce(p.proargnames::text[], '{}') AS names, p.proretset AS "set",
       p.provolatile = 'v' AS "volatile",
       array(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) t) AS types
     FROM pg_proc p WHERE p.pronamespace = $1::regnamespace AND p.proname = $2`,
    [quoted(request.schema), name],
  );
  const all = rows.map((row) => ({
    names: asTexts(row["names"]),
    types: asTexts(row["types"]),
    set: row["set"] === true,
    volatile: row["volatile"] === true,
  }));
  const exact = all.find(({ names }) => [...names].sort().join() === given.join());
  if (exact !== undefined) return exact;
  // the whole body would be the parameter, were it unnamed; the call then has none
  const single = all.find(({ types }) => types.length === 1 && /^jsonb?$/.test(types[0] ?? ""));
  if (single !== undefined) return { ...single, names: [], types: [] };
  const full = `${request.schema}.${name}`;
  const word = given.length === 1 ? "parameter" : "parameters";
  const which = given.length === 0 ? "without parameters" : `with ${word} ${given.join(", ")}`;
  throw new Refused(
    refusal(404, {
      code: "PGRST202",
      message: `Could not find the function ${full}${given.length === 0 ? " without parameters" : `(${given.join(", ")})`} in the schema cache`,
      details: `Searched for the function ${full} ${which} or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache.`,
    }),
  );
}

async function callFunction(
  query: Query,
  request: Request,
  { names, types, set, volatile }: Procedure,
  maxRows: number,
): Promise<Answer> {
  if (!volatile) await query("SET TRANSACTION READ ONLY");
  const name = `${quoted(request.schema)}.${quoted(request.path.slice("rpc/".length))}`;
  const record = names.map((each, index) => `${quoted(each)} ${types[index]}`).join(", ");
  const parameters = names.map((each) => `${quoted(each)} := _args.${quoted(each)}`).join(", ");
  const source = names.length === 0 ? "" : `json_to_record($1) AS _args(${record}), LATERAL `;
  const [found] = await query(
    `SELECT count(*)::int AS rows, ${set ? "coalesce(json_agg(value), '[]')" : "(array_agg(to_json(value)))[1]"}::text AS body
     FROM (SELECT value FROM ${source}${name}(${parameters}) AS value LIMIT ${maxRows}) called`,
    names.length === 0 ? [] : [request.body],
  );
  const rows = Number(found?.["rows"]);
  return page({
    rows,
    offset: 0,
    total: undefined,
    body: String(found?.["body"]),
    schema: request.schema,
    location: undefined,
  });
}

function qualified({ schema, name }: Table): string {
  return `${quoted(schema)}.${quoted(name)}`;
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
