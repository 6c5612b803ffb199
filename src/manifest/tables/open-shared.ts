/** Opens the manifest that a database holds: to read it, or to write to it together with others. */
import { randomUUID } from "node:crypto";
import type { JournalEvent } from "../event.ts";
import type { EventLog } from "../event-log.ts";
import { apply, emptyState, type ManifestState } from "../fold.ts";
import { type Manifest, type ManifestView, newManifestId, viewOf, writing } from "../manifest.ts";
import type { Job } from "../job.ts";
import type { Hold } from "../../store/port.ts";
import { findSaved, keepSaved } from "./saved-events.ts";
import { type Sharing, SharedLog } from "./shared-log.ts";
import { SharedFiles } from "./shared-files.ts";
import { isCopy, refuseElsewhere } from "./elsewhere.ts";
import { changeState, type Head, makeTables, readHead } from "./tables.ts";
import { isSameDatabase, untoldText, whichDatabase } from "./which-database.ts";

export type SharedOptions = Pick<Sharing, "tables" | "again" | "clock"> &
  Readonly<{
    /** Where files of that manifest are kept for as long as they are needed here. */
    scratchOf: (id: string) => Promise<string>;
  }>;

/** Makes the tables where there are none. */
export async function openShared(options: SharedOptions): Promise<Manifest> {
  const { tables, again, scratchOf } = options;
  const database = await again(() => whichDatabase(tables));
  const first = { id: newManifestId(), database, state: "active" } as const;
  await again(() => makeTables(tables, first));
  const head = await again(() => readHead(tables));
  if (head === undefined) throw new Error("the tables that were made hold no manifest");
  refuseElsewhere(head);
  await refuseCopy(options, head, database);
  const folder = await scratchOf(head.id);
  const its = await enterManifest(options, head.id, folder);
  const stillHeld = async () => {
    await its.stillHeld();
    // whoever is connected anew may have come to a copy
    await refuseCopy(options, head, await again(() => whichDatabase(tables)));
  };
  const untold = untoldText(database);
  return { ...its, stillHeld, id: head.id, folder, warnings: untold === undefined ? [] : [untold] };
}

/** Whoever works on the copy is stopped, too: nobody may have looked yet. `database`: this one. */
export async function refuseCopy(
  { tables, again }: Pick<SharedOptions, "tables" | "again">,
  head: Head,
  database: string,
): Promise<void> {
  if (isSameDatabase(head.database, database)) return;
  await again(() => changeState(tables, "paused", database));
  throw isCopy();
}

/** Of nothing, where there is none. */
export async function readShared(options: SharedOptions): Promise<ManifestView> {
  const { tables, again, scratchOf } = options;
  const head = await again(() => readHead(tables));
  if (head === undefined) {
    return { ...viewOf(await scratchOf(""), emptyState()), id: undefined, warnings: [] };
  }
  refuseElsewhere(head);
  const its = await enterManifest({ ...options, reads: true }, head.id, await scratchOf(head.id));
  return { ...its, id: head.id, warnings: [] };
}

/** All that it says, oldest first. */
export async function readSharedEvents(
  sharing: Pick<SharedOptions, "tables" | "again" | "clock">,
  onEvent: (event: JournalEvent) => void,
): Promise<void> {
  const { tables, again } = sharing;
  const head = await again(() => readHead(tables));
  if (head === undefined) return;
  const log = new SharedLog({ ...sharing, id: head.id, holder: "", reads: true });
  await log.readEach(onEvent);
}

async function enterManifest(
  { tables, again, clock, reads }: SharedOptions & Pick<Sharing, "reads">,
  id: string,
  scratch: string,
) {
  const books = { tables, id, again };
  const { state, place } = await findSaved(books);
  const files = new SharedFiles(books, scratch);
  const log = new SharedLog({ ...books, holder: randomUUID(), clock, reads }, place);
  await log.readEach((event) => apply(state, event));
  if (reads !== true) await keepSaved(books, { state, place: log.place }, place);
  const its = writing({ state, log: storingFirst(log, files, state), clock });
  const holdOf = ({ id: job, seq }: Job): Hold => ({ manifest: id, epoch: log.epoch, job, seq });
  const limits = () => ({ ...state.limits, targets: state.targets });
  const view = { ...viewOf(scratch, state), isShared: true, limits };
  return { ...view, ...its, holdOf, bring: (job: Job) => files.bring(job) };
}

/** A file before the event that speaks of it; and one that is not needed any more after the event that says so. */
function storingFirst(log: SharedLog, files: SharedFiles, { jobs }: ManifestState): EventLog {
  return {
    append: async (event, change) => {
      const moved = change.jobs ?? [];
      const before = moved.flatMap(({ id }) => jobs.get(id) ?? []);
      await files.store(moved, before);
      const at = await log.append(event, change);
      const [was, now] = event.type === "cleaned" ? [before[0], moved[0]] : [];
      if (at !== undefined && was !== undefined && now !== undefined) await files.drop(was, now);
      return at;
    },
    readOthers: () => log.readOthers(),
    reserve: (last) => log.reserve(last),
    stillHeld: () => log.stillHeld(),
    close: () => log.close(),
  };
}
