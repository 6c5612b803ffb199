/**
 * Where others write to the manifest too: reads from time to time what they have recorded, for as long as this process has
 * something to do or to wait for. It keeps nobody waiting itself: what the others alone can go on with, they go on with.
 */
import { IDLE, type Lane } from "../gates/step.ts";
import type { World } from "../gates/world.ts";
import { isOpen } from "../manifest/states.ts";

const READ_EVERY_MS = 2_000;

type OthersWorld = Pick<World, "manifest" | "clock" | "onEnded">;

/** To be asked last. */
export function othersLane({ manifest, clock, onEnded }: OthersWorld): Lane {
  let readAtMs = clock.elapsedMs();
  // what was read elsewhere, behind an append that came second, counts as well
  const told = new Set<string>();
  const readOthers = async () => {
    readAtMs = clock.elapsedMs();
    await manifest.refresh();
    for (const job of manifest.jobs()) {
      if (isOpen(job) || told.has(job.id)) continue;
      told.add(job.id);
      onEnded(job);
    }
  };
  return {
    next: (isQuiet) => {
      if (!manifest.isShared || isQuiet) return IDLE;
      const leftMs = readAtMs + READ_EVERY_MS - clock.elapsedMs();
      return leftMs < 1 ? readOthers : leftMs;
    },
  };
}
