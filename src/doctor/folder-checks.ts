/** The jobs folder, and the room on its disk for the results. */
import { access, constants, stat, statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { readManifest } from "../job/manifest.ts";
import { bytes, counted } from "../output/figures.ts";
import { type Check, failure, ok, warning } from "./check.ts";

/** Of a number in a results file, and of what else a line holds. */
const BYTES_A_NUMBER = 13;
const BYTES_A_LINE = 200;
/** A request line, for a text of usual length. */
const REQUEST_BYTES = 600;

export async function checkJobsFolder(folder: string): Promise<Check[]> {
  const place = await nearestFolder(resolve(folder));
  try {
    await access(place, constants.W_OK);
  } catch {
    return [
      failure(
        "jobs folder",
        `${place} cannot be written to`,
        "Give yourself the right to it, or name another folder with --jobs-dir.",
      ),
    ];
  }
  const manifest = await readManifest(folder);
  const jobs = manifest.jobs().length;
  return [
    ok("jobs folder", `${folder}: ${counted(jobs, "job")}`),
    ...manifest.warnings.map((message) =>
      warning("jobs folder", message, "The next command that writes mends it."),
    ),
  ];
}

/** `pending`: rows that are still to come. */
export async function checkDisk(
  folder: string,
  pending: number,
  dimensions: number,
): Promise<Check> {
  const { bavail, bsize } = await statfs(await nearestFolder(resolve(folder)));
  const free = bavail * bsize;
  const needed = pending * (dimensions * BYTES_A_NUMBER + BYTES_A_LINE + REQUEST_BYTES);
  const message = `${bytes(free)} free, about ${bytes(needed)} needed for ${counted(pending, "row")}`;
  return needed < free
    ? ok("disk", message)
    : warning(
        "disk",
        message,
        "Make room, name another folder with --jobs-dir, or fill in parts with --limit.",
      );
}

/** The folder itself, or the one in which it would be made. */
async function nearestFolder(folder: string): Promise<string> {
  const there = await stat(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return there === undefined && dirname(folder) !== folder
    ? nearestFolder(dirname(folder))
    : folder;
}
