/** What a request comes to in the database: the statements that PostgREST makes of it. */
import { nearest } from "../../../src/errors.ts";
import { quoteIdentifier as quoted } from "../../../src/row/target.ts";
import { type Answer, beyondTheEnd, contentRange, page, refusal, statusOf } from "./answer.ts";
import { type Request, type Table, orderClause, selectList, whereClause } from "./dialect.ts";
import { openApi } from "./open-api-document.ts";
import type { Column, Relation, SchemaCache } from "./schema-cache.ts";
import { callFunction, findFunction } from "./functions.ts";
import { parseBody, Refused } from "./refused.ts";
import type { InTransaction, Query } from "./session.ts";
import type { PostgrestVersion } from "./version.ts";

export type Server = Readonly<{
  version: PostgrestVersion;
  maxRows: number;
  schemas: readonly string[];
  statementTimeout: string | undefined;
  lockTimeout: string | undefined;
  cache: (query: Query, schema: string) => Promise<SchemaCache>;
}>;

/** PostgREST repeats what failed on contention, without bound. */
export async function answerAs(
  role: string,
  request: Request,
  inTransaction: InTransaction,
  server: Server,
): Promise<Answer> {
  for (;;) {
    try {
      return await inTransaction((query) => answerIn(query, role, request, server));
    } catch (error) {
      if (error instanceof Refused) return error.answer;
      if (isCut(error)) return CUT;
      const told = databaseError(error);
      if (told.code === "40001" || told.code === "40P01") continue;
      if (told.code === "PGRST") return raisedAnswer(told);
      const unknownRole = told.code === "22023" && told.message.startsWith("role ");
      const answer = refusal(unknownRole ? 401 : statusOf(told.code, role), told);
      return told.code.startsWith("PT") ? { ...answer, reason: told.message } : answer;
    }
  }
}

/** The server ended the connection; a function may raise the same code, and goes on. */
function isCut(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const fatal = "severity" in error && error.severity === "FATAL";
  return fatal || error.message.startsWith("Connection terminated");
}

export const CUT: Answer = refusal(503, {
  code: "PGRST001",
  message: "Database client error. Retrying the connection.",
  details: "no connection to the server\n",
});

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

/** A function may raise a whole answer. */
function raisedAnswer({ message, details }: DatabaseError): Answer {
  const { status, headers } = JSON.parse(details ?? "{}");
  const answer = refusal(Number(status), JSON.parse(message));
  const given = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]);
  return { ...answer, headers: { ...answer.headers, ...Object.fromEntries(given) } };
}

async function answerIn(
  query: Query,
  role: string,
  request: Request,
  { version, maxRows, schemas, statementTimeout, lockTimeout, cache }: Server,
): Promise<Answer> {
  const { schema, path, method } = request;
  if (!schemas.includes(schema)) throw unknownSchema(schema, schemas);
  if (statementTimeout !== undefined) {
    await query("SELECT set_config('statement_timeout', $1, true)", [statementTimeout]);
  }
  if (lockTimeout !== undefined) {
    await query("SELECT set_config('lock_timeout', $1, true)", [lockTimeout]);
  }
  // read before the role is taken on
  const known = await cache(query, schema);
  const name = path.startsWith("rpc/") ? path.slice("rpc/".length) : undefined;
  const call = name === undefined ? undefined : findFunction(known, request, name, version);
  const table = { schema, name: path };
  const isTable = path !== "" && call === undefined;
  const relation = isTable ? findRelation(known, table) : undefined;
  await query("SELECT set_config('role', $1, true), set_config('search_path', $2, true)", [
    role,
    path === "" ? "" : `${quoted(schema)}, public, extensions`,
  ]);
  if (call !== undefined) return callFunction(query, request, call, maxRows);
  if (relation === undefined) return openApi(query, schema, known, version);
  switch (method) {
    case "GET":
    case "HEAD":
      return select(query, request, table, { maxRows, version });
    case "PATCH":
      return update(query, request, table, relation);
    case "POST":
      return insert(query, request, table);
    default:
      throw new Error(`the test double knows no ${method}`);
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

function findRelation({ relations }: SchemaCache, { schema, name }: Table): Relation {
  const found = relations.find((relation) => relation.name === name);
  if (found !== undefined) return found;
  const near = nearest(
    name,
    relations.map((relation) => relation.name),
  );
  // a letter more or less is all that was seen to be near enough
  const isNear = near !== undefined && Math.abs(near.length - name.length) <= 1;
  throw new Refused(
    refusal(404, {
      code: "PGRST205",
      message: `Could not find the table '${schema}.${name}' in the schema cache`,
      hint: isNear ? `Perhaps you meant the table '${schema}.${near}'` : null,
    }),
  );
}

async function select(
  query: Query,
  request: Request,
  table: Table,
  { maxRows, version }: Pick<Server, "maxRows" | "version">,
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
  if (total !== undefined && offset > total) return beyondTheEnd(version, offset, total);
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
  { columns }: Relation,
): Promise<Answer> {
  const names = Object.keys(parseBody(request.body));
  const returned = request.query.get("select");
  const counted = /count=exact/.test(request.prefer);
  const set = names.map((name) => {
    const column = columns.find((each) => each.name === name);
    if (column === undefined) throw unknownColumn(table, name);
    return column;
  });
  const [changed] =
    set.length === 0
      ? [{ rows: 0, body: "[]" }]
      : await query(updateStatement(table, request, set, returned), [request.body]);
  const rows = Number(changed?.["rows"]);
  const total = counted ? rows : undefined;
  if (returned !== null) {
    const { schema } = table;
    const body = String(changed?.["body"]);
    return page({ rows, offset: 0, total, body, schema, location: undefined });
  }
  return { status: 204, headers: { "content-range": contentRange(rows, 0, total) }, body: "" };
}

/** The types are those that it knows; the table may have others by now. */
function updateStatement(
  table: Table,
  request: Request,
  set: readonly Column[],
  returned: string | null,
): string {
  const sets = set.map(({ name }) => `${quoted(name)} = _.${quoted(name)}`).join(", ");
  const record = set.map(({ name, type }) => `${quoted(name)} ${type}`).join(", ");
  return `WITH changed AS (
       UPDATE ${qualified(table)} SET ${sets} FROM json_to_record($1) AS _(${record})
       WHERE ${whereClause(table, request.query)}
       RETURNING ${returned === null ? "1 AS one" : selectList(table, returned)}
     ) SELECT count(*)::int AS rows, coalesce(json_agg(changed), '[]')::text AS body FROM changed`;
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

function qualified({ schema, name }: Table): string {
  return `${quoted(schema)}.${quoted(name)}`;
}
