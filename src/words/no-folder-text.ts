import { exists } from "../disk/presence.ts";

/** Where a folder's name was mistyped; empty where it is there. */
export async function noFolderText(jobsDir: string): Promise<string> {
  return (await exists(jobsDir)) ? "" : `There is no folder ${jobsDir} yet.`;
}
