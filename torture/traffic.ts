/**
 * Those who use a table while it changes: readers by the index, one through a view, one who takes long, and a writer.
 * The server itself tells each of them how long it waited for a lock, so that it is not mistaken for a busy machine.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "pg";
import { z } from "zod";

/** `stage`: what was under way. */
type Moment = Readonly<{ stage: string; who: string; ms: number }>;

/** What became of it all; goes on over several times of traffic. */
export class Seen {
  /** What is under way now. */
  stage = "";
  /** What the server said, from `LOCK_TOLD_MS` on. */
  readonly waits: Moment[] = [];
  readonly answers: Moment[] = [];
  readonly failures: string[] = [];
  /** Rows whose text was edited: while the old column was aside, or before and after that. */
  readonly edited = new Map<string, "swapped" | "otherwise">();
  readonly inserted = new Set<string>();
}

export type Traffic = Readonly<{
  seen: Seen;
  /** Ids that the writer may edit, each once. */
  ids: string[];
  /** No more rows are inserted than this in all, and none edited beyond that while the old column is aside. */
  limits: Readonly<{ inserted: number; swapped: number }>;
}>;

const LOCK_TOLD_MS = 5;
const READERS = 2;
const READ_EVERY_MS = 20;
const WRITE_EVERY_MS = 100;
const LONG_READ_MS = 400;
const LONG_READ_EVERY_MS = 1_500;
/** Of so many writes one is a new row. */
const WRITES_A_NEW_ROW = 8;
const FIRST_NEW_ID = 1_000_000;

const NEAREST = (relation: string) => `SELECT id FROM ${relation}
  ORDER BY embedding <=> (SELECT embedding FROM questions WHERE id = $1::bigint) LIMIT 10`;

/** Resolves to what stops it. */
export async function startTraffic(url: string, traffic: Traffic): Promise<() => Promise<void>> {
  const stop = new AbortController();
  const { seen, ids } = traffic;
  const someId = () => ids[Math.floor(Math.random() * ids.length)] ?? "1";
  const read = (relation: string) => (client: Client) =>
    client.query(NEAREST(relation), [someId()]);
  const tasks: [string, number, (client: Client) => Promise<unknown>][] = [
    ...Array.from({ length: READERS }, (): (typeof tasks)[number] => [
      "reader",
      READ_EVERY_MS,
      read("questions"),
    ]),
    ["reader of the view", READ_EVERY_MS, read("asked")],
    ["long reader", LONG_READ_EVERY_MS, readLong],
    ["writer", WRITE_EVERY_MS, writer(traffic)],
    ["who asks nothing", READ_EVERY_MS, (client) => client.query("SELECT 1")],
  ];
  const ended = await Promise.all(
    tasks.map(async ([who, everyMs, work]) => {
      const client = await connect(url, seen, who);
      return {
        loop: repeat(stop.signal, { seen, who, everyMs, work: () => work(client) }),
        client,
      };
    }),
  );
  return async () => {
    stop.abort();
    for (const { loop, client } of ended) {
      await loop;
      await client.end();
    }
  };
}

/** One transaction, which keeps what it locks. */
function readLong(client: Client): Promise<unknown> {
  return client.query(
    `SELECT count(*) FROM asked WHERE id < 10; SELECT pg_sleep(${LONG_READ_MS / 1_000})`,
  );
}

async function connect(url: string, seen: Seen, who: string): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: "traffic" });
  client.on("notice", ({ message = "" }) => {
    const ms = /acquired .* after ([\d.]+) ms/.exec(message)?.[1];
    if (ms !== undefined) seen.waits.push({ stage: seen.stage, who, ms: Number(ms) });
  });
  await client.connect();
  await client.query(`SET deadlock_timeout = ${LOCK_TOLD_MS}; SET log_lock_waits = on;
    SET client_min_messages = log; SET enable_seqscan = off`);
  return client;
}

async function repeat(
  signal: AbortSignal,
  task: Readonly<{ seen: Seen; who: string; everyMs: number; work: () => Promise<unknown> }>,
): Promise<void> {
  const { seen, who, everyMs, work } = task;
  while (!signal.aborted) {
    const startMs = performance.now();
    await work().catch((error: unknown) => seen.failures.push(`${who}: ${String(error)}`));
    seen.answers.push({ stage: seen.stage, who, ms: performance.now() - startMs });
    await delay(everyMs, undefined, { signal }).catch(() => undefined);
  }
}

const EDITED = z.object({ rows: z.array(z.object({ is_swapped: z.boolean() })) });
/** Looked up under the lock of the row's table, so it is surely before or after. */
const EDIT = `UPDATE questions q SET question_text = question_text || ' (edited)' WHERE id = $1::bigint
  RETURNING EXISTS (SELECT FROM jsonb_object_keys(to_jsonb(q)) k WHERE k ~ '^embedding_[0-9]{8}$') AS is_swapped`;

function writer({ seen, ids, limits }: Traffic): (client: Client) => Promise<void> {
  let writes = 0;
  return async (client) => {
    writes += 1;
    if (writes % WRITES_A_NEW_ROW === 0 && seen.inserted.size < limits.inserted) {
      const id = String(FIRST_NEW_ID + seen.inserted.size);
      seen.inserted.add(id);
      await client.query("INSERT INTO questions (id, question_text) VALUES ($1::bigint, $2)", [
        id,
        `What is new in number ${id}?`,
      ]);
      return;
    }
    const swapped = [...seen.edited.values()].filter((when) => when === "swapped").length;
    const id = swapped < limits.swapped ? ids.find((each) => !seen.edited.has(each)) : undefined;
    if (id === undefined) return;
    seen.edited.set(id, "otherwise");
    const { rows } = EDITED.parse(await client.query(EDIT, [id]));
    if (rows[0]?.is_swapped === true) seen.edited.set(id, "swapped");
  };
}
