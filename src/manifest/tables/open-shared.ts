/** Opens the manifest that a database holds: to read it, or to write to it together with others. */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../clock.ts";
import type { EventLog } from "../event-log.ts";
import { emptyState } from "../fold.ts";
import { type Manifest, type ManifestView, newManifestId, viewOf, writing } from "../manifest.ts";
import type { Job } from "../job.ts";
import type { Hold } from "../../store/port.ts";
import { type Sharing, SharedLog } from "./shared-log.ts";
import { SharedFiles } from "./shared-files.ts";
import { makeTables, readHead } from "./tables.ts";

export type SharedOptions = Pick<Sharing, "tables" | "again"> &
  Readonly<{
    /** Where files are kept for as long as they are needed here. */
    scratch: string;
    clock: Clock;
  }>;

/** Makes the tables where there are none. */
export async function openShared(options: SharedOptions): Promise<Manifest> {
  const { tables, again, scratch } = options;
  await again(() => makeTables(tables, newManifestId()));
  const head = await again(() => readHead(tables));
  if (head === undefined) throw new Error("the tables that were made hold no manifest");
  return { ...(await enterManifest(options, head.id)), id: head.id, folder: scratch, warnings: [] };
}

/** Of nothing, where there is none. */
export async function readShared(options: SharedOptions): Promise<ManifestView> {
  const head = await options.again(() => readHead(options.tables));
  const none = { ...viewOf(options.scratch, emptyState()), id: undefined, warnings: [] };
  if (head === undefined) return none;
  return { ...(await enterManifest(options, head.id)), id: head.id, warnings: [] };
}

async function enterManifest({ tables, again, scratch, clock }: SharedOptions, id: string) {
  const state = emptyState();
  const files = new SharedFiles({ tables, id, again }, scratch);
  const log = new SharedLog({ tables, id, holder: randomUUID(), again });
  const storing = storingFirst(log, files);
  const its = writing({ state, log: storing, clock });
  await its.refresh();
  const holdOf = (job: Job): Hold => ({ manifest: id, job: job.id, seq: job.seq });
  return { ...viewOf(scratch, state), ...its, holdOf, bring: (job: Job) => files.bring(job) };
}

/** A file before the event that speaks of it. */
function storingFirst(log: SharedLog, files: SharedFiles): EventLog {
  return {
    append: async (event, change) => {
      await files.store(change.jobs ?? []);
      return log.append(event, change);
    },
    readOthers: () => log.readOthers(),
    reserve: (last) => log.reserve(last),
    stillHeld: () => log.stillHeld(),
    close: () => log.close(),
  };
}
