/**
 * `--seeds N`: runs within this process, each with faults of its own at the border, at the emulator,
 * or both. A seed is a plan; where calls overtake each other, the same plan may strike another call.
 */
import { cp, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Fault, Kind } from "../test/faults/outside.ts";
import type { Disturbance } from "../test/faults/sweep.ts";
import { borderSource } from "./border-hook.ts";
import { Dice } from "./dice.ts";
import { drawFaults } from "./faults.ts";

export type SeedsOptions = Readonly<{ seeds: number; seed: number; say: (line: string) => void }>;

/** So often a line says how far it is. */
const SAY_EVERY = 50;

/** Resolves to the number of seeds by which a promise was broken. */
export async function tortureBySeeds({ seeds, seed: first, say }: SeedsOptions): Promise<number> {
  borderSource();
  // loaded only now: modules of src that were there before would not be bordered
  const { openWorkshop } = await import("../test/workshop.ts");
  const { runDisturbed } = await import("../test/faults/sweep.ts");
  const workshop = await openWorkshop();
  const hits = new Map<string, number>();
  let broken = 0;
  let disturbed = 0;
  const startedMs = performance.now();
  try {
    for (let seed = first; seed < first + seeds; seed++) {
      try {
        const swept = await runDisturbed(workshop, drawDisturbance(seed));
        if (swept.hits.length > 0) disturbed += 1;
        for (const hit of swept.hits) count(hits, hit);
      } catch (error) {
        broken += 1;
        const kept = await mkdtemp(join(tmpdir(), `vecfill-torture-seed-${seed}-`));
        await cp(workshop.folder, kept, { recursive: true });
        say(`BREACH by seed ${seed}: ${error instanceof Error ? error.message : String(error)}`);
        say(`  kept for inspection: ${kept}; again: npm run torture -- --seeds 1 --seed ${seed}`);
      }
      if ((seed - first + 1) % SAY_EVERY === 0) say(`seed ${seed}: ${broken} breaches so far`);
    }
  } finally {
    await workshop.close();
  }
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  say("\ncalls that went wrong:");
  for (const [hit, times] of [...hits].sort(([, a], [, b]) => b - a)) say(`  ${hit} ${times}`);
  say(
    `\nseeds ${first} to ${first + seeds - 1}, ${seconds} s: ${disturbed} of ${seeds} runs disturbed at the border. Breaches: ${broken}.`,
  );
  return broken;
}

/** About as many calls as a run of the larger ones makes. */
const CALLS: Readonly<Record<Exclude<Kind, "">, number>> = { database: 40, gemini: 90, file: 500 };

export function drawDisturbance(seed: number): Disturbance {
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
    reconcileGraceMs: emulatorFaults.includes("create-late") ? 600 : 20,
    emulatorFaults,
    emulatorSeed: dice.between(1, 1_000_000),
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

/** Names without the ids in them. */
function count(hits: Map<string, number>, hit: string): void {
  const name = hit
    .replace(/\/upload\/.*/, "/upload")
    .replace(/\/files\/batch-[^:/?]+/, "/files/<results>")
    .replace(/\/files\/[^:/?<]+/, "/files/<file>")
    .replace(/\/batches\/[^:/?]+/, "/batches/<batch>");
  hits.set(name, (hits.get(name) ?? 0) + 1);
}
