/** The jobs folder, and the room on its disk for the results. */
import { access, constants } from "node:fs/promises";
import { freeBytes, nearestFolder } from "../../disk/free-space.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { type JobsPlace, placeText } from "../../words/no-folder-text.ts";
import { bytes, counted } from "../../words/figures.ts";
import { fileBytes } from "../../row/result-line/result-size.ts";
import { type Check, failure, ok, warning } from "./check.ts";

export async function checkJobsFolder(
  its: JobsPlace,
  view: () => Promise<ManifestView>,
): Promise<Check[]> {
  const place = await nearestFolder(its.jobsDir);
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
  const manifest = await view();
  const jobs = manifest.jobs().length;
  return [
    ok("jobs folder", `${placeText(its)}: ${counted(jobs, "job")}`),
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
  const free = await freeBytes(folder);
  const needed = fileBytes(pending, dimensions);
  const message = `${bytes(free)} free, about ${bytes(needed)} needed for ${counted(pending, "row")}`;
  return needed < free
    ? ok("disk", message)
    : warning(
        "disk",
        message,
        "Make room, name another folder with --jobs-dir, or fill in parts with --limit.",
      );
}
