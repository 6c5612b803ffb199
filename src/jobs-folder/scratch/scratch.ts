/**
 * The manifest that several share has no folder of its own. What a process needs of its files meanwhile stands in a folder
 * within the jobs folder, which may be lost at any time: one for each that writes, another for those that look.
 */
import { join } from "node:path";
import {
  acquireLock,
  type Lock,
  type LockedPlace,
  sweepLeftovers,
} from "../../disk/folder-lock.ts";
import { UserError } from "../../errors.ts";
import { lockPath } from "../../manifest/file-names.ts";
import type { Manifest, ManifestView } from "../../manifest/manifest.ts";
import { openShared, readShared, type SharedOptions } from "../../manifest/tables/open-shared.ts";
import { prepareFolder, sweepLeft } from "../files.ts";

export type SharedPlace = Omit<SharedOptions, "scratchOf"> & Readonly<{ jobsDir: string }>;

/** Makes its tables where there are none. */
export async function openSharedManifest(place: SharedPlace, command = ""): Promise<Manifest> {
  let lock: Lock | undefined;
  const scratchOf = async (id: string) => {
    const scratch = await freeScratch(place, id, command);
    lock = scratch.lock;
    return scratch.folder;
  };
  try {
    const manifest = await openShared({ ...place, scratchOf });
    const close = async () => {
      await manifest.close();
      await lock?.release();
    };
    return { ...manifest, close };
  } catch (error) {
    await lock?.release();
    throw error;
  }
}

export function readSharedManifest(place: SharedPlace): Promise<ManifestView> {
  return readShared({
    ...place,
    scratchOf: async (id) => join(place.jobsDir, `shared-${id}-seen`),
  });
}

/** So many may work on one disk. */
const MAX_SCRATCHES = 100;

async function freeScratch(
  { jobsDir, clock }: SharedPlace,
  id: string,
  command: string,
): Promise<Readonly<{ folder: string; lock: Lock }>> {
  for (let number = 1; ; number += 1) {
    const folder = join(jobsDir, `shared-${id}-${number}`);
    await prepareFolder(folder);
    try {
      const lock = await acquireLock(lockPath(folder), clock.own, SCRATCH, command);
      await sweepLeft(folder, clock.own.now());
      await sweepLeftovers(lockPath(folder));
      return { folder, lock };
    } catch (error) {
      const isTaken = error instanceof UserError && error.exit === "locked";
      if (!isTaken || number === MAX_SCRATCHES) throw error;
    }
  }
}

const SCRATCH: LockedPlace = { what: "The scratch folder" };
