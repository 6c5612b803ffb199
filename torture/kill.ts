/** `--kill N`: real processes, really killed, until N of them have died. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Dice } from "./dice.ts";
import { Moments } from "./moments.ts";
import { type RoundEnd, runRound, type Tally } from "./round.ts";
import { openTortureDatabase } from "./server.ts";

export type KillOptions = Readonly<{
  kills: number;
  seed: number;
  say: (line: string) => void;
  /** Ends the torture after the round in hand. */
  stop: AbortSignal;
}>;

/** A fresh set of rows every so many kills. */
const KILLS_PER_ROUND = 8;

type Totals = Tally & {
  rounds: number;
  rows: number;
  right: number;
  waiting: number;
  jobs: number;
  batches: number;
};

/** Resolves to the number of breaches. What belongs to a round with a breach stays on disk. */
export async function tortureByKilling({ kills, seed, say, stop }: KillOptions): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "vecfill-torture-"));
  process.env["NODE_COMPILE_CACHE"] ??= join(folder, "compiled");
  const database = await openTortureDatabase(folder, say);
  const moments = new Moments();
  const totals = noTotals();
  let breaches = 0;
  const startedMs = performance.now();
  try {
    for (let round = 1; totals.kills < kills && !stop.aborted; round++) {
      const left = Math.min(KILLS_PER_ROUND, kills - totals.kills);
      const own = join(folder, `round-${round}`);
      await mkdir(own);
      const dice = new Dice(seed, `round ${round}`);
      const end = await runRound({ folder: own, database, dice, moments, kills: left });
      add(totals, end);
      say(roundLine(round, end, totals.kills, kills));
      breaches += end.breaches.length;
      if (end.breaches.length > 0) await keep(own, end, say);
      else await rm(own, { recursive: true });
      if (end.tally.kills === 0 && round > kills) throw new Error("no command can be killed");
    }
  } finally {
    await database.dispose();
    if (breaches === 0) await rm(folder, { recursive: true, force: true });
  }
  sayFigures(say, {
    totals,
    moments,
    breaches,
    seed,
    seconds: (performance.now() - startedMs) / 1000,
    native: database.native,
  });
  return breaches;
}

function noTotals(): Totals {
  return {
    rounds: 0,
    kills: 0,
    commands: 0,
    emulatorKills: 0,
    connectionCuts: 0,
    meddlings: 0,
    rows: 0,
    right: 0,
    waiting: 0,
    jobs: 0,
    batches: 0,
  };
}

function add(totals: Totals, { audit, tally }: RoundEnd): void {
  totals.rounds += 1;
  for (const name of [
    "kills",
    "commands",
    "emulatorKills",
    "connectionCuts",
    "meddlings",
  ] as const) {
    totals[name] += tally[name];
  }
  for (const name of ["rows", "right", "waiting", "jobs", "batches"] as const) {
    totals[name] += audit[name];
  }
}

function roundLine(
  round: number,
  { audit, breaches, tally, plan }: RoundEnd,
  killed: number,
  kills: number,
): string {
  const verdict = breaches.length === 0 ? "the books balance" : `${breaches.length} BREACHES`;
  return `round ${round}: ${tally.kills} kills (${killed} of ${kills}), ${audit.rows} rows, ${audit.jobs} jobs: ${verdict}  ${plan}`;
}

async function keep(
  folder: string,
  { breaches, plan }: RoundEnd,
  say: (line: string) => void,
): Promise<void> {
  for (const breach of breaches.slice(0, MAX_SAID)) say(`  BREACH ${breach}`);
  await writeFile(join(folder, "breaches.txt"), [plan, ...breaches, ""].join("\n"));
  say(`  kept for inspection: ${folder}`);
}

/** All of them are in `breaches.txt`. */
const MAX_SAID = 10;

type Figures = Readonly<{
  totals: Totals;
  moments: Moments;
  breaches: number;
  seed: number;
  seconds: number;
  native: boolean;
}>;

function sayFigures(say: (line: string) => void, figures: Figures): void {
  const { totals, moments, breaches, seed, seconds, native } = figures;
  say("\nkills by command and by the last thing seen of it:");
  for (const [command, struck] of moments.figures()) {
    const hits = [...struck].filter(([, strikes]) => strikes > 0).sort(([, a], [, b]) => b - a);
    const all = hits.reduce((sum, [, strikes]) => sum + strikes, 0);
    say(
      `  ${command} ${all}: ${hits.map(([moment, strikes]) => `${moment} ${strikes}`).join(", ")}`,
    );
  }
  say(
    `\nseed ${seed}, ${native ? "native Postgres" : "embedded database"}, ${Math.round(seconds)} s: ${totals.kills} kill -9 in ${totals.rounds} rounds and ${totals.commands} commands, besides ${totals.emulatorKills} of the emulator, ${totals.connectionCuts} database connections cut, ${totals.meddlings} meddlings.`,
  );
  say(
    `${totals.rows} rows, ${totals.right} with their right vector, ${totals.waiting} waiting in failed files, ${totals.jobs} jobs, ${totals.batches} batches. Breaches: ${breaches}.`,
  );
}
