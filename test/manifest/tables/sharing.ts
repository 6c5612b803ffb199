/** What a test opens a shared manifest with: time passes at once, and what fails for a while is repeated. */
import { randomUUID } from "node:crypto";
import { systemClock } from "../../../src/clock.ts";
import { emptyState } from "../../../src/manifest/fold.ts";
import { type Manifest, viewOf, writing } from "../../../src/manifest/manifest.ts";
import { openShared, type SharedOptions } from "../../../src/manifest/tables/open-shared.ts";
import { SharedLog } from "../../../src/manifest/tables/shared-log.ts";
import type { Database } from "../../../src/store/database.ts";
import { repeating } from "../../../src/store/retry.ts";

export const CLOCK = { ...systemClock, sleep: async () => {} };

export function sharing(tables: Database, scratch = "scratch"): SharedOptions {
  return {
    tables,
    again: repeating({ clock: CLOCK, report: () => {} }),
    scratchOf: async () => scratch,
    clock: CLOCK,
  };
}

/** The manifest of a process for which the files of jobs are no matter: there are none. */
export async function openLog(tables: Database, clock = CLOCK): Promise<Manifest> {
  const { again } = sharing(tables);
  const shared = await openShared(sharing(tables));
  const state = emptyState();
  const log = new SharedLog({ tables, id: shared.id, holder: randomUUID(), again });
  const its = writing({ state, log, clock });
  await its.refresh();
  return {
    ...shared,
    ...viewOf(shared.folder, state),
    ...its,
    holdOf: (job) => shared.holdOf(job),
  };
}
