/** Everything that two versions of a real PostgREST were recorded to answer, and what supabase-js made of it. */
import { readFileSync } from "node:fs";
import { createClient } from "@supabase/supabase-js";
import { expect } from "vitest";
import { z } from "zod";
import { ANON_KEY, jwtFor, SERVICE_ROLE_KEY } from "./keys.ts";
import type { Project } from "./project.ts";
import type { PostgrestVersion } from "./version.ts";

const RECORDED = z.object({
  name: z.string(),
  what: z.string(),
  request: z.object({
    method: z.string(),
    path: z.string(),
    prefer: z.string().optional(),
    schema: z.string().default("public"),
    body: z.string().optional(),
  }),
  response: z.object({
    status: z.number(),
    reason: z.string().optional(),
    contentType: z.string().optional(),
    contentRange: z.string().optional(),
    proxyStatus: z.string().optional(),
    retryAfter: z.string().optional(),
    body: z.string(),
  }),
  supabaseJs: z.record(z.string(), z.unknown()).default({}),
  /** How often supabase-js asks by itself, left alone. */
  attempts: z.number().optional(),
  /** Of a document that is not kept whole: whether a table is in it, or a column's format. */
  documentHas: z.record(z.string(), z.union([z.literal(false), z.string()])).optional(),
});

export type Recorded = z.infer<typeof RECORDED>;

/** What came one after the other, from an event on; the last is how it stayed. */
const TIMELINE = z.object({
  name: z.string(),
  what: z.string(),
  steps: z.array(z.looseObject({ did: z.string().optional() })),
});
const TIMELINE_ANSWER = z.object({
  status: z.number(),
  code: z.string().optional(),
  message: z.string().optional(),
  details: z.string().nullable().optional(),
});

export type TimelineAnswer = z.infer<typeof TIMELINE_ANSWER>;

export function timelines(): { name: string; what: string; steps: TimelineAnswer[] }[] {
  return recordedLines("14.17")
    .flatMap((line) => TIMELINE.safeParse(line).data ?? [])
    .map((timeline) => ({
      ...timeline,
      steps: timeline.steps.flatMap((step) => TIMELINE_ANSWER.safeParse(step).data ?? []),
    }))
    .toSorted((one, other) => Number(isDrop(one)) - Number(isDrop(other)));
}

/** Of what the others made. */
function isDrop({ name }: Readonly<{ name: string }>): boolean {
  return name.includes("drop");
}

/** As they stand in the file, also those that never reached a server. */
export function recordedLines(version: PostgrestVersion): unknown[] {
  return linesOf(`exchanges-${version.split(".")[0]}.ndjson`).slice(1);
}

/** All that a version was recorded to answer, by name; the newer file leaves out what is alike. */
export function exchangesOf(version: PostgrestVersion): Recorded[] {
  const own = recordedLines(version).flatMap((line) => RECORDED.safeParse(line).data ?? []);
  if (version === "13.0.8") return own;
  const names = own.map(({ name }) => name);
  return [...own, ...exchangesOf("13.0.8").filter(({ name }) => !names.includes(name))];
}

/** They take a server with timers, or seconds in the embedded one: the full run has them. */
export const HEAVY =
  /^err-statement-timeout|-(?:500|2500)x768-|role-timeout|own-timeout|lock-timeout-real|cancelled/;

const DOCUMENTED = z.object({
  version: z.string(),
  fixtures: z.enum(["questions", "kinds"]),
  table: z.string(),
  /** A view that nothing can be written through. */
  onlyGet: z.boolean().optional(),
  required: z.array(z.string()).optional(),
  properties: z.record(z.string(), z.unknown()),
});

/** What the OpenAPI document says of each table. */
export function documentedTables(): z.infer<typeof DOCUMENTED>[] {
  return linesOf("open-api.ndjson").flatMap((line) => DOCUMENTED.safeParse(line).data ?? []);
}

export const KINDS_SQL = fixture("kinds.sql");

function fixture(name: string): string {
  return readFileSync(new URL(`../../fixtures/postgrest/${name}`, import.meta.url), "utf8");
}

function linesOf(name: string): unknown[] {
  return fixture(name)
    .trimEnd()
    .split("\n")
    .map((line): unknown => JSON.parse(line));
}

/** The vector of the recordings, to the digits that show. */
const SHOWN = [0, 0.020544469, 0.037460177, 0.04775931, 0.049622735, 0.042721317, 0.02827405];
const VECTOR = Array.from({ length: 768 }, (_, index) => SHOWN[index] ?? Math.sin(index) / 20);
const VECTOR_TEXT = JSON.stringify(VECTOR);

/** For bodies that are not kept whole. */
const BODIES: Readonly<Record<string, unknown>> = {
  "err-vector-dimensions-rpc": { rows: [{ id: 1, embedding: [...VECTOR, ...VECTOR] }] },
  "err-vector-nan": { embedding: `[${VECTOR.map(() => "NaN").join(",")}]` },
  "ok-patch-by-id-minimal-array": { embedding: VECTOR },
  "ok-rpc-500x768-jsonb-arrays": { rows: rows(500, VECTOR) },
  "ok-rpc-500x768-jsonb-strings": { rows: rows(500, VECTOR_TEXT) },
  "ok-rpc-2500x768-one-body": { rows: rows(2500, [0.5, ...VECTOR.slice(1)]) },
  "ok-upsert-minimal": [
    { id: 1, question_text: "Question 1 again", embedding: VECTOR_TEXT },
    { id: 2, question_text: "Question 2 again", embedding: VECTOR_TEXT },
  ],
  "ok-upsert-missing-notnull": [{ id: 1, embedding: VECTOR_TEXT }],
};

function rows(count: number, embedding: unknown): unknown[] {
  return Array.from({ length: count }, (_, index) => ({ id: index + 1, embedding }));
}

/** The recording went through these tables and functions. */
const QUESTIONS_SQL = [
  `CREATE TABLE questions (id bigint PRIMARY KEY, question_text text NOT NULL, embedding extensions.vector(768))`,
  `INSERT INTO questions SELECT i, 'Question ' || i FROM generate_series(1, 2500) i`,
  `CREATE TABLE questions_checked (id bigint PRIMARY KEY, question_text text NOT NULL CHECK (length(question_text) > 3), slug text UNIQUE, embedding extensions.vector(768))`,
  `INSERT INTO questions_checked VALUES (1, 'Question one', 'a'), (2, 'Question two', 'b')`,
  `CREATE TABLE questions_rls (id bigint PRIMARY KEY, question_text text NOT NULL, embedding extensions.vector(768))`,
  `INSERT INTO questions_rls SELECT i, 'Question ' || i FROM generate_series(1, 10) i`,
  `ALTER TABLE questions_rls ENABLE ROW LEVEL SECURITY`,
  `CREATE TABLE private_notes (id bigint PRIMARY KEY)`,
  `REVOKE ALL ON private_notes FROM anon, authenticated, service_role`,
  `CREATE SCHEMA private`,
  `CREATE FUNCTION fail_with(code text, msg text) RETURNS void LANGUAGE plpgsql AS $$
   BEGIN RAISE EXCEPTION USING ERRCODE = code, MESSAGE = msg, DETAIL = 'some detail', HINT = 'some hint'; END $$`,
  `CREATE SEQUENCE attempts`,
  `GRANT ALL ON SEQUENCE attempts TO service_role`,
  `CREATE FUNCTION fail_times(code text, n int) RETURNS bigint LANGUAGE plpgsql AS $$
   DECLARE attempt bigint := nextval('public.attempts');
   BEGIN IF attempt <= n THEN RAISE EXCEPTION USING ERRCODE = code; END IF; RETURN attempt; END $$`,
  `CREATE FUNCTION secret_fn() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
  `REVOKE ALL ON FUNCTION secret_fn FROM PUBLIC`,
  `CREATE FUNCTION slow(seconds float) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(seconds)'`,
  `CREATE FUNCTION list_ids() RETURNS SETOF bigint LANGUAGE sql STABLE AS 'SELECT id FROM public.questions ORDER BY id'`,
  ...["bulk_set_embeddings", "bulk_set_embeddings_text"].map(
    (name) => `CREATE FUNCTION ${name}(rows jsonb) RETURNS int LANGUAGE plpgsql AS $$
   DECLARE n int;
   BEGIN UPDATE public.questions q SET embedding = r.embedding::text::extensions.vector
     FROM jsonb_to_recordset(rows) AS r(id bigint, embedding ${name.endsWith("text") ? "text" : "jsonb"})
     WHERE q.id = r.id; GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END $$`,
  ),
];

export async function prepareQuestions(project: Project): Promise<Project> {
  for (const statement of QUESTIONS_SQL) await project.database.query(statement);
  const page = exchangesOf("13.0.8").find(({ name }) => name === "ok-select-null-gt-order-limit");
  for (const { id, question_text } of JSON.parse(page?.response.body ?? "[]")) {
    await project.database.query(`UPDATE questions SET question_text = $1 WHERE id = ${id}`, [
      question_text,
    ]);
  }
  return project;
}

/** As it was when this one was recorded. */
export async function resetQuestions({ database }: Project, { name }: Recorded): Promise<void> {
  await database.query("UPDATE questions SET embedding = NULL WHERE embedding IS NOT NULL");
  await database.query("ALTER SEQUENCE attempts RESTART");
  if (name !== "ok-select-embedding") return;
  await database.query(`UPDATE questions SET embedding = '${VECTOR_TEXT}' WHERE id = 1`);
}

function keyFor(name: string): string {
  const tomorrow = Math.floor(Date.now() / 1000) + 86_400;
  const special: Readonly<Record<string, string>> = {
    "err-jwt-bad-signature": jwtFor("service_role", { secret: "another secret" }),
    "err-jwt-expired": jwtFor("service_role", { expiresIn: -1 }),
    "err-jwt-garbage": "not-a-jwt",
    "err-jwt-head": "not-a-jwt",
    "err-jwt-issued-in-future": jwtFor("service_role", { claims: { iat: tomorrow } }),
    "err-jwt-not-yet": jwtFor("service_role", { claims: { nbf: tomorrow } }),
    "err-jwt-two-parts": "two.parts",
    "err-gateway-invalid-key": "two.parts",
    "ok-jwt-no-role": jwtFor("anon", { claims: { role: undefined } }),
    "err-jwt-unknown-role": jwtFor("nobody_here"),
  };
  return special[name] ?? (/anon/.test(name) ? ANON_KEY : SERVICE_ROLE_KEY);
}

/** `in.(1..500)` stands for all of them. */
function whole(path: string): string {
  return path.replace(/\((?<first>\d+)\.\.(?<last>\d+)\)/, (_, first: string, last: string) => {
    const from = Number(first);
    const ids = Array.from({ length: Number(last) - from + 1 }, (__, index) => from + index);
    return `%28${ids.join("%2C")}%29`;
  });
}

/** The gateway looks at this one, PostgREST at the other. */
function gatewayKey(name: string, key: string): Record<string, string> {
  if (name === "err-no-apikey") return {};
  return { apikey: name.startsWith("err-jwt-") ? SERVICE_ROLE_KEY : key };
}

function ask({ api }: Project, { name, request }: Recorded): Promise<Response> {
  const { method, path, prefer, schema, body } = request;
  const key = keyFor(name);
  const sent = name in BODIES ? JSON.stringify(BODIES[name]) : body?.replace(/,[^,]*…$/, "");
  const vector = `{"embedding":${JSON.stringify(VECTOR_TEXT)}}`;
  return fetch(`${api.url}/rest/v1/${whole(path)}`, {
    method,
    headers: {
      ...(name === "err-no-apikey" ? {} : { authorization: `Bearer ${key}` }),
      ...gatewayKey(name, key),
      ...(prefer === undefined ? {} : { prefer }),
      "accept-profile": schema,
    },
    body: sent === undefined ? null : body?.endsWith("…") && !(name in BODIES) ? vector : sent,
  });
}

/** What supabase-js makes of an answer to the recorded request. */
async function throughClient({ request }: Recorded, answer: Response): Promise<unknown> {
  const { method, path, prefer = "" } = request;
  const client = createClient("http://project.example", "any-key", {
    db: { retry: false },
    global: { fetch: async () => answer },
  });
  const count = z
    .enum(["exact", "planned", "estimated"])
    .safeParse(/count=(\w+)/.exec(prefer)?.[1]);
  const options = count.success ? { count: count.data } : {};
  if (path.startsWith("rpc/")) return client.rpc("any", {}, { get: method === "GET" });
  if (method === "POST") return client.from("any").insert({});
  if (method === "PATCH") {
    const patch = client.from("any").update({}, options).eq("id", 1);
    return prefer.includes("representation") ? patch.select("id") : patch;
  }
  return client.from("any").select("*", { ...options, head: method === "HEAD" });
}

/** In the form of the recording: as long as it is, where it was cut, and without what it leaves out. */
export async function seen(project: Project, exchange: Recorded): Promise<unknown> {
  const { response, supabaseJs } = exchange;
  const answer = await ask(project, exchange);
  const client = await throughClient(exchange, answer.clone());
  const made = z.record(z.string(), z.unknown()).parse(client);
  const length = Array.isArray(made["data"]) ? made["data"].length : 0;
  const data = String(supabaseJs["data"]).endsWith(" rows") ? `${length} rows` : made["data"];
  const told = Object.entries({ ...made, data }).filter(([name]) => name in supabaseJs);
  const body = withoutCounters(await answer.text());
  const header = (name: string) => answer.headers.get(name) ?? undefined;
  return {
    status: answer.status,
    contentRange: header("content-range"),
    proxyStatus: header("proxy-status"),
    ...("reason" in response ? { reason: answer.statusText } : {}),
    ...("contentType" in response ? { contentType: header("content-type") } : {}),
    ...("retryAfter" in response ? { retryAfter: header("retry-after") } : {}),
    body: response.body.endsWith("…") ? `${body.slice(0, response.body.length - 1)}…` : body,
    supabaseJs: JSON.parse(withoutCounters(JSON.stringify(Object.fromEntries(told)))),
  };
}

function withoutCounters(json: string): string {
  return json.replaceAll(/"(version|vecfill_version|xmin)":"\d+"/g, '"$1":"<xmin>"');
}

export function recorded({ response, supabaseJs }: Recorded): unknown {
  return { ...response, supabaseJs: expect.objectContaining(supabaseJs) };
}
