/**
 * Whole scripts that people fill a column with, beside `vecfill run`: the same rows, the same service, the same server. Each
 * is run to its end, and once more with a kill in the middle, after which it is started again: what was paid for twice is
 * counted by the service.
 */
import { spawn } from "node:child_process";
import { once as event } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Emulator, startEmulator } from "../src/emulator/emulator.ts";
import type { Database } from "../src/store/database.ts";
import { connectPostgres } from "../src/store/postgres/postgres.ts";
import { buildInstalled, INSTALLED } from "./process.ts";
import { countWritten, emptyTable } from "./questions.ts";
import { alternate, type Contestant, type Figure, once, secondsOf } from "./rounds.ts";

/** Scripts in the folder `peers`. */
const SCRIPTS = {
  "supabase-guide": "the guide's statement: a call and an UPDATE a row",
  awaited: "usual script: an UPDATE a row, awaited",
  "all-of-16": "usual script: Promise.all over 16 connections",
  "pgai-column": "pgai's column path: 50 rows a transaction",
  copy: "by hand: one COPY, one UPDATE",
};

type Name = keyof typeof SCRIPTS | "vecfill";

type World = Readonly<{ url: string; database: Database; folder: string; rows: number }>;

export async function measurePeers(
  url: string,
  folder: string,
  { rows, rounds }: Readonly<{ rows: number; rounds: number }>,
): Promise<Figure> {
  await buildInstalled();
  const database = connectPostgres(url);
  const world = { url, database, folder, rows };
  const names: Name[] = [
    "vecfill",
    "supabase-guide",
    "awaited",
    "all-of-16",
    "pgai-column",
    "copy",
  ];
  try {
    const seconds = new Map<Name, number>();
    const figure = await alternate(
      { name: "peers", unit: "rows/s", rounds, note: NOTE },
      names.map((name) => contestant(world, name, seconds)),
    );
    const more = [];
    for (const name of names) {
      const lost = await paidAgainAfterKill(world, name, seconds.get(name) ?? 0);
      more.push(
        once(`paid for again after a kill: ${titleOf(name)}`, `${rows} rows`, lost, "rows"),
      );
      if (name === "vecfill") continue;
      const lines = await linesOf(name);
      more.push(once(`lines of code: ${titleOf(name)}`, "", lines, "lines"));
    }
    return { ...figure, rows: [...figure.rows, ...more] };
  } finally {
    await database.close();
  }
}

const NOTE =
  "The scripts check no vector, bring none to unit length, and write whatever the row's text is by now; they pay the full price, vecfill half of it. The service answers at once.";

function titleOf(name: Name): string {
  return name === "vecfill" ? "vecfill run" : SCRIPTS[name];
}

function contestant(world: World, name: Name, times: Map<Name, number>): Contestant {
  const run = async () => {
    const { rows, database } = world;
    const seconds = await inTrial(world, (trial) =>
      secondsOf(async () => {
        await event(start(trial, name), "exit");
      }),
    );
    const written = await countWritten(database);
    if (written !== rows) throw new Error(`${name} wrote ${written} of ${rows} rows`);
    times.set(name, seconds);
    return { value: rows / seconds, size: `${rows} rows` };
  };
  return { name: titleOf(name), run };
}

/** Killed half way, by the time that it took before; then started again, to the end. */
async function paidAgainAfterKill(world: World, name: Name, seconds: number): Promise<number> {
  return inTrial(world, async (trial) => {
    const first = start(trial, name);
    const ended = event(first, "exit");
    await Promise.race([ended, untilHalf(world, seconds)]);
    first.kill("SIGKILL");
    await ended;
    // a server that lost its client may still be at the last statement
    await delay(SETTLE_MS);
    await event(start(trial, name), "exit");
    const written = await countWritten(world.database);
    if (written !== world.rows) throw new Error(`${name} wrote ${written} of ${world.rows} rows`);
    return paidAgain(trial.emulator);
  });
}

const SETTLE_MS = 500;
const LOOK_MS = 10;
const MS = 1000;

/** Half of the rows are in the column, or half of the time is over in which it was filled before. */
async function untilHalf({ database, rows }: World, seconds: number): Promise<void> {
  const endMs = performance.now() + (seconds * MS) / 2;
  while (performance.now() < endMs && (await countWritten(database)) < rows / 2)
    await delay(LOOK_MS);
}

async function paidAgain(emulator: Emulator): Promise<number> {
  const times = [...(await emulator.billing()).values(), ...emulator.paidTexts().values()];
  return times.reduce((sum, paid) => sum + paid - 1, 0);
}

type Trial = World & Readonly<{ emulator: Emulator; jobs: string }>;

async function inTrial<T>(world: World, work: (trial: Trial) => Promise<T>): Promise<T> {
  await emptyTable(world.database, world.rows);
  const jobs = await mkdtemp(join(world.folder, "peers-"));
  const emulator = await startEmulator({
    batchSeconds: 0,
    tier: "off",
    requestsPerMinute: UNLIMITED,
    tokensPerMinute: UNLIMITED,
  });
  try {
    return await work({ ...world, emulator, jobs });
  } finally {
    await emulator.close();
    await rm(jobs, { recursive: true, force: true });
  }
}

const UNLIMITED = 1_000_000_000;

function start({ url, emulator, jobs }: Trial, name: Name) {
  const program = name === "vecfill" ? INSTALLED : fileOf(name);
  const args = ["run", "--yes", "--quiet", "--jobs-dir", jobs, "--poll-interval", "0.05"];
  return spawn(process.execPath, [program, ...(name === "vecfill" ? args : [])], {
    env: {
      PATH: process.env["PATH"],
      DATABASE_URL: url,
      GEMINI_API_KEY: "bench",
      GOOGLE_GEMINI_BASE_URL: emulator.url,
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
}

function fileOf(name: string): string {
  return fileURLToPath(new URL(`peers/${name}.ts`, import.meta.url));
}

/** With what calls the service, without comments and empty lines. */
async function linesOf(name: string): Promise<number> {
  const sources = await Promise.all(
    [fileOf(name), fileOf("embed")].map((file) => readFile(file, "utf8")),
  );
  return sources
    .flatMap((source) => source.split("\n"))
    .filter((line) => /\S/.test(line) && !/^\s*(?:\/\/|\/\*|\*)/.test(line)).length;
}
