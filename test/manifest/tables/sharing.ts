/** What a test opens a shared manifest with: time passes at once, and what fails for a while is repeated. */
import { randomUUID } from "node:crypto";
import { sharedClock, systemClock } from "../../../src/clock.ts";
import { emptyState } from "../../../src/manifest/fold.ts";
import { type Manifest, viewOf, writing } from "../../../src/manifest/manifest.ts";
import { openShared, type SharedOptions } from "../../../src/manifest/tables/open-shared.ts";
import { SharedLog } from "../../../src/manifest/tables/shared-log.ts";
import type { Database } from "../../../src/store/database.ts";
import { repeating } from "../../../src/store/retry.ts";

export const CLOCK = { ...systemClock, sleep: async () => {} };

export function sharing(
  tables: Database,
  scratch = "scratch",
  clock = sharedClock(CLOCK),
): SharedOptions {
  return {
    tables,
    again: repeating({ clock, report: () => {} }),
    scratchOf: async () => scratch,
    clock,
  };
}

/** The manifest of a process for which the files of jobs are no matter: there are none. */
export async function openLog(tables: Database, clock = sharedClock(CLOCK)): Promise<Manifest> {
  const its = sharing(tables, undefined, clock);
  const shared = await openShared(its);
  const state = emptyState();
  const log = new SharedLog({ ...its, id: shared.id, holder: randomUUID() });
  const written = writing({ state, log, clock });
  await written.refresh();
  return {
    ...shared,
    ...viewOf(shared.folder, state),
    ...written,
    holdOf: (job) => shared.holdOf(job),
    limits: () => ({ ...state.limits, targets: state.targets }),
  };
}
