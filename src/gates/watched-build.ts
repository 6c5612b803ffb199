import { type Clock, MS_PER_SECOND } from "../clock.ts";
import type { Report } from "../progress.ts";
import type { AnnIndex, BuildOutcome, StoreIndexes } from "../store/port.ts";

const PROGRESS_EVERY_MS = 2_000;

type Watching = Readonly<{ indexes: StoreIndexes; report: Report; clock: Clock }>;

/** Builds it, and reports from time to time how far it is. */
export async function watchedBuild(
  watching: Watching,
  index: AnnIndex,
  signal: AbortSignal,
): Promise<Readonly<{ how: BuildOutcome; seconds: number }>> {
  const { indexes, clock } = watching;
  const startMs = clock.elapsedMs();
  const seconds = () => (clock.elapsedMs() - startMs) / MS_PER_SECOND;
  const ended = new AbortController();
  const watched = watch(watching, index, seconds, AbortSignal.any([signal, ended.signal]));
  try {
    return { how: await indexes.build(index, signal), seconds: seconds() };
  } finally {
    ended.abort();
    await watched;
  }
}

/** Never rejects: where the database cannot be asked, the build itself says what is wrong. */
async function watch(
  { indexes, report, clock }: Watching,
  { name }: AnnIndex,
  seconds: () => number,
  signal: AbortSignal,
): Promise<void> {
  try {
    for (;;) {
      await clock.sleep(PROGRESS_EVERY_MS, signal);
      const progress = await indexes.progress();
      if (progress === undefined || signal.aborted) continue;
      report({ type: "indexBuilding", index: name, ...progress, seconds: seconds() });
    }
  } catch {
    // ended, or not to be asked
  }
}
