/**
 * Migrations as the Supabase CLI keeps them: files that are run once each, in the order of their
 * names, which begin with the time they were made. One that may have been run is never changed;
 * whatever is to be different is a new file.
 */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../durable-file.ts";

export const MIGRATIONS_FOLDER = join("supabase", "migrations");

/** The newest migration for a target. */
export type Migration = Readonly<{ file: string; content: string }>;

/** `name`: what its files are called behind the time. Undefined: there is none. */
export async function newestMigration(
  folder: string,
  name: string,
): Promise<Migration | undefined> {
  const files = (await filesIn(folder)).filter(
    (file) => NAMED.exec(file)?.groups?.["name"] === name,
  );
  const file = files.at(-1);
  if (file === undefined) return undefined;
  return { file: join(folder, file), content: await readFile(join(folder, file), "utf8") };
}

const NAMED = /^\d+_(?<name>.+)\.sql$/;

/** Sorts behind every migration that is there. Resolves to its path. */
export async function nextFile(folder: string, name: string, now: Date): Promise<string> {
  const times = (await filesIn(folder)).map((file) => /^\d+/.exec(file)?.[0] ?? "");
  let moment = now;
  while (times.some((time) => time >= timestamp(moment))) {
    moment = new Date(moment.getTime() + MS_A_SECOND);
    if (moment.getTime() > now.getTime() + DAY_MS)
      throw new Error("a migration is from the future");
  }
  return join(folder, `${timestamp(moment)}_${name}.sql`);
}

const MS_A_SECOND = 1000;
const DAY_MS = 86_400_000;

export async function writeMigration(path: string, content: string): Promise<void> {
  await mkdir(join(path, ".."), { recursive: true });
  await replaceFile(path, content);
}

/** `20261123024500`, in UTC. */
function timestamp(moment: Date): string {
  return moment.toISOString().replace(/\D/g, "").slice(0, "yyyymmddhhmmss".length);
}

async function filesIn(folder: string): Promise<string[]> {
  const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return files.filter((file) => NAMED.test(file)).sort();
}
