/** Where the manifest is kept, as the settings have it: in a folder for one process, or in the target's database for several. */
import type { Clock } from "../clock.ts";
import type { SharedPlace } from "../jobs-folder/scratch.ts";
import type { JournalEvent } from "../manifest/event.ts";
import type { Manifest, ManifestView } from "../manifest/manifest.ts";
import type { Report } from "../progress.ts";
import { storeAccess } from "../settings/access.ts";
import type { Configuration } from "../settings/config.ts";
import type { Settings } from "../settings/options.ts";
import { needsDatabase } from "../words/needs-database.ts";
import { needsFolder } from "../words/needs-folder.ts";

export type Kept = Readonly<{
  open(): Promise<Manifest>;
  /** As it stands now, each time: takes no lock and changes nothing. */
  view(): Promise<ManifestView>;
  /** All that it says, oldest first. */
  events(onEvent: (event: JournalEvent) => void): Promise<void>;
}>;

/** The database, and work on it in words for people. */
type Reach = () => Promise<Pick<SharedPlace, "tables" | "again">>;

type KeptOptions = Pick<Configuration, "settings" | "environment"> &
  Readonly<{ clock: Clock; report: Report; signal: AbortSignal; command?: string }>;

export function keptManifest(options: KeptOptions, reach: Reach): Kept {
  const kept = options.settings.manifestIn === "postgres" ? inDatabase : inFolder;
  const its = kept(options, reach);
  return {
    ...its,
    open: async () => {
      const { reportedManifest } = await import("../cost/reported-manifest.ts");
      const { pricesOf } = await import("../cost/tariff.ts");
      return reportedManifest(await its.open(), options.report, pricesOf(options.settings));
    },
  };
}

function inFolder({ settings: { jobsDir }, clock, command }: KeptOptions): Kept {
  return {
    open: async () => (await openFolder()).openManifest(jobsDir, clock, command),
    view: async () => (await openFolder()).readManifest(jobsDir),
    events: async (onEvent) => (await openFolder()).readEvents(jobsDir, onEvent),
  };
}

function openFolder() {
  return import("../jobs-folder/open.ts");
}

function inDatabase(options: KeptOptions, reach: Reach): Kept {
  const { settings, environment, clock, command } = options;
  const place = async () => {
    if (storeAccess(environment).kind === "supabase") throw needsDatabase(SHARED, ONE_MACHINE);
    return { ...(await reach()), clock, jobsDir: settings.jobsDir };
  };
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
  };
}

function openScratch() {
  return import("../jobs-folder/scratch.ts");
}

const SHARED = "A shared manifest (--manifest postgres)";
const ONE_MACHINE = ", or leave --manifest out: then one machine works alone, with a jobs folder.";

/** What one process alone can do: its answers are on one disk, or it has to know when all is done. */
function refuseAlone({ lane, rebuildIndex }: Settings): void {
  if (lane !== "batch")
    throw needsFolder(`--lane ${lane}`, "Leave --lane out: batches cost half as much.");
  if (rebuildIndex)
    throw needsFolder("--rebuild-index", "Drop the index by hand, and build it when all is done.");
}
