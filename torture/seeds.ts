/**
 * `--seeds N`: runs within this process, each with faults of its own at the border, at the emulator,
 * or both. A seed is a plan; where calls overtake each other, the same plan may strike another call.
 */
import { cp, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { borderFiles, type Fault, type Kind } from "../test/scenarios/faults/outside.ts";
import { type Disturbance, runDisturbed } from "../test/scenarios/faults/sweep.ts";
import { openWorkshop } from "../test/workshop.ts";
import { Dice } from "./dice.ts";
import { drawFaults } from "./faults.ts";

export type SeedsOptions = Readonly<{
  seeds: number;
  seed: number;
  say: (line: string) => void;
  /** Ends the torture after the seed in hand. */
  stop: AbortSignal;
}>;

/** So often a line says how far it is. */
const SAY_EVERY = 50;

type Tally = {
  seeds: number;
  disturbed: number;
  broken: number;
  readonly hits: Map<string, number>;
};

/** Resolves to the number of seeds by which a promise was broken. */
export async function tortureBySeeds(options: SeedsOptions): Promise<number> {
  borderFiles();
  const workshop = await openWorkshop();
  const { seeds, seed: first, say, stop } = options;
  const tally: Tally = { seeds: 0, disturbed: 0, broken: 0, hits: new Map() };
  const startedMs = performance.now();
  try {
    for (let seed = first; seed < first + seeds && !stop.aborted; seed++) {
      try {
        note(tally, (await runDisturbed(workshop, drawDisturbance(seed))).hits);
      } catch (error) {
        tally.broken += 1;
        await keep(workshop.folder, seed, error, say);
      }
      tally.seeds += 1;
      if (tally.seeds % SAY_EVERY === 0) say(`seed ${seed}: ${tally.broken} breaches so far`);
    }
  } finally {
    await workshop.close();
  }
  sayFigures(options, tally, performance.now() - startedMs);
  return tally.broken;
}

function note(tally: Tally, hits: readonly string[]): void {
  if (hits.length > 0) tally.disturbed += 1;
  for (const name of hits.map(withoutIds)) tally.hits.set(name, (tally.hits.get(name) ?? 0) + 1);
}

async function keep(
  folder: string,
  seed: number,
  error: unknown,
  say: (line: string) => void,
): Promise<void> {
  const kept = await mkdtemp(join(tmpdir(), `vecfill-torture-seed-${seed}-`));
  await cp(folder, kept, { recursive: true });
  const breach = error instanceof Error ? error.message : String(error);
  await writeFile(join(kept, "breaches.txt"), `${breach}\n`);
  say(`BREACH by seed ${seed}: ${breach}`);
  say(`  kept for inspection: ${kept}; again: npm run torture -- --seeds 1 --seed ${seed}`);
}

function sayFigures({ seed, say }: SeedsOptions, tally: Tally, elapsedMs: number): void {
  const { seeds, disturbed, broken, hits } = tally;
  say("\ncalls that went wrong:");
  for (const [hit, times] of [...hits].sort(([, a], [, b]) => b - a)) say(`  ${hit} ${times}`);
  const seconds = Math.round(elapsedMs / MS_PER_SECOND);
  say(
    `\nseeds ${seed} to ${seed + seeds - 1}, ${seconds} s: ${disturbed} of ${seeds} runs disturbed at the border. Breaches: ${broken}.`,
  );
}

const MS_PER_SECOND = 1000;

/** About as many calls as a run of the larger ones makes. */
const CALLS: Readonly<Record<Exclude<Kind, "">, number>> = { database: 40, gemini: 90, file: 500 };

function drawDisturbance(seed: number): Disturbance {
  const dice = new Dice(seed, "disturbance");
  const emulatorFaults = dice.chance(0.6) ? drawFaults(dice, 0.15) : "";
  const processes = Array.from({ length: dice.between(1, 3) }, () =>
    Array.from({ length: dice.between(1, 2) }, () => drawFault(dice)),
  );
  return {
    processes,
    stages: dice.chance(0.4),
    rows: dice.between(1, 40),
    rowsPerJob: dice.between(1, 12),
    maxActiveJobs: dice.pick([1, 2, 90]),
    lane: dice.pick(["batch", "batch", "sync"] as const),
    counts: dice.chance(0.3),
    rebuildIndex: dice.chance(0.15),
    reconcileGraceMs: emulatorFaults.includes("create-late") ? 600 : 20,
    emulatorFaults,
    emulatorSeed: dice.between(1, 1_000_000),
    isRacing: true,
  };
}

/** The first calls more often than the last: small runs have no others. */
function drawFault(dice: Dice): Fault {
  const kind = dice.pick(["database", "gemini", "file"] as const);
  return {
    kind,
    nth: 1 + Math.floor(CALLS[kind] * dice.share() ** 2),
    when: dice.pick(["before", "middle", "after"] as const),
    how: dice.pick(["error", "kill"] as const),
  };
}

function withoutIds(name: string): string {
  return name
    .replace(/\/upload\/.*/, "/upload")
    .replace(/\/files\/batch-[^:/?]+/, "/files/<results>")
    .replace(/\/files\/[^:/?<]+/, "/files/<file>")
    .replace(/\/batches\/[^:/?]+/, "/batches/<batch>");
}
