/**
 * Where the time of a row goes that is written through Supabase's API, and what other sizes of a call gain.
 * The tests' double of PostgREST stands for the server in between, in a thread of its own.
 */
import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import pg from "pg";
import { type EmbeddedQuestion, fingerprintOf } from "../src/row/question.ts";
import { checkVector } from "../src/row/vector.ts";
import type { Database } from "../src/store/database.ts";
import { connectPostgres } from "../src/store/postgres/postgres.ts";
import { vectorText } from "../src/store/supabase/function-store.ts";
import { type Api, connectSupabase } from "../src/store/supabase/supabase.ts";
import { functionName, installStatements } from "../src/store/supabase-functions.ts";
import { SECRET_KEY } from "../test/store/supabase/keys.ts";
import { PROJECT_ROLES, startPostgrest } from "../test/store/supabase/postgrest.ts";
import { onServer } from "../test/store/supabase/session.ts";
import {
  countWritten,
  DIMENSIONS,
  emptyTable,
  fillTable,
  someValues,
  TARGET,
} from "./questions.ts";
import { alternate, type Contestant, type Figure, secondsOf } from "./rounds.ts";

const SHAPE = { idType: "integer", vectorSchema: "public", embeddingType: "vector" } as const;
const APPLY = functionName(TARGET, "apply");
/** As the store has it. */
const CALL_ROWS = 100;
const CALLS = 4;
const MICROS = 1e6;
const GIVEN = "jsonb_to_recordset($1) AS g(id bigint, fingerprint text, vector vector)";

if (!isMainThread) {
  const pool = new pg.Pool({ connectionString: String(workerData), max: 10 });
  const { url } = await startPostgrest(onServer(pool), { statementTimeout: "8s" });
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(url);
}

export type SupabaseSizes = Readonly<{ rows: number; rounds: number }>;

export async function measureSupabase(url: string, sizes: SupabaseSizes): Promise<Figure> {
  const database = connectPostgres(url);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await install(database, sizes.rows);
  const server = new Worker(new URL(import.meta.url), { workerData: url });
  try {
    const api = connectSupabase({
      url: String((await once(server, "message"))[0]),
      key: SECRET_KEY,
    });
    const questions = await embedded(database, sizes.rows);
    const bodies = chunksOf(questions, CALL_ROWS).map((chunk) => JSON.stringify(chunk.map(given)));
    await decode(client, bodies);
    return await alternate(
      { name: "supabase", unit: "µs a row", rounds: sizes.rounds, note: NOTE },
      [...ways(database, api, questions), ...parts(database, { api, client, questions, bodies })],
    );
  } finally {
    await server.terminate();
    await client.end();
    await database.close();
  }
}

const NOTE =
  "vector(768) without an index; PostgREST is the tests' double, in a thread of its own. (a) to (d) are one call of 100 rows after the other.";

async function install(database: Database, rows: number): Promise<void> {
  for (const statement of PROJECT_ROLES) await database.query(statement);
  await fillTable(database, rows);
  const wanted = { trigger: false, fingerprint: false, api: true };
  for (const statement of installStatements(TARGET, SHAPE, wanted)) await database.query(statement);
  await database.query(
    "CREATE FUNCTION nothing(rows jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN '[]'; END $$",
  );
}

async function embedded(database: Database, rows: number): Promise<EmbeddedQuestion[]> {
  const found = await database.query("SELECT question_text AS text FROM questions ORDER BY id");
  if (found.length !== rows) throw new Error(`${found.length} of ${rows} rows`);
  return found.map(({ text }, at) => {
    const checked = checkVector(someValues(at + 1), DIMENSIONS);
    if (!checked.ok) throw new Error(checked.message);
    return { id: String(at + 1), fingerprint: fingerprintOf(text ?? ""), vector: checked.vector };
  });
}

/** The rows as they are when nothing has to be read any more. */
async function decode(client: pg.Client, bodies: readonly string[]): Promise<void> {
  await client.query("CREATE TEMPORARY TABLE decoded (call int, id bigint, vector vector)");
  for (const [call, body] of bodies.entries()) {
    await client.query(`INSERT INTO decoded SELECT ${call}, g.id, g.vector FROM ${GIVEN}`, [body]);
  }
  await client.query("CREATE INDEX ON decoded (call)");
  await client.query("ANALYZE decoded");
}

const SIZES = [100, 250, 500, 1000];
const WIDTHS = [1, 2, 4];

/** The store's own way is the first. */
function ways(database: Database, api: Api, questions: readonly EmbeddedQuestion[]): Contestant[] {
  const all = SIZES.flatMap((size) => WIDTHS.map((width) => ({ size, width })));
  const ours = ({ size, width }: (typeof all)[number]) => size === CALL_ROWS && width === CALLS;
  return [...all.filter(ours), ...all.filter((way) => !ours(way))].map(({ size, width }) =>
    writing(database, `by the API: ${size} rows a call, ${width} at once`, questions.length, () =>
      byApi(api, APPLY, { width, chunks: chunksOf(questions, size) }),
    ),
  );
}

function parts(
  database: Database,
  {
    api,
    client,
    questions,
    bodies,
  }: Readonly<{
    api: Api;
    client: pg.Client;
    questions: readonly EmbeddedQuestion[];
    bodies: readonly string[];
  }>,
): Contestant[] {
  const rows = questions.length;
  const chunks = chunksOf(questions, CALL_ROWS);
  const each = async (sql: string) => {
    for (const body of bodies) await client.query(sql, [body]);
  };
  return [
    timed("(a) the client makes the body", rows, async () => {
      for (const chunk of chunks) JSON.stringify({ rows: chunk.map(given) });
    }),
    timed("(b) with it, a function that does nothing, by the API", rows, () =>
      byApi(api, "nothing", { width: 1, chunks }),
    ),
    timed("    the same called directly, the body made before", rows, () =>
      each("SELECT nothing($1)"),
    ),
    timed("    the body read as rows and vectors, once", rows, () =>
      each(`SELECT count(g.vector) FROM ${GIVEN}`),
    ),
    writing(database, "(c) the function called directly", rows, () => each(`SELECT ${APPLY}($1)`)),
    writing(database, "(d) the UPDATE alone, of decoded rows", rows, async () => {
      for (const at of bodies.keys()) await client.query(UPDATE, [at]);
    }),
  ];
}

const UPDATE =
  "UPDATE questions SET embedding = d.vector FROM decoded d WHERE d.call = $1 AND questions.id = d.id";

/** Microseconds a row, of which every one is written. */
function writing(
  database: Database,
  name: string,
  rows: number,
  work: () => Promise<void>,
): Contestant {
  const timing = timed(name, rows, work);
  const run = async () => {
    await emptyTable(database, rows);
    const measured = await timing.run();
    const written = await countWritten(database);
    if (written !== rows) throw new Error(`${name} wrote ${written} of ${rows} rows`);
    return measured;
  };
  return { name, run };
}

function timed(name: string, rows: number, work: () => Promise<void>): Contestant {
  const run = async () => ({
    value: ((await secondsOf(work)) * MICROS) / rows,
    size: `${rows} rows`,
  });
  return { name, run };
}

/** As the store sends it. */
function given({ id, fingerprint, vector }: EmbeddedQuestion): Readonly<Record<string, string>> {
  return { id, fingerprint, vector: vectorText(vector) };
}

async function byApi(
  api: Api,
  name: string,
  { width, chunks }: Readonly<{ width: number; chunks: readonly EmbeddedQuestion[][] }>,
): Promise<void> {
  const left = chunks.values();
  const worker = async () => {
    for (const chunk of left) {
      const send = () => api.call(TARGET.schema, name, { rows: chunk.map(given) });
      // once more where the server has just closed the connection
      await send().catch(send);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}

function chunksOf<T>(items: readonly T[], size: number): T[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, at) => items.slice(at * size, (at + 1) * size));
}
