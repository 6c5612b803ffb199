import { exists } from "../disk/presence.ts";

export type JobsPlace = Readonly<{ manifestIn: "folder" | "postgres"; jobsDir: string }>;

/** Where a folder's name was mistyped; empty where it is there. */
export async function noFolderText(place: JobsPlace): Promise<string> {
  if (place.manifestIn === "postgres" || (await exists(place.jobsDir))) return "";
  return `There is no folder ${place.jobsDir} yet.`;
}

/** Where the jobs are. */
export function placeText({ manifestIn, jobsDir }: JobsPlace): string {
  return manifestIn === "postgres" ? "the shared manifest" : jobsDir;
}
