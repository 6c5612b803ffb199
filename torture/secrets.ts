import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export function namesSecret(text: string, secrets: readonly string[]): boolean {
  return secrets.some((secret) => text.includes(secret));
}

/** Names of the files in a folder that hold one. */
export async function filesWithSecrets(
  folder: string,
  secrets: readonly string[],
): Promise<string[]> {
  const holding: string[] = [];
  for (const name of await readdir(folder)) {
    if (namesSecret(await readFile(join(folder, name), "utf8"), secrets)) holding.push(name);
  }
  return holding;
}
