/** Where the manifest is kept, as the settings have it: in a folder for one process, or in the target's database for several. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { SharedClock } from "../clock.ts";
import { usageError } from "../errors.ts";
import { LEASE_MS } from "../gates/duties.ts";
import type { SharedPlace } from "../jobs-folder/scratch/scratch.ts";
import type { Moved } from "../jobs-folder/scratch/to-database.ts";
import type { JournalEvent } from "../manifest/event.ts";
import type { Manifest, ManifestView } from "../manifest/manifest.ts";
import type { Worker } from "../manifest/tables/workers.ts";
import type { Report } from "../progress.ts";
import { storeAccess } from "../settings/access.ts";
import type { Configuration } from "../settings/config.ts";
import type { OpenCrew, Working } from "../worker/crew.ts";
import type { Settings } from "../settings/options.ts";
import { needsDatabase } from "../words/needs-database.ts";
import { needsFolder } from "../words/needs-folder.ts";

type Place = "folder" | "postgres";

/** Statements of a library's own. */
type Native = (sql: string, values?: unknown[]) => Promise<{ rows: unknown[] }>;

export type Kept = Readonly<{
  open(): Promise<Manifest>;
  /** As it stands now, each time: takes no lock and changes nothing. */
  view(): Promise<ManifestView>;
  /** All that it says, oldest first. */
  events(onEvent: (event: JournalEvent) => void): Promise<void>;
  /** Of a shared one, who works on it. */
  workers(): Promise<readonly Worker[]>;
  /** The work shared out among those who work on it; undefined where one process does it all. */
  crew(
    manifest: Manifest,
    working: Working,
    projects: readonly string[],
  ): Promise<OpenCrew | undefined>;
  /** Of the manifest, also of one that has left for a folder. */
  manifestId(): Promise<string | undefined>;
  /** From the jobs folder to the target's database, or back, wherever the settings have it. */
  move(to: Place): Promise<Moved>;
  /** Undefined where there is none. Throws a UserError (usage) where it is not shared. */
  change(state: "active" | "paused"): Promise<string | undefined>;
}>;

/** The database, and work on it in words for people. */
type Reached = Pick<SharedPlace, "tables" | "again">;

type Reach = Readonly<{
  tables(): Promise<Reached>;
  /** By a way of its own, so that tasks need not wait for vectors that are written; undefined for an embedded database. */
  native(): Promise<Native | undefined>;
}>;

type KeptOptions = Pick<Configuration, "settings" | "environment"> &
  Readonly<{ clock: SharedClock; report: Report; signal: AbortSignal; command?: string }>;

export function keptManifest(options: KeptOptions, reach: Reach): Kept {
  const kept = options.settings.manifestIn === "postgres" ? inDatabase : inFolder;
  const its = kept(options, reach);
  return {
    ...its,
    move: async (to) => moveManifest(to, await sharedPlace(options, reach), options.command),
    open: async () => {
      const { reportedManifest } = await import("../cost/reported-manifest.ts");
      const { pricesOf } = await import("../cost/tariff.ts");
      return reportedManifest(await its.open(), options.report, pricesOf(options.settings));
    },
  };
}

async function moveManifest(to: Place, place: SharedPlace, command?: string): Promise<Moved> {
  if (to === "folder") {
    const { moveToFolder } = await import("../jobs-folder/scratch/to-folder.ts");
    return moveToFolder(place, command);
  }
  const { moveToDatabase } = await import("../jobs-folder/scratch/to-database.ts");
  return moveToDatabase(place, command);
}

type KeptThere = Omit<Kept, "move">;

function inFolder({ settings: { jobsDir }, clock, command }: KeptOptions): KeptThere {
  return {
    open: async () => (await openFolder()).openManifest(jobsDir, clock, command),
    view: async () => (await openFolder()).readManifest(jobsDir),
    events: async (onEvent) => (await openFolder()).readEvents(jobsDir, onEvent),
    manifestId: async () => (await (await openFolder()).readManifest(jobsDir)).id,
    workers: async () => [],
    crew: async () => undefined,
    change: async () => {
      throw usageError(
        "A manifest in a folder is not paused: one process works on it at a time.",
        "Stop that process; or name the shared manifest: --manifest postgres.",
      );
    },
  };
}

function openFolder() {
  return import("../jobs-folder/open.ts");
}

async function sharedPlace(
  { settings, environment, clock }: KeptOptions,
  reach: Reach,
): Promise<SharedPlace> {
  if (storeAccess(environment).kind === "supabase") throw needsDatabase(SHARED, ONE_MACHINE);
  return { ...(await reach.tables()), clock, jobsDir: settings.jobsDir };
}

function inDatabase(options: KeptOptions, reach: Reach): KeptThere {
  const { settings, command } = options;
  const place = async () => ({
    ...(await sharedPlace(options, reach)),
    jobsDir: settings.scratch ?? settings.jobsDir,
  });
  return {
    open: async () => {
      refuseAlone(settings);
      return (await openScratch()).openSharedManifest(await place(), command);
    },
    view: async () => (await openScratch()).readSharedManifest(await place()),
    events: async (onEvent) => {
      const { readSharedEvents } = await import("../manifest/tables/open-shared.ts");
      return readSharedEvents(await place(), onEvent);
    },
    crew: async (manifest, working, projects) => {
      const statements = await reach.native();
      if (statements === undefined) return undefined;
      const { openBoss } = await import("../worker/pg-boss.ts");
      const { openCrew } = await import("../worker/crew.ts");
      const reached = await place();
      const openEngine = () => reached.again(() => openBoss(statements, { ...working, projects }));
      const note = noteIn(reached, working, command);
      return openCrew({ ...options, ...working, projects, manifest, openEngine, ...note });
    },
    workers: async () => {
      const { readWorkers } = await import("../manifest/tables/workers.ts");
      const { tables, again } = await place();
      return again(() => readWorkers(tables));
    },
    manifestId: async () => {
      const { readHead } = await import("../manifest/tables/tables.ts");
      const { tables, again } = await place();
      return (await again(() => readHead(tables)))?.id;
    },
    change: async (state) => {
      const { changeState } = await import("../manifest/tables/tables.ts");
      const { whichDatabase } = await import("../manifest/tables/which-database.ts");
      const { tables, again } = await place();
      return again(async () => changeState(tables, state, await whichDatabase(tables)));
    },
  };
}

/** Who works, and what it does, for `jobs --workers`. */
function noteIn({ tables, again }: Reached, { leaseMs = LEASE_MS }: Working, command = "") {
  const me = { id: randomUUID(), host: hostname(), pid: process.pid, command, leaseMs };
  return {
    note: async (duties: readonly string[]) => {
      const { noteWorker } = await import("../manifest/tables/workers.ts");
      await again(() => noteWorker(tables, me, duties));
    },
    leave: async () => {
      const { forgetWorker } = await import("../manifest/tables/workers.ts");
      await again(() => forgetWorker(tables, me.id));
    },
  };
}

function openScratch() {
  return import("../jobs-folder/scratch/scratch.ts");
}

const SHARED = "A shared manifest (--manifest postgres)";
const ONE_MACHINE = ", or leave --manifest out: then one machine works alone, with a jobs folder.";

/** What one process alone can do: its answers are on one disk, or it has to know when all is done. */
export function refuseAlone({ manifestIn, lane, rebuildIndex }: Settings): void {
  if (manifestIn !== "postgres") return;
  if (lane !== "batch")
    throw needsFolder(`--lane ${lane}`, "Leave --lane out: batches cost half as much.");
  if (rebuildIndex)
    throw needsFolder("--rebuild-index", "Drop the index by hand, and build it when all is done.");
}
