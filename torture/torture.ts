/**
 * Breaks vecfill in every way it is promised to survive, and checks the books.
 *
 *   npm run torture -- --kill N [--seed S]    N real kill -9 of real processes
 *   npm run torture -- --seeds N [--seed S]   N runs with random faults at every call to the outside
 *   npm run torture -- --workers N [--projects] [--seconds S] [--seed S] [--sabotage name]   N workers on one manifest, on a native server
 *   npm run torture -- --migrate [--questions file] [--rows N]   a migration of a table in use, killed at each step
 *
 * Exits with 1 where a promise was broken; docs/reliability.md says what is promised.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";

const MAX_SEED = 1_000_000_000;
const EXIT_INTERRUPTED = 130;
const USAGE =
  "usage: npm run torture -- --kill N | --seeds N [--seed S] | --workers N [--projects] [--seconds S] [--sabotage name] | --migrate [--questions file] [--rows N]";
const MIGRATED_ROWS = "2000";
const WORKERS_SECONDS = "120";

const stop = new AbortController();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      kill: { type: "string" },
      seeds: { type: "string" },
      seed: { type: "string" },
      workers: { type: "string" },
      projects: { type: "boolean", default: false },
      seconds: { type: "string", default: WORKERS_SECONDS },
      sabotage: { type: "string" },
      migrate: { type: "boolean" },
      questions: { type: "string" },
      rows: { type: "string", default: MIGRATED_ROWS },
    },
  });
  if (values.migrate === true) {
    const { tortureMigration } = await import("./migrate.ts");
    const { questions } = values;
    return tortureMigration({ questions, rows: count(values.rows), say, stop: stop.signal });
  }
  const seed = values.seed === undefined ? randomInt(1, MAX_SEED) : count(values.seed);
  say(`seed ${seed}`);
  if (values.kill !== undefined) {
    const { tortureByKilling } = await import("./kill.ts");
    return tortureByKilling({ kills: count(values.kill), seed, say, stop: stop.signal });
  }
  if (values.seeds !== undefined) {
    const { tortureBySeeds } = await import("./seeds.ts");
    return tortureBySeeds({ seeds: count(values.seeds), seed, say, stop: stop.signal });
  }
  if (values.workers !== undefined) {
    const { tortureWorkers } = await import("./workers.ts");
    const { sabotage, projects } = values;
    const sizes = { workers: count(values.workers), seconds: count(values.seconds) };
    const its = { ...sizes, projects, sabotage };
    return tortureWorkers({ ...its, seed, say, stop: stop.signal });
  }
  throw new Error(USAGE);
}

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(USAGE);
  return Number(text);
}

function say(line: string): void {
  console.log(line);
}

// the first Ctrl-C ends after the round or seed in hand, with its figures; the second at once, and
// what was started does not outlive this process: see `leash`
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(EXIT_INTERRUPTED);
    say("stopping after what is in hand");
    stop.abort();
  });
}

process.exitCode = (await main()) > 0 ? 1 : 0;
