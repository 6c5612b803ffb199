/**
 * The Supabase tests run against a double of PostgREST. Is it one? Everything that a real PostgREST
 * was recorded to answer, and what supabase-js made of it, is asked of the double again.
 */
import { readFileSync } from "node:fs";
import { createClient } from "@supabase/supabase-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { hasNativeServer, nativeServer } from "../postgres/native-database.ts";
import { ANON_KEY, jwtFor, SERVICE_ROLE_KEY } from "./keys.ts";
import { openNativeProject, openProject, type Project } from "./project.ts";

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
    contentRange: z.string().optional(),
    proxyStatus: z.string().optional(),
    body: z.string(),
  }),
  supabaseJs: z.record(z.string(), z.unknown()),
});

type Recorded = z.infer<typeof RECORDED>;

/** Two of the recordings never reached a server: `failures.test.ts` has these. */
const EXCHANGES = z
  .object({ exchanges: z.array(z.unknown()) })
  .parse(
    JSON.parse(
      readFileSync(new URL("../fixtures/postgrest/exchanges.json", import.meta.url), "utf8"),
    ),
  )
  .exchanges.flatMap((exchange) => RECORDED.safeParse(exchange).data ?? []);

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
const FIXTURES = [
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

async function prepare(project: Project): Promise<Project> {
  for (const statement of FIXTURES) await project.database.query(statement);
  const page = EXCHANGES.find(({ name }) => name === "ok-select-null-gt-order-limit");
  for (const { id, question_text } of JSON.parse(page?.response.body ?? "[]")) {
    await project.database.query(`UPDATE questions SET question_text = $1 WHERE id = ${id}`, [
      question_text,
    ]);
  }
  return project;
}

/** As it was when this one was recorded. */
async function reset({ database }: Project, { name }: Recorded): Promise<void> {
  await database.query("UPDATE questions SET embedding = NULL WHERE embedding IS NOT NULL");
  await database.query("ALTER SEQUENCE attempts RESTART");
  if (name !== "ok-select-embedding") return;
  await database.query(`UPDATE questions SET embedding = '${VECTOR_TEXT}' WHERE id = 1`);
}

function keyFor(name: string): string {
  const special: Readonly<Record<string, string>> = {
    "err-jwt-bad-signature": jwtFor("service_role", { secret: "another secret" }),
    "err-jwt-expired": jwtFor("service_role", { expiresIn: -1 }),
    "err-jwt-garbage": "not-a-jwt",
    "err-jwt-head": "not-a-jwt",
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

function ask({ api }: Project, { name, request }: Recorded): Promise<Response> {
  const { method, path, prefer, schema, body } = request;
  const key = keyFor(name);
  const sent = name in BODIES ? JSON.stringify(BODIES[name]) : body?.replace(/,[^,]*…$/, "");
  const vector = `{"embedding":${JSON.stringify(VECTOR_TEXT)}}`;
  return fetch(`${api.url}/rest/v1/${whole(path)}`, {
    method,
    headers: {
      ...(name === "err-no-apikey" ? {} : { apikey: key, authorization: `Bearer ${key}` }),
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
  if (path.startsWith("rpc/")) return client.rpc("any", {});
  if (method === "POST") return client.from("any").insert({});
  if (method === "PATCH") {
    const patch = client.from("any").update({}, options).eq("id", 1);
    return prefer.includes("representation") ? patch.select("id") : patch;
  }
  return client.from("any").select("*", { ...options, head: method === "HEAD" });
}

/** In the form of the recording: as long as it is, where it was cut, and without what it leaves out. */
async function seen(project: Project, exchange: Recorded): Promise<unknown> {
  const { response, supabaseJs } = exchange;
  const answer = await ask(project, exchange);
  const client = await throughClient(exchange, answer.clone());
  const made = z.record(z.string(), z.unknown()).parse(client);
  const length = Array.isArray(made["data"]) ? made["data"].length : 0;
  const data = String(supabaseJs["data"]).endsWith(" rows") ? `${length} rows` : made["data"];
  const told = Object.entries({ ...made, data }).filter(([name]) => name in supabaseJs);
  const body = await answer.text();
  return {
    status: answer.status,
    contentRange: answer.headers.get("content-range") ?? undefined,
    proxyStatus: answer.headers.get("proxy-status") ?? undefined,
    body: response.body.endsWith("…") ? `${body.slice(0, response.body.length - 1)}…` : body,
    supabaseJs: Object.fromEntries(told),
  };
}

function recorded({ response, supabaseJs }: Recorded): unknown {
  return { ...response, supabaseJs: expect.objectContaining(supabaseJs) };
}

/** They need timers in the server, or more than half a minute in the embedded one. */
const HEAVY = EXCHANGES.filter(({ name }) => /^err-statement-timeout|-2500x768-/.test(name));

describe("the double answers as PostgREST did", () => {
  let project: Project;
  beforeAll(async () => {
    project = await prepare(await openProject());
  });
  afterAll(() => project.close());

  it.each(EXCHANGES.filter((exchange) => !HEAVY.includes(exchange)))(
    "$name: $what",
    async (exchange) => {
      await reset(project, exchange);
      expect(await seen(project, exchange)).toEqual(recorded(exchange));
    },
  );
});

/** What runs into the time limit, and what has to be done whatever time it takes on a busy machine. */
describe.skipIf(!hasNativeServer).each([
  ["8s", HEAVY.filter(({ name }) => name.startsWith("err-"))],
  ["10min", HEAVY.filter(({ name }) => name.startsWith("ok-"))],
])(`the double on ${nativeServer}, with %s for a statement`, (statementTimeout, exchanges) => {
  let project: Project;
  beforeAll(async () => {
    project = await prepare(await openNativeProject({ statementTimeout }));
  });
  afterAll(() => project.close());

  it.each(exchanges)("$name: $what", async (exchange) => {
    expect(await seen(project, exchange)).toEqual(recorded(exchange));
  });
});
