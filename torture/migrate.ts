/**
 * `--migrate [--questions file] [--rows N]`: a table in use goes over to a new model, in a process that is killed at
 * every step, and back; then the new column is sabotaged. Needs a native server, whose superuser it is.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "pg";
import { type CommandEnd, runCommand, type Strike } from "./command.ts";
import { EmulatorProcess } from "./emulator-process.ts";
import {
  DIMENSIONS,
  INDEX,
  lookAtVectors,
  makeTable,
  readTexts,
  schemaOf,
  type Text,
  vectorsOf,
} from "./migrated-table.ts";
import {
  checkFilled,
  checkKilled,
  checkListed,
  checkPaid,
  checkVectors,
  checkWaits,
  Claims,
} from "./migration-claims.ts";
import { KILLS, KILLS_OF_UNDO, killedAt, strikeAt } from "./migration-kills.ts";
import { plainEnvironment } from "./round.ts";
import { openTortureDatabase, type TortureDatabase } from "./server.ts";
import { Seen, startTraffic } from "./traffic.ts";

export type MigrateOptions = Readonly<{
  questions: string | undefined;
  rows: number;
  say: (line: string) => void;
  stop: AbortSignal;
}>;

const MS = 1_000;
const COMMAND_LIMIT_MS = 3_600 * MS;
/** Readers and the writer use the swapped table for so long. */
const IN_USE_MS = 2 * MS;
/** `--undo` lists a hundred. */
const LIMITS = { inserted: 30, swapped: 60 };
const SETTINGS = {
  VECFILL_DIMENSIONS: String(DIMENSIONS),
  VECFILL_MAX_JOB_ROWS: "2500",
  VECFILL_MAX_ENQUEUED_TOKENS: "5000000",
  VECFILL_POLL_INTERVAL: "0.05",
  VECFILL_RECONCILE_GRACE: "1",
  VECFILL_QUOTA_WAIT: "1",
} as const;
/** The vectors of the emulator are hard on an index: with the defaults it finds 0.88 of the ten nearest among 25,000. */
const MIGRATE = ["migrate", "--to", "gemini-embedding-2", "--min-recall", "0.8"];

/** With when each moment was seen, in seconds. */
type Ended = CommandEnd & Readonly<{ seen: ReadonlyMap<string, [first: number, last: number]> }>;

type Scene = Readonly<{
  database: TortureDatabase;
  emulator: EmulatorProcess;
  vecfill: (args: readonly string[], strikes?: readonly Strike[]) => Promise<Ended>;
  claims: Claims;
}>;

/** Resolves to the number of claims that do not hold. */
export async function tortureMigration(options: MigrateOptions): Promise<number> {
  const { questions, rows, say, stop } = options;
  const folder = await mkdtemp(join(tmpdir(), "vecfill-torture-"));
  const claims = new Claims(say);
  const database = await openTortureDatabase(folder, say);
  try {
    if (!database.native) throw new Error("a migration of a table in use needs a native server");
    const texts = await readTexts(questions, rows);
    await database.use((open) => makeTable(open, texts));
    const scenes: [string, (scene: Scene) => Promise<void>][] = [
      ["undisturbed", (scene) => compareTimes(scene, texts.length)],
      ["in use, and killed", (scene) => migrateInUse(scene, texts)],
      ["sabotaged", sabotage],
    ];
    for (const [place, [name, play]] of scenes.entries()) {
      if (stop.aborted) break;
      say(`\n${name}; ${texts.length} rows, load ${loadavg()[0]?.toFixed(1)}`);
      await playIn(join(folder, `scene-${place}`), { database, claims }, play);
    }
  } finally {
    await database.dispose();
    await rm(folder, { recursive: true, force: true });
  }
  say(`\n${claims.checked} claims, ${claims.breaches} breaches.`);
  return claims.breaches;
}

/** With an emulator and a jobs folder of its own. */
async function playIn(
  folder: string,
  { database, claims }: Pick<Scene, "database" | "claims">,
  play: (scene: Scene) => Promise<void>,
): Promise<void> {
  await mkdir(folder);
  const its = { cwd: folder, env: plainEnvironment() };
  const faultless = { faults: "", seed: 1, batchSeconds: 0 };
  const emulator = new EmulatorProcess({ folder: join(folder, "emulator"), ...its, ...faultless });
  await emulator.start();
  const jobsFolder = join(folder, "jobs");
  const env = {
    ...its.env,
    ...SETTINGS,
    GEMINI_API_KEY: "a-key",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
    DATABASE_URL: database.url,
  };
  const vecfill: Scene["vecfill"] = async (words, strikes = []) => {
    const seen = new Map<string, [number, number]>();
    const onMoment = (moment: string) => {
      const now = performance.now() / MS;
      seen.set(moment, [seen.get(moment)?.[0] ?? now, now]);
    };
    const args = [...words, "--jobs-dir", jobsFolder, "--yes"];
    const options = { args, jobsFolder, strikes, onMoment, limitMs: COMMAND_LIMIT_MS };
    return { ...(await runCommand({ ...its, ...options, env })), seen };
  };
  try {
    await play({ database, emulator, vecfill, claims });
  } finally {
    await emulator.kill();
  }
}

/** Filling in place, under the index, beside a migration that nobody disturbs. */
async function compareTimes({ database, vecfill, claims }: Scene, rows: number): Promise<void> {
  const place = secondsBetween(well(await vecfill(["run"])), "downloaded", "imported");
  const [schema, before] = [await schemaOf(database.url), await database.use(vectorsOf)];
  const migrated = well(await vecfill(MIGRATE));
  const fill = secondsBetween(migrated, "downloaded", "imported");
  const build = secondsBetween(migrated, "migration filled", "migration indexed");
  const rate = (seconds: number) =>
    `${Math.round(rows / seconds)} rows/s in ${seconds.toFixed(1)} s`;
  const [whole, alone] = [place / (fill + build), place / fill].map((ratio) => ratio.toFixed(1));
  claims.check(
    "a new column is filled sooner than an old one in place, under its index",
    place > fill,
    `${alone} times as fast, with the building of the index ${whole} times (in place ${rate(place)}; filled ${rate(fill)}; index ${build.toFixed(1)} s)`,
  );
  well(await vecfill(["migrate", "--undo"]));
  await checkSchema({ database, claims }, schema);
  checkVectors(claims, [before, await database.use(vectorsOf)], new Seen());
}

function well(ended: Ended): Ended {
  if (ended.code === 0) return ended;
  throw new Error(`vecfill ended with ${ended.code}: ${ended.stdout}${ended.stderr.slice(-2_000)}`);
}

/** From the first to the last, in the journal. */
function secondsBetween({ seen }: Ended, from: string, to: string): number {
  const first = seen.get(`journal ${from}`)?.[0] ?? Number.NaN;
  const last = seen.get(`journal ${to}`)?.[1] ?? Number.NaN;
  return last - first;
}

async function checkSchema(
  { database, claims }: Pick<Scene, "database" | "claims">,
  before: string,
): Promise<void> {
  const isSame = before === (await schemaOf(database.url));
  claims.check(
    "undone, the dump of the schema is as before",
    isSame,
    `${before.length} characters`,
  );
}

async function migrateInUse(scene: Scene, texts: readonly Text[]): Promise<void> {
  const { database, emulator, vecfill, claims } = scene;
  const [schema, before] = [await schemaOf(database.url), await database.use(vectorsOf)];
  const ids = texts.map(({ id }) => id).sort(() => Math.random() - 0.5);
  const seen = new Seen();
  const killed = (args: readonly string[], kills: readonly string[]) => {
    const onStage = (stage: string) => {
      seen.stage = `${args.slice(0, 2).join(" ")}, ${stage}`;
      claims.say(`        ${seen.stage}`);
    };
    const run = (strikes: readonly Strike[]) => vecfill(args, strikes);
    return database.use((open) => killedAt({ database: open, vecfill: run, onStage }, kills));
  };
  const stop = await startTraffic(database.url, { seen, ids, limits: LIMITS });
  const there = await killed(MIGRATE, KILLS);
  await stop();
  checkKilled(claims, "the migration", there);
  checkFilled(claims, await database.use(lookAtVectors), seen);
  const limits = { ...LIMITS, inserted: 0 };
  const stopAgain = await startTraffic(database.url, { seen, ids, limits });
  await delay(IN_USE_MS);
  const back = await killed(["migrate", "--undo", "--json"], KILLS_OF_UNDO);
  await stopAgain();
  checkKilled(claims, "the undo", back);
  checkWaits(claims, seen);
  await checkSchema(scene, schema);
  checkVectors(claims, [before, await database.use(vectorsOf)], seen);
  checkListed(claims, back.ended, seen);
  await emulator.withLedger(async ({ billing, paidTexts }) =>
    checkPaid(claims, { batch: (await billing()).values(), now: paidTexts().values() }),
  );
}

/** Each time the gate has to hold the swap back; then all is mended, and it goes through. */
async function sabotage({ database, vecfill, claims }: Scene): Promise<void> {
  const sql = (statement: string) => database.use((open) => open.query(statement));
  const upTo = (moment: string) =>
    database.use((open) => vecfill(MIGRATE, [strikeAt(open, moment)]));
  const isHeld = (claim: string, { code, stdout }: Ended, reason: string) => {
    const told = stdout.split("\n").filter((line) => line.includes("holds the swap back"));
    claims.check(
      `the gate holds the swap back: ${claim}`,
      code === 1 && told.some((line) => line.includes(reason)),
      `exit code ${code}; ${told.map((line) => line.trim().replaceAll(/ +/g, " ")).join("; ")}`,
    );
  };
  await upTo("journal migration filled");
  await sql(
    `CREATE INDEX ${INDEX}_new ON questions USING hnsw (embedding_new vector_cosine_ops) WITH (m = 2, ef_construction = 4)`,
  );
  isHeld(
    "an index with m = 2, ef_construction = 4",
    await vecfill(MIGRATE),
    "the index misses too much",
  );
  await sql(`DROP INDEX ${INDEX}_new`);
  await upTo("journal migration indexed");
  await sql(
    "UPDATE questions q SET embedding_new = o.embedding_new FROM questions o WHERE q.id % 20 = 0 AND o.id = q.id - 1",
  );
  isHeld(
    "a twentieth of the vectors swapped",
    await vecfill(MIGRATE),
    "vectors are not those of their texts",
  );
  await sql("UPDATE questions SET embedding_new = NULL WHERE id % 20 = 0");
  await upTo("journal migration indexed");
  // what is seen to be empty before the check is filled before it
  const client = new Client({ connectionString: database.url });
  await client.connect();
  await client.query("BEGIN; UPDATE questions SET embedding_new = NULL WHERE id % 10 = 0");
  const emptied = await database.use((open) => {
    const moment = "vectors are looked at";
    return vecfill(MIGRATE, [strikeAt(open, moment, () => client.query("COMMIT"))]);
  });
  await client.end();
  isHeld("a tenth of the rows empty", emptied, "rows have a text and no vector");
  const { code, stdout } = await vecfill(MIGRATE);
  const isSwapped = code === 0 && /: swapped/.test(stdout);
  claims.check("mended, it goes through", isSwapped, `exit code ${code}`);
}
